#include "upload_proof.hpp"

#include "s3_etag.hpp"
#include "verify.hpp"

namespace objectlink {

Likeness compare(const HeadReply& head, const Payload& payload, const std::string& expected_etag) {
  if (head.size != payload.size) return Likeness::other;
  if (head.sha256) return *head.sha256 == payload.sha256 ? Likeness::same : Likeness::other;
  if (etag_is_md5(head.etag, payload.md5)) return Likeness::same;
  if (!expected_etag.empty() && same_etag(head.etag, expected_etag)) return Likeness::same;
  if (head.metadata_sha256) return *head.metadata_sha256 == payload.sha256 ? Likeness::same : Likeness::other;
  return Likeness::undecided;
}

void settle_by_likeness(Errand& errand, const Work& work, const HeadReply& head, const std::string& expected_etag,
                        bool accepted) {
  const Likeness likeness = compare(head, *work.payload, expected_etag);
  if (likeness == Likeness::other || (likeness == Likeness::undecided && !accepted)) {
    S3Error conflict;
    conflict.klass = ErrorClass::object;
    conflict.code = "ObjectExists";
    conflict.message = likeness == Likeness::other
                           ? "other content is stored under this key"
                           : "something is stored under this key, and nothing proves that it is the same";
    conflict.status = 412;
    conflict.request_id = head.request_id;
    return errand.settle_error(work, "upload", conflict);
  }
  Result result = result_for(work, "upload", Outcome::stored);
  result.size = head.size;
  result.etag = head.etag;
  result.version_id = head.version_id;
  result.content_type = head.content_type;
  result.request_id = head.request_id;
  result.sha256_hex = hex(work.payload->sha256);
  errand.settle(std::move(result));
}

void prove_upload(Errand& errand, const std::shared_ptr<const Work>& work, const std::string& expected_etag,
                  bool accepted) {
  look(
      errand, work->key, {},
      [&errand, work, expected_etag, accepted](const Sight& sight) {
        if (sight) return settle_by_likeness(errand, *work, *sight, expected_etag, accepted);
        S3Error vanished;
        vanished.klass = ErrorClass::transient;
        vanished.code = "NoSuchKey";
        vanished.message = "not there after the upload";
        vanished.status = 404;
        errand.settle_error(*work, "upload", vanished);
      },
      [&errand, work](S3Error error) {
        error.outcome_unknown =
            false;  // the upload itself was answered: it is only the look that nobody knows the end of
        errand.settle_error(*work, "upload", error);
      });
}

}  // namespace objectlink
