// Building signed requests: see s3_request.hpp.
#include "s3_request.hpp"

#include <stdexcept>
#include <utility>

#include "s3_xml_text.hpp"

namespace objectlink {
namespace {

constexpr std::string_view xml_namespace = "http://s3.amazonaws.com/doc/2006-03-01/";

bool is_bucket_name(std::string_view name) {
  if (name.size() < 3 || name.size() > 63) return false;
  for (char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '-' && c != '.' && c != '_') return false;
  }
  return name.front() != '.' && name.front() != '-';
}

std::shared_ptr<const std::string> shared(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

}  // namespace

// A request before it is signed. `signed_headers` besides host, date and hash; `other_headers` go unsigned, so that a
// proxy that touches them breaks nothing.
struct S3RequestBuilder::Draft {
  std::string_view method = {};
  std::string path = {};
  std::vector<NameValue> query = {};
  std::vector<NameValue> signed_headers = {};
  HttpHeaders other_headers = {};
  std::shared_ptr<const std::string> body = {};
  std::optional<Sha256> body_sha256 = {};
  std::size_t max_body_bytes = 16u << 20;
};

S3RequestBuilder::S3RequestBuilder(StoreEndpoint store) : store_(std::move(store)) {
  const auto endpoint = parse_endpoint(store_.endpoint);
  if (!endpoint) throw std::invalid_argument("malformed endpoint");
  if (!is_bucket_name(store_.bucket)) throw std::invalid_argument("malformed bucket name");
  endpoint_ = *endpoint;
  if (!store_.path_style && endpoint_.host.starts_with('['))
    throw std::invalid_argument("an address cannot have the bucket as part of its name");
  if (store_.path_style)
    bucket_path_ = "/" + store_.bucket;
  else
    endpoint_.host = store_.bucket + "." + endpoint_.host;
  host_ = endpoint_.authority();
  base_ = endpoint_.scheme() + "://" + host_;
}

std::string S3RequestBuilder::object_path(std::string_view key) const {
  // Without a key the request would be about the bucket itself.
  if (key.empty()) throw std::invalid_argument("empty key");
  return bucket_path_ + "/" + percent_encode_path(key);
}

HttpRequest S3RequestBuilder::sign(const Signing& signing, Draft&& draft) {
  const SigningTime at(signing.now);
  const std::string query = canonical_query(draft.query);
  std::string payload_hash(sha256_of_nothing);
  if (draft.body_sha256)
    payload_hash = hex(*draft.body_sha256);
  else if (draft.body && !draft.body->empty())
    payload_hash = hex(sha256(*draft.body));

  std::vector<NameValue> headers = std::move(draft.signed_headers);
  headers.emplace_back("host", host_);
  headers.emplace_back("x-amz-content-sha256", payload_hash);
  headers.emplace_back("x-amz-date", at.stamp);
  if (!signing.credentials.session_token.empty())
    headers.emplace_back("x-amz-security-token", std::string(signing.credentials.session_token.reveal()));

  const SigningRequest to_sign{draft.method, draft.path, query, &headers, payload_hash};
  const SigningCredentials keys{signing.credentials.access_key_id, signing.credentials.secret_access_key.reveal(),
                                signing.credentials.session_token.reveal()};
  std::string authorization = authorization_header(to_sign, keys, at, store_.region, keys_);

  HttpRequest request;
  request.method = draft.method;
  request.url = base_ + draft.path;
  if (!query.empty()) request.url.append("?").append(query);
  request.headers = std::move(headers);
  for (auto& header : draft.other_headers) request.headers.push_back(std::move(header));
  request.headers.emplace_back("authorization", std::move(authorization));
  request.body = std::move(draft.body);
  request.connect_timeout = store_.connect_timeout;
  request.request_timeout = store_.request_timeout;
  request.max_body_bytes = draft.max_body_bytes;
  request.ca_file = store_.ca_file;
  return request;
}

HttpRequest S3RequestBuilder::put_object(const Signing& signing, const PutObject& put) {
  Draft draft{.method = "PUT", .path = object_path(put.key)};
  draft.body = put.body ? put.body : shared("");
  draft.body_sha256 = put.sha256 ? *put.sha256 : sha256(*draft.body);
  draft.signed_headers = {
      {"content-md5", base64(md5(*draft.body))},
      {"content-type", std::string(put.content_type.empty() ? "application/octet-stream" : put.content_type)},
      {std::string(sha256_metadata_header), hex(*draft.body_sha256)}};
  if (put.checksum || store_.checksums)
    draft.signed_headers.emplace_back("x-amz-checksum-sha256", base64(put.checksum.value_or(*draft.body_sha256)));
  if (put.if_none_match) draft.other_headers.emplace_back("if-none-match", "*");
  if (!put.if_match.empty()) draft.other_headers.emplace_back("if-match", put.if_match);
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::head_object(const Signing& signing, std::string_view key, std::string_view version_id) {
  Draft draft{.method = "HEAD", .path = object_path(key)};
  if (!version_id.empty()) draft.query.emplace_back("versionId", version_id);
  if (store_.checksums) draft.signed_headers.emplace_back("x-amz-checksum-mode", "ENABLED");
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::get_object(const Signing& signing, std::string_view key, std::string_view range,
                                         std::string_view version_id, std::size_t max_body_bytes) {
  Draft draft{.method = "GET", .path = object_path(key)};
  if (!version_id.empty()) draft.query.emplace_back("versionId", version_id);
  if (!range.empty()) draft.other_headers.emplace_back("range", range);
  draft.max_body_bytes = max_body_bytes;
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::delete_object(const Signing& signing, std::string_view key, std::string_view version_id,
                                            std::string_view if_match) {
  Draft draft{.method = "DELETE", .path = object_path(key)};
  if (!version_id.empty()) draft.query.emplace_back("versionId", version_id);
  if (!if_match.empty()) draft.other_headers.emplace_back("if-match", if_match);
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::delete_objects(const Signing& signing, const std::vector<ObjectVersion>& objects) {
  if (objects.empty() || objects.size() > delete_objects_keys_max)
    throw std::invalid_argument("DeleteObjects takes 1 to 1000 keys");
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Delete xmlns=\"";
  xml.append(xml_namespace).append("\">");
  for (const ObjectVersion& object : objects) {
    if (!xml_safe(object.key)) throw std::invalid_argument("DeleteObjects cannot carry this key");
    xml.append("<Object><Key>").append(xml_escape(object.key)).append("</Key>");
    if (!object.version_id.empty())
      xml.append("<VersionId>").append(xml_escape(object.version_id)).append("</VersionId>");
    if (!object.if_match.empty()) xml.append("<ETag>").append(xml_escape(object.if_match)).append("</ETag>");
    xml += "</Object>";
  }
  // Not <Quiet>: an answer that does not name a key proves nothing about it.
  xml += "</Delete>";
  Draft draft{.method = "POST", .path = bucket_path_ + "/", .query = {{"delete", ""}}};
  draft.signed_headers = {{"content-md5", base64(md5(xml))}, {"content-type", "application/xml"}};
  draft.body = shared(std::move(xml));
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::copy_object(const Signing& signing, const CopyObject& copy) {
  Draft draft{.method = "PUT", .path = object_path(copy.to_key)};
  draft.signed_headers = {{"x-amz-copy-source", "/" + store_.bucket + "/" + percent_encode_path(copy.from_key)},
                          {"x-amz-metadata-directive", "COPY"}};
  if (!copy.if_source_match.empty())
    draft.signed_headers.emplace_back("x-amz-copy-source-if-match", copy.if_source_match);
  if (copy.if_none_match) draft.other_headers.emplace_back("if-none-match", "*");
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::create_multipart_upload(const Signing& signing, std::string_view key,
                                                      std::string_view content_type, std::optional<Sha256> sha256) {
  Draft draft{.method = "POST", .path = object_path(key), .query = {{"uploads", ""}}};
  draft.signed_headers = {
      {"content-type", std::string(content_type.empty() ? "application/octet-stream" : content_type)}};
  if (sha256) draft.signed_headers.emplace_back(sha256_metadata_header, hex(*sha256));
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::upload_part(const Signing& signing, std::string_view key, std::string_view upload_id,
                                          int number, std::shared_ptr<const std::string> body) {
  Draft draft{.method = "PUT",
              .path = object_path(key),
              .query = {{"partNumber", std::to_string(number)}, {"uploadId", std::string(upload_id)}}};
  draft.body = body ? std::move(body) : shared("");
  draft.signed_headers = {{"content-md5", base64(md5(*draft.body))}};
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::complete_multipart_upload(const Signing& signing, std::string_view key,
                                                        std::string_view upload_id,
                                                        const std::vector<UploadedPart>& parts, bool if_none_match) {
  std::string xml = "<CompleteMultipartUpload xmlns=\"";
  xml.append(xml_namespace).append("\">");
  for (const UploadedPart& part : parts) {
    xml.append("<Part><PartNumber>").append(std::to_string(part.number)).append("</PartNumber><ETag>");
    xml.append(xml_escape(part.etag)).append("</ETag></Part>");
  }
  xml += "</CompleteMultipartUpload>";
  Draft draft{.method = "POST", .path = object_path(key), .query = {{"uploadId", std::string(upload_id)}}};
  draft.signed_headers = {{"content-type", "application/xml"}};
  if (if_none_match) draft.other_headers.emplace_back("if-none-match", "*");
  draft.body = shared(std::move(xml));
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::abort_multipart_upload(const Signing& signing, std::string_view key,
                                                     std::string_view upload_id) {
  return sign(signing,
              Draft{.method = "DELETE", .path = object_path(key), .query = {{"uploadId", std::string(upload_id)}}});
}

HttpRequest S3RequestBuilder::list_parts(const Signing& signing, std::string_view key, std::string_view upload_id,
                                         int part_number_marker) {
  Draft draft{.method = "GET", .path = object_path(key), .query = {{"uploadId", std::string(upload_id)}}};
  if (part_number_marker > 0) draft.query.emplace_back("part-number-marker", std::to_string(part_number_marker));
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::list_multipart_uploads(const Signing& signing, std::string_view prefix,
                                                     std::string_view key_marker, std::string_view upload_id_marker) {
  // No encoding-type: RGW encodes the keys here without saying so in the reply.
  Draft draft{.method = "GET", .path = bucket_path_ + "/", .query = {{"uploads", ""}}};
  if (!prefix.empty()) draft.query.emplace_back("prefix", prefix);
  if (!key_marker.empty()) draft.query.emplace_back("key-marker", key_marker);
  if (!upload_id_marker.empty()) draft.query.emplace_back("upload-id-marker", upload_id_marker);
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::list_objects_v2(const Signing& signing, const ListObjects& list) {
  Draft draft{.method = "GET",
              .path = bucket_path_ + "/",
              .query = {{"list-type", "2"}, {"encoding-type", "url"}, {"max-keys", std::to_string(list.max_keys)}}};
  if (!list.prefix.empty()) draft.query.emplace_back("prefix", list.prefix);
  if (!list.continuation_token.empty())
    draft.query.emplace_back("continuation-token", list.continuation_token);
  else if (!list.start_after.empty())
    draft.query.emplace_back("start-after", list.start_after);
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::list_object_versions(const Signing& signing, const ListVersions& list) {
  Draft draft{.method = "GET",
              .path = bucket_path_ + "/",
              .query = {{"versions", ""}, {"encoding-type", "url"}, {"max-keys", std::to_string(list.max_keys)}}};
  if (!list.prefix.empty()) draft.query.emplace_back("prefix", list.prefix);
  if (!list.key_marker.empty()) draft.query.emplace_back("key-marker", list.key_marker);
  if (!list.version_id_marker.empty()) draft.query.emplace_back("version-id-marker", list.version_id_marker);
  return sign(signing, std::move(draft));
}

HttpRequest S3RequestBuilder::head_bucket(const Signing& signing) {
  return sign(signing, Draft{.method = "HEAD", .path = bucket_path_ + "/"});
}

HttpRequest S3RequestBuilder::get_bucket_versioning(const Signing& signing) {
  return sign(signing, Draft{.method = "GET", .path = bucket_path_ + "/", .query = {{"versioning", ""}}});
}

}  // namespace objectlink
