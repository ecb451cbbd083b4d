// What do the replies of S3 say?
// Pure: turns an HttpReply into a value or an S3Error (s3_error.hpp). Believes nothing that is not in the reply.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities.hpp"
#include "core/digest.hpp"
#include "http_message.hpp"
#include "s3_error.hpp"
#include "s3_request.hpp"

namespace objectlink {

struct HeadReply {
  std::int64_t size = 0;
  std::string etag = {};  // raw: quotes included, as the store sent it
  std::string version_id = {};
  std::optional<Sha256> sha256 = {};  // x-amz-checksum-sha256: the store's own; none for composite (multipart) ones
  std::optional<Sha256> metadata_sha256 = {};  // x-amz-meta-objectlink-sha256: what the uploader said
  std::optional<std::chrono::system_clock::time_point> last_modified = {};
  std::string content_type = {};
  std::string request_id = {};
};

struct PutReply {
  std::string etag = {};  // raw; may be empty on stores that send none
  std::string version_id = {};
  std::optional<Sha256> sha256 = {};
  std::string request_id = {};
};

struct DeleteReply {
  bool was_missing = false;    // the store said that there was nothing (others answer 204 for that as well)
  bool delete_marker = false;  // a versioned bucket: only a marker was added
  std::string version_id = {};
  std::string request_id = {};
};

struct DeletedObject {
  std::string key = {};
  std::string version_id = {};
  std::optional<S3Error> error = {};   // none: the store says it is deleted
  bool delete_marker = false;          // a versioned bucket: only a marker was added (or that marker was deleted)
  std::string marker_version_id = {};  // that marker's
};

// One entry for each object of the request, in its order. A key that the reply does not mention has an error of class
// transient with outcome_unknown.
struct DeleteObjectsReply {
  std::vector<DeletedObject> objects = {};
  std::string request_id = {};
  std::size_t errors() const;
};

struct CompleteReply {
  std::string etag = {};  // empty with some stores: HEAD tells
  std::string version_id = {};
  std::string request_id = {};
};

// The key is the store's bytes: a foreign writer's key may be longer than ours or no UTF-8 at all, which the database
// would refuse.
struct ListedObject {
  std::string key = {};
  std::int64_t size = 0;
  std::string etag = {};
  std::optional<std::chrono::system_clock::time_point> last_modified = {};
};

struct ListPage {
  std::vector<ListedObject> objects = {};
  bool truncated = false;
  std::string next_token = {};  // not empty exactly if truncated
  // Keys rise bytewise within the page. The caller compares across pages; where it is false nothing may be concluded
  // from a key's absence.
  bool in_order = true;
  std::string request_id = {};
};

struct ListedVersion {
  std::string key = {};
  std::string version_id = {};  // "null" for what was stored while the bucket was not versioned
  bool is_marker = false;       // a delete marker; it has neither size nor ETag
  bool is_latest = false;
  std::int64_t size = 0;
  std::string etag = {};
  std::optional<std::chrono::system_clock::time_point> last_modified = {};
};

struct VersionsPage {
  std::vector<ListedVersion> versions = {};
  bool truncated = false;
  // Keys do not fall bytewise within the page; versions of one key stand together.
  bool in_order = true;
  std::string request_id = {};
};

struct ListedUpload {
  std::string key = {};
  std::string upload_id = {};
  std::optional<std::chrono::system_clock::time_point> initiated = {};
};

struct UploadsPage {
  std::vector<ListedUpload> uploads = {};
  bool truncated = false;
  std::string next_key_marker = {};
  std::string next_upload_id_marker = {};
};

struct PartsPage {
  bool truncated = false;
  int next_part_number = 0;  // not 0 exactly if truncated
  std::optional<std::chrono::system_clock::time_point> youngest =
      {};                 // none: there is no part, or the store does not say
  bool all_dated = true;  // the store says of each part when it came in
};

struct BucketReply {
  std::string region = {};  // x-amz-bucket-region; empty with many stores
};

S3Result<PutReply> parse_put_object(const HttpReply& reply);
S3Result<HeadReply> parse_head_object(const HttpReply& reply);
// 200 or 206; the bytes stay in reply.body. size is the whole object's (from Content-Range with a 206).
S3Result<HeadReply> parse_get_object(const HttpReply& reply);
// 204, 200, and the 404 of a missing key or version are success.
S3Result<DeleteReply> parse_delete_object(const HttpReply& reply);
S3Result<DeleteObjectsReply> parse_delete_objects(const HttpReply& reply, const std::vector<ObjectVersion>& requested);
S3Result<PutReply> parse_copy_object(const HttpReply& reply);
S3Result<std::string> parse_create_multipart_upload(const HttpReply& reply);  // the upload id, never empty
S3Result<PutReply> parse_upload_part(const HttpReply& reply);                 // the etag is never empty
S3Result<CompleteReply> parse_complete_multipart_upload(const HttpReply& reply);
// Success also if there is no such upload.
S3Result<DeleteReply> parse_abort_multipart_upload(const HttpReply& reply);
S3Result<ListPage> parse_list_objects_v2(const HttpReply& reply);
// A page that goes on after its last entry; one that goes on and is empty is an error.
S3Result<VersionsPage> parse_list_object_versions(const HttpReply& reply);
S3Result<UploadsPage> parse_list_multipart_uploads(const HttpReply& reply);
S3Result<PartsPage> parse_list_parts(const HttpReply& reply);
S3Result<BucketReply> parse_head_bucket(const HttpReply& reply);
S3Result<Versioning> parse_get_bucket_versioning(const HttpReply& reply);

}  // namespace objectlink
