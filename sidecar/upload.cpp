#include "upload.hpp"

#include "multipart_upload.hpp"
#include "s3_etag.hpp"
#include "s3_reply.hpp"
#include "upload_proof.hpp"
#include "verify.hpp"

namespace objectlink {
namespace {

void settle_put(Errand& errand, const std::shared_ptr<const Work>& work, const HttpReply& reply) {
  const auto put = parse_put_object(reply);
  if (!put.ok()) {
    // Somebody was there before: perhaps our own earlier try, whose reply was lost.
    if (put.error().klass == ErrorClass::conflict && put.error().status == 412) {
      return prove_upload(errand, work, {}, false);
    }
    return errand.settle_error(*work, "upload", put.error());
  }
  errand.store_answered();
  const Payload& payload = *work->payload;
  const bool proved = put->sha256 ? *put->sha256 == payload.sha256 : etag_is_md5(put->etag, payload.md5);
  if (!proved) return prove_upload(errand, work, {}, true);
  Result result = result_for(*work, "upload", Outcome::stored);
  result.size = payload.size;
  result.etag = put->etag;
  result.version_id = put->version_id;
  result.content_type = work->content_type;
  result.request_id = put->request_id;
  result.sha256_hex = hex(payload.sha256);
  errand.settle(std::move(result));
}

void put_whole(Errand& errand, const std::shared_ptr<const Work>& work) {
  errand.send(
      true,
      [work](S3RequestBuilder& builder, const Signing& signing) {
        PutObject put;
        put.key = work->key;
        put.body = work->payload->content;
        put.content_type = work->content_type;
        put.if_none_match = true;
        put.sha256 = work->payload->sha256;
        return builder.put_object(signing, put);
      },
      [&errand, work](const HttpReply& reply) { settle_put(errand, work, reply); });
}

void put(Errand& errand, const std::shared_ptr<const Work>& work, const UploadLimits& limits) {
  if (work->payload->size > limits.multipart_threshold_bytes) return upload_multipart(errand, work, limits.part_bytes);
  put_whole(errand, work);
}

}  // namespace

void upload(Errand& errand, Work work, const UploadLimits& limits) {
  const auto shared = std::make_shared<const Work>(std::move(work));
  if (!shared->payload->chosen_key) return put(errand, shared, limits);
  // A key that the caller chose may be taken, and not every store honours If-None-Match: look first.
  look(
      errand, shared->key, {},
      [&errand, shared, limits](const Sight& sight) {
        if (sight) {
          const bool in_parts =
              shared->payload->size > limits.multipart_threshold_bytes && sight->size == shared->payload->size;
          const std::string expected = in_parts ? multipart_etag_of(errand, *shared, limits.part_bytes) : std::string();
          return settle_by_likeness(errand, *shared, *sight, expected, false);
        }
        put(errand, shared, limits);
      },
      [&errand, shared](S3Error error) {
        error.outcome_unknown = false;  // nothing was asked for but a look
        errand.settle_error(*shared, "upload", error);
      });
}

}  // namespace objectlink
