// How does each S3 operation look as a signed HTTP request?
// Pure: knows no network and no database. What a reply means is s3_reply.hpp.
// One builder per store; confined to one thread (it caches the derived signing key).
// Keys are raw bytes. An empty one is refused with std::invalid_argument (DELETE would be about the bucket); nothing
// else is checked.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.hpp"
#include "core/sigv4.hpp"
#include "core/uri.hpp"
#include "credentials.hpp"
#include "http_message.hpp"
#include "s3_xml_text.hpp"

namespace objectlink {

inline constexpr std::size_t delete_objects_keys_max = 1000;
inline constexpr int list_keys_max = 1000;
inline constexpr int multipart_parts_max = 10'000;
inline constexpr std::size_t key_bytes_max = 1024;
// The header that carries our own SHA-256, in lower-case hex, with the object.
inline constexpr std::string_view sha256_metadata_header = "x-amz-meta-objectlink-sha256";

struct StoreEndpoint {
  std::string endpoint = {};  // http(s)://host[:port]
  std::string bucket = {};
  std::string region = "us-east-1";
  bool path_style = true;  // else the bucket is the first label of the host
  bool checksums = false;  // send and ask for x-amz-checksum-sha256: some stores answer 501 to it
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds request_timeout{60'000};
  std::string ca_file = {};
};

// With whose keys and at what time a request is signed. `now` is the store's time as far as known (own clock plus the
// offset learnt from RequestTimeTooSkewed). The credentials must outlive the call only.
struct Signing {
  const Credentials& credentials;
  std::chrono::system_clock::time_point now;
};

struct PutObject {
  std::string_view key = {};
  std::shared_ptr<const std::string> body = {};  // null: empty object
  std::string_view content_type = {};            // empty: application/octet-stream
  bool if_none_match = false;                    // If-None-Match: *, i.e. never overwrite
  std::string_view if_match = {};                // empty: no condition; sent as given (quotes included)
  std::optional<Sha256> sha256 = {};    // of the body, if the caller knows it; a wrong one makes the store refuse
  std::optional<Sha256> checksum = {};  // for x-amz-checksum-sha256, whether the store is known to take it or not
};

struct CopyObject {
  std::string_view from_key = {};
  std::string_view to_key = {};
  std::string_view if_source_match = {};  // empty: no condition; not every store honours it
  bool if_none_match = false;             // never overwrite; honoured by fewer
};

struct ObjectVersion {
  std::string key = {};
  std::string version_id = {};  // empty: none
  std::string if_match = {};    // delete only what has this ETag, written as the store takes it; empty: no condition
};

struct UploadedPart {
  int number;        // 1..multipart_parts_max, rising
  std::string etag;  // as the store gave it
};

struct ListObjects {
  std::string_view prefix = {};
  std::string_view start_after = {};         // keys after this one; only for a first page
  std::string_view continuation_token = {};  // opaque, from the page before; start_after is then left out
  int max_keys = list_keys_max;
};

struct ListVersions {
  std::string_view prefix = {};
  // Where the page before ended. With a key alone, some stores begin behind it and others with it.
  std::string_view key_marker = {};
  std::string_view version_id_marker = {};
  int max_keys = list_keys_max;
};

class S3RequestBuilder {
 public:
  // std::invalid_argument if the endpoint or the bucket is not of the form checked by the server options.
  explicit S3RequestBuilder(StoreEndpoint store);

  const StoreEndpoint& store() const { return store_; }

  HttpRequest put_object(const Signing& signing, const PutObject& put);
  HttpRequest head_object(const Signing& signing, std::string_view key, std::string_view version_id = {});
  // range: the value of a Range header ("bytes=0-99"), or empty. The reply's body is limited to max_body_bytes.
  HttpRequest get_object(const Signing& signing, std::string_view key, std::string_view range = {},
                         std::string_view version_id = {}, std::size_t max_body_bytes = 16u << 20);
  // if_match: only for stores known to honour it.
  HttpRequest delete_object(const Signing& signing, std::string_view key, std::string_view version_id = {},
                            std::string_view if_match = {});
  // 1..delete_objects_keys_max objects whose keys are all xml_safe(); std::invalid_argument otherwise.
  HttpRequest delete_objects(const Signing& signing, const std::vector<ObjectVersion>& objects);
  // Server-side copy within the bucket, metadata kept; refused by the store for objects over 5 GiB.
  HttpRequest copy_object(const Signing& signing, const CopyObject& copy);

  // sha256: of the whole object if already known, stored as metadata.
  HttpRequest create_multipart_upload(const Signing& signing, std::string_view key, std::string_view content_type,
                                      std::optional<Sha256> sha256 = {});
  HttpRequest upload_part(const Signing& signing, std::string_view key, std::string_view upload_id, int number,
                          std::shared_ptr<const std::string> body);
  HttpRequest complete_multipart_upload(const Signing& signing, std::string_view key, std::string_view upload_id,
                                        const std::vector<UploadedPart>& parts, bool if_none_match = false);
  HttpRequest abort_multipart_upload(const Signing& signing, std::string_view key, std::string_view upload_id);
  HttpRequest list_parts(const Signing& signing, std::string_view key, std::string_view upload_id,
                         int part_number_marker = 0);
  HttpRequest list_multipart_uploads(const Signing& signing, std::string_view prefix, std::string_view key_marker = {},
                                     std::string_view upload_id_marker = {});

  HttpRequest list_objects_v2(const Signing& signing, const ListObjects& list);
  HttpRequest list_object_versions(const Signing& signing, const ListVersions& list);
  HttpRequest head_bucket(const Signing& signing);
  HttpRequest get_bucket_versioning(const Signing& signing);

  // Corrects the region, as a reply of class `redirect` tells it.
  void set_region(std::string region) { store_.region = std::move(region); }

 private:
  struct Draft;
  HttpRequest sign(const Signing& signing, Draft&& draft);
  std::string object_path(std::string_view key) const;

  StoreEndpoint store_;
  Endpoint endpoint_;
  std::string base_;         // scheme://host[:port]
  std::string host_;         // the Host header
  std::string bucket_path_;  // "/bucket" in path style, else empty
  SigningKeyCache keys_;
};

}  // namespace objectlink
