// Replies about single objects, uploads and the bucket: see s3_reply.hpp. Those that list many are s3_reply_list.cpp.
#include "s3_reply.hpp"

#include <charconv>
#include <utility>

#include "s3_reply_root.hpp"
#include "s3_time.hpp"
#include "s3_xml.hpp"

namespace objectlink {
namespace {

bool replied(const HttpReply& reply, long status) {
  return reply.outcome == HttpReply::Outcome::replied && reply.status == status;
}

std::string header_text(const HttpReply& reply, std::string_view name) {
  const std::string* const value = reply.header(name);
  return value ? presentable(*value) : std::string();
}

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || stop != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// The store's own digest of the whole object. That of a multipart upload is a digest of digests and ends in "-N".
std::optional<Sha256> checksum_of(const HttpReply& reply) {
  const std::string* const type = reply.header("x-amz-checksum-type");
  const std::string* const value = reply.header("x-amz-checksum-sha256");
  if (value == nullptr || (type != nullptr && *type != "FULL_OBJECT")) return std::nullopt;
  return sha256_from_base64(*value);
}

HeadReply head_fields(const HttpReply& reply) {
  HeadReply head;
  head.etag = header_text(reply, "etag");
  head.version_id = header_text(reply, "x-amz-version-id");
  head.sha256 = checksum_of(reply);
  if (const std::string* const value = reply.header(sha256_metadata_header))
    head.metadata_sha256 = sha256_from_hex(*value);
  if (const std::string* const value = reply.header("last-modified")) head.last_modified = parse_http_date(*value);
  head.content_type = header_text(reply, "content-type");
  head.request_id = request_id_of(reply);
  return head;
}

PutReply put_fields(const HttpReply& reply) {
  return {header_text(reply, "etag"), header_text(reply, "x-amz-version-id"), checksum_of(reply), request_id_of(reply)};
}

DeleteReply delete_fields(const HttpReply& reply, bool was_missing) {
  return {was_missing, header_text(reply, "x-amz-delete-marker") == "true", header_text(reply, "x-amz-version-id"),
          request_id_of(reply)};
}

}  // namespace

S3Result<PutReply> parse_put_object(const HttpReply& reply) {
  if (!replied(reply, 200)) return classify(reply);
  return put_fields(reply);
}

S3Result<HeadReply> parse_head_object(const HttpReply& reply) {
  if (!replied(reply, 200)) return classify(reply);
  const std::string* const length = reply.header("content-length");
  const auto size = length ? whole_number(*length) : std::nullopt;
  if (!size) return unreadable(reply, "no size in the reply");
  HeadReply head = head_fields(reply);
  head.size = *size;
  return head;
}

S3Result<HeadReply> parse_get_object(const HttpReply& reply) {
  if (!replied(reply, 200) && !replied(reply, 206)) return classify(reply);
  HeadReply head = head_fields(reply);
  head.size = static_cast<std::int64_t>(reply.body.size());
  if (reply.status == 206) {
    const std::string* const range = reply.header("content-range");  // "bytes 0-99/1234"
    const std::size_t slash = range ? range->find('/') : std::string::npos;
    const auto size =
        slash == std::string::npos ? std::nullopt : whole_number(std::string_view(*range).substr(slash + 1));
    if (!size) return unreadable(reply, "no size in the partial reply");
    head.size = *size;
  }
  return head;
}

S3Result<DeleteReply> parse_delete_object(const HttpReply& reply) {
  if (replied(reply, 204) || replied(reply, 200)) return delete_fields(reply, false);
  S3Error error = classify(reply);
  if (error.klass == ErrorClass::not_found && error.code != "NoSuchUpload") return delete_fields(reply, true);
  return error;
}

S3Result<PutReply> parse_copy_object(const HttpReply& reply) {
  pugi::xml_document document;
  const auto root = reply_root(reply, document, "CopyObjectResult");
  if (!root) return root.error();
  PutReply copy = put_fields(reply);
  copy.etag = presentable(child_text(root.value(), "ETag"));
  return copy;
}

S3Result<std::string> parse_create_multipart_upload(const HttpReply& reply) {
  pugi::xml_document document;
  const auto root = reply_root(reply, document, "InitiateMultipartUploadResult");
  if (!root) return root.error();
  std::string upload_id(child_text(root.value(), "UploadId"));
  if (upload_id.empty()) return unreadable(reply, "no upload id in the reply");
  return upload_id;
}

S3Result<PutReply> parse_upload_part(const HttpReply& reply) {
  if (!replied(reply, 200)) return classify(reply);
  PutReply part = put_fields(reply);
  if (part.etag.empty()) return unreadable(reply, "no ETag for the part");
  return part;
}

S3Result<CompleteReply> parse_complete_multipart_upload(const HttpReply& reply) {
  pugi::xml_document document;
  const auto root = reply_root(reply, document, "CompleteMultipartUploadResult");
  if (!root) return root.error();
  return CompleteReply{presentable(child_text(root.value(), "ETag")), header_text(reply, "x-amz-version-id"),
                       request_id_of(reply)};
}

S3Result<DeleteReply> parse_abort_multipart_upload(const HttpReply& reply) {
  if (replied(reply, 204) || replied(reply, 200)) return delete_fields(reply, false);
  S3Error error = classify(reply);
  if (error.klass == ErrorClass::not_found) return delete_fields(reply, true);
  return error;
}

S3Result<BucketReply> parse_head_bucket(const HttpReply& reply) {
  if (replied(reply, 200)) return BucketReply{header_text(reply, "x-amz-bucket-region")};
  S3Error error = classify(reply);
  if (error.klass == ErrorClass::not_found) {
    error.klass = ErrorClass::store;
    error.code = "NoSuchBucket";
  }
  return error;
}

S3Result<Versioning> parse_get_bucket_versioning(const HttpReply& reply) {
  pugi::xml_document document;
  const auto root = reply_root(reply, document, "VersioningConfiguration");
  if (!root) return root.error();
  const std::string_view status = child_text(root.value(), "Status");
  if (status == "Enabled") return Versioning::enabled;
  if (status == "Suspended") return Versioning::suspended;
  if (status.empty()) return Versioning::never;
  return unreadable(reply, "unknown versioning status");
}

}  // namespace objectlink
