#include "multipart_upload.hpp"

#include <algorithm>

#include "s3_etag.hpp"
#include "s3_reply.hpp"
#include "upload_proof.hpp"

namespace objectlink {
namespace {

// No upload may have more than multipart_parts_max parts.
std::int64_t part_size(std::int64_t wanted, std::int64_t size) {
  return std::max(wanted, (size + multipart_parts_max - 1) / multipart_parts_max);
}

// Lives as long as one of its requests does.
class MultipartUpload : public std::enable_shared_from_this<MultipartUpload> {
 public:
  MultipartUpload(Errand& errand, std::shared_ptr<const Work> work, std::int64_t part_bytes)
      : errand_(errand), work_(std::move(work)), part_bytes_(part_size(part_bytes, work_->payload->size)) {}

  void create() {
    errand_.send(
        true,
        [work = work_](S3RequestBuilder& builder, const Signing& signing) {
          return builder.create_multipart_upload(signing, work->key, work->content_type, work->payload->sha256);
        },
        [self = shared_from_this()](const HttpReply& reply) {
          const auto created = parse_create_multipart_upload(reply);
          if (!created.ok()) return self->errand_.settle_error(*self->work_, "upload", no_object(created.error()));
          self->errand_.store_answered();
          self->upload_id_ = created.value();
          self->send_part();
        });
  }

 private:
  void send_part() {
    if (offset_ >= work_->payload->size) return complete();
    const std::int64_t length = std::min(part_bytes_, work_->payload->size - offset_);
    auto body = std::make_shared<const std::string>(errand_.read_content(work_->key, offset_, length));
    if (std::ssize(*body) != length) return give_up(content_gone());
    const Md5 digest = md5(*body);
    const int number = static_cast<int>(parts_.size()) + 1;
    errand_.send(
        true,
        [self = shared_from_this(), body, number](S3RequestBuilder& builder, const Signing& signing) {
          return builder.upload_part(signing, self->work_->key, self->upload_id_, number, body);
        },
        [self = shared_from_this(), digest, number, length](const HttpReply& reply) {
          const auto part = parse_upload_part(reply);
          if (!part.ok()) return self->give_up(no_object(part.error()));
          self->errand_.store_answered();
          self->parts_.push_back({number, part->etag});
          self->digests_.push_back(digest);
          self->offset_ += length;
          self->send_part();
        });
  }

  void complete() {
    errand_.send(
        true,
        [self = shared_from_this()](S3RequestBuilder& builder, const Signing& signing) {
          return builder.complete_multipart_upload(signing, self->work_->key, self->upload_id_, self->parts_, true);
        },
        [self = shared_from_this()](const HttpReply& reply) {
          const auto completed = parse_complete_multipart_upload(reply);
          const std::string expected = multipart_etag(self->digests_);
          if (completed.ok()) {
            self->errand_.store_answered();
            return prove_upload(self->errand_, self->work_, expected, true);
          }
          const S3Error& error = completed.error();
          // Some stores find out only after they have begun a reply of 200.
          if (error.klass == ErrorClass::conflict && (error.status == 412 || error.code == "PreconditionFailed")) {
            self->abort();
            return prove_upload(self->errand_, self->work_, expected, false);
          }
          // Unknown: it may be complete. Aborting would then find no upload, which is no harm.
          self->give_up(error);
        });
  }

  void give_up(const S3Error& error) {
    abort();
    errand_.settle_error(*work_, "upload", error);
  }

  // Its parts cost storage for as long as they lie there. Not worth a retry: reconciling finds stale uploads.
  void abort() {
    errand_.send(
        true,
        [self = shared_from_this()](S3RequestBuilder& builder, const Signing& signing) {
          return builder.abort_multipart_upload(signing, self->work_->key, self->upload_id_);
        },
        [self = shared_from_this()](const HttpReply&) {});
  }

  // A beginning or a part that arrives late makes no object.
  static S3Error no_object(S3Error error) {
    error.outcome_unknown = false;
    return error;
  }

  static S3Error content_gone() {
    S3Error error;
    error.klass = ErrorClass::transient;
    error.code = "ContentGone";
    error.message = "the content is no longer in the database";
    return error;
  }

  Errand& errand_;
  const std::shared_ptr<const Work> work_;
  const std::int64_t part_bytes_;
  std::int64_t offset_ = 0;
  std::string upload_id_;
  std::vector<UploadedPart> parts_;
  std::vector<Md5> digests_;
};

}  // namespace

void upload_multipart(Errand& errand, std::shared_ptr<const Work> work, std::int64_t part_bytes) {
  std::make_shared<MultipartUpload>(errand, std::move(work), part_bytes)->create();
}

std::string multipart_etag_of(Errand& errand, const Work& work, std::int64_t part_bytes) {
  std::vector<Md5> digests;
  const std::int64_t step = part_size(part_bytes, work.payload->size);
  for (std::int64_t offset = 0; offset < work.payload->size; offset += step) {
    const std::int64_t length = std::min(step, work.payload->size - offset);
    const std::string part = errand.read_content(work.key, offset, length);
    if (std::ssize(part) != length) return {};
    digests.push_back(md5(part));
  }
  return multipart_etag(digests);
}

}  // namespace objectlink
