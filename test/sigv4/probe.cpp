// What requests do we build and sign, and what do stores answer to them?
// For tests in Python: reads one JSON object a line from standard input, writes one a line to standard output.
//   {"operation": "head_object", "key": "k", ...}   the request: method, url, headers, body (base64)
//   with --send                                     sends it too: outcome, status, error, and what the reply says
//   {"operation": "sign", "method", "path", "query", "headers", "payload_hash"}   the Authorization header alone
//   {"operation": "presign", "method", "key", "query", "expiry"}                  a presigned URL
//   {"operation": "key_corpus"}                 the keys of test/unit/key_corpus.hpp
//   {"operation": "xml_safe", "key"}            may it stand in a DeleteObjects request?
//   {"operation": "multipart_etag", "bodies"}   the ETag of an object of these parts
// Every line may set endpoint, bucket, region, path_style, access_key, secret_key, session_token, time (Unix seconds).
#include <functional>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "../unit/key_corpus.hpp"
#include "http.hpp"
#include "s3_etag.hpp"
#include "s3_reply.hpp"
#include "s3_request.hpp"

namespace objectlink {
namespace {

using Json = nlohmann::json;

std::string base64_of(const std::string& bytes) {
  return base64({reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()});
}

std::shared_ptr<const std::string> body_of(const Json& line) {
  return std::make_shared<const std::string>(line.value("body", ""));
}

std::vector<NameValue> pairs_of(const Json& line, const char* name) {
  std::vector<NameValue> pairs;
  for (const Json& pair : line.value(name, Json::array())) pairs.emplace_back(pair.at(0), pair.at(1));
  return pairs;
}

std::vector<ObjectVersion> objects_of(const Json& line) {
  std::vector<ObjectVersion> objects;
  for (const std::string key : line.at("keys")) objects.push_back({key, ""});
  return objects;
}

std::vector<UploadedPart> parts_of(const Json& line) {
  std::vector<UploadedPart> parts;
  for (const std::string etag : line.at("etags")) parts.push_back({static_cast<int>(parts.size()) + 1, etag});
  return parts;
}

std::vector<Md5> digests_of(const Json& line) {
  std::vector<Md5> digests;
  for (const std::string bytes : line.at("bodies")) digests.push_back(md5(bytes));
  return digests;
}

template <class T, class Show>
Json shown(const S3Result<T>& result, Show show) {
  Json out = result.ok() ? show(result.value()) : Json::object();
  out["error"] = nullptr;
  if (!result.ok()) {
    out["error"] = result.error().describe();
    out["class"] = to_string(result.error().klass);
    out["code"] = result.error().code;
    out["outcome_unknown"] = result.error().outcome_unknown;
  }
  return out;
}

Json show_put(const PutReply& put) { return {{"etag", put.etag}, {"version_id", put.version_id}}; }
Json show_delete(const DeleteReply& done) {
  return {{"was_missing", done.was_missing}, {"version_id", done.version_id}};
}
Json show_head(const HeadReply& head) {
  return {{"size", head.size},
          {"etag", head.etag},
          {"content_type", head.content_type},
          {"metadata_sha256", head.metadata_sha256 ? hex(*head.metadata_sha256) : ""}};
}
Json show_list(const ListPage& page) {
  Json keys = Json::array();
  for (const ListedObject& object : page.objects) keys.push_back(object.key);
  return {{"keys", keys}, {"truncated", page.truncated}, {"next_token", page.next_token}, {"in_order", page.in_order}};
}
Json show_uploads(const UploadsPage& page) {
  Json uploads = Json::array();
  for (const ListedUpload& upload : page.uploads) uploads.push_back({upload.key, upload.upload_id});
  return {{"uploads", uploads}, {"truncated", page.truncated}};
}

struct Operation {
  std::function<HttpRequest(S3RequestBuilder&, const Signing&, const Json&)> build;
  std::function<Json(const HttpReply&, const Json&)> read;
};

const std::map<std::string, Operation> operations = {
    {"put_object",
     {[](auto& builder, auto& signing, auto& line) {
        const std::string key = line.at("key"), type = line.value("content_type", ""),
                          match = line.value("if_match", "");
        return builder.put_object(signing, {.key = key,
                                            .body = body_of(line),
                                            .content_type = type,
                                            .if_none_match = line.value("if_none_match", false),
                                            .if_match = match});
      },
      [](auto& reply, auto&) { return shown(parse_put_object(reply), show_put); }}},
    {"head_object",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.head_object(signing, std::string(line.at("key")), line.value("version_id", ""));
      },
      [](auto& reply, auto&) { return shown(parse_head_object(reply), show_head); }}},
    {"get_object",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.get_object(signing, std::string(line.at("key")), line.value("range", ""),
                                  line.value("version_id", ""));
      },
      [](auto& reply, auto&) { return shown(parse_get_object(reply), show_head); }}},
    {"delete_object",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.delete_object(signing, std::string(line.at("key")), line.value("version_id", ""));
      },
      [](auto& reply, auto&) { return shown(parse_delete_object(reply), show_delete); }}},
    {"delete_objects",
     {[](auto& builder, auto& signing, auto& line) { return builder.delete_objects(signing, objects_of(line)); },
      [](auto& reply, auto& line) {
        return shown(parse_delete_objects(reply, objects_of(line)), [](const DeleteObjectsReply& done) {
          Json errors = Json::object();
          for (const DeletedObject& object : done.objects)
            if (object.error) errors[object.key] = object.error->describe();
          return Json{{"errors", errors}};
        });
      }}},
    {"copy_object",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.copy_object(signing,
                                   {.from_key = std::string(line.at("from")), .to_key = std::string(line.at("key"))});
      },
      [](auto& reply, auto&) { return shown(parse_copy_object(reply), show_put); }}},
    {"create_multipart_upload",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.create_multipart_upload(signing, std::string(line.at("key")), line.value("content_type", ""),
                                               sha256_from_hex(line.value("sha256", "")));
      },
      [](auto& reply, auto&) {
        return shown(parse_create_multipart_upload(reply), [](const std::string& id) {
          return Json{{"upload_id", id}};
        });
      }}},
    {"upload_part",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.upload_part(signing, std::string(line.at("key")), std::string(line.at("upload_id")),
                                   line.at("number"), body_of(line));
      },
      [](auto& reply, auto&) { return shown(parse_upload_part(reply), show_put); }}},
    {"complete_multipart_upload",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.complete_multipart_upload(signing, std::string(line.at("key")),
                                                 std::string(line.at("upload_id")), parts_of(line),
                                                 line.value("if_none_match", false));
      },
      [](auto& reply, auto&) {
        return shown(parse_complete_multipart_upload(reply), [](const CompleteReply& done) {
          return Json{{"etag", done.etag}};
        });
      }}},
    {"abort_multipart_upload",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.abort_multipart_upload(signing, std::string(line.at("key")), std::string(line.at("upload_id")));
      },
      [](auto& reply, auto&) { return shown(parse_abort_multipart_upload(reply), show_delete); }}},
    {"list_multipart_uploads",
     {[](auto& builder, auto& signing, auto& line) {
        return builder.list_multipart_uploads(signing, line.value("prefix", ""), line.value("key_marker", ""),
                                              line.value("upload_id_marker", ""));
      },
      [](auto& reply, auto&) { return shown(parse_list_multipart_uploads(reply), show_uploads); }}},
    {"list_objects_v2",
     {[](auto& builder, auto& signing, auto& line) {
        const std::string prefix = line.value("prefix", ""), after = line.value("start_after", "");
        const std::string token = line.value("continuation_token", "");
        return builder.list_objects_v2(signing, {.prefix = prefix,
                                                 .start_after = after,
                                                 .continuation_token = token,
                                                 .max_keys = line.value("max_keys", list_keys_max)});
      },
      [](auto& reply, auto&) { return shown(parse_list_objects_v2(reply), show_list); }}},
    {"list_object_versions",
     {[](auto& builder, auto& signing, auto& line) {
        const std::string prefix = line.value("prefix", ""), key = line.value("key_marker", ""),
                          version = line.value("version_id_marker", "");
        return builder.list_object_versions(signing,
                                            {.prefix = prefix, .key_marker = key, .version_id_marker = version});
      },
      [](auto& reply, auto&) {
        return shown(parse_list_object_versions(reply), [](const VersionsPage& page) {
          return Json{{"versions", page.versions.size()}};
        });
      }}},
    {"head_bucket",
     {[](auto& builder, auto& signing, auto&) { return builder.head_bucket(signing); },
      [](auto& reply, auto&) {
        return shown(parse_head_bucket(reply), [](const BucketReply& bucket) {
          return Json{{"region", bucket.region}};
        });
      }}},
    {"get_bucket_versioning",
     {[](auto& builder, auto& signing, auto&) { return builder.get_bucket_versioning(signing); },
      [](auto& reply, auto&) {
        return shown(parse_get_bucket_versioning(reply), [](Versioning state) {
          return Json{{"versioning", static_cast<int>(state)}};
        });
      }}},
};

Json described(const HttpRequest& request) {
  Json headers = Json::array();
  for (const auto& [name, value] : request.headers) headers.push_back({name, value});
  return {{"method", request.method},
          {"url", request.url},
          {"headers", headers},
          {"body", base64_of(request.body ? *request.body : "")}};
}

HttpReply sent(HttpClient& client, HttpRequest request) {
  HttpReply result;
  client.start(std::move(request), [&](HttpReply&& reply) { result = std::move(reply); });
  while (client.active() > 0) client.run(std::chrono::seconds{1});
  return result;
}

class Probe {
 public:
  explicit Probe(bool send) : send_(send) {}

  Json answer(const Json& line) {
    const std::string name = line.at("operation");
    if (name == "key_corpus") return {{"keys", key_corpus()}};
    if (name == "xml_safe") return {{"safe", xml_safe(std::string(line.at("key")))}};
    if (name == "multipart_etag") return {{"etag", multipart_etag(digests_of(line))}};
    const Credentials credentials{.access_key_id = line.value("access_key", "AKIDEXAMPLE"),
                                  .secret_access_key = Secret(line.value("secret_key", "wJalrXUtnFEMI/EXAMPLEKEY")),
                                  .session_token = Secret(line.value("session_token", ""))};
    std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
    if (line.contains("time")) now = std::chrono::system_clock::time_point{std::chrono::seconds{line.at("time")}};
    const std::string region = line.value("region", "us-east-1");
    const SigningCredentials keys{credentials.access_key_id, credentials.secret_access_key.reveal(),
                                  credentials.session_token.reveal()};

    if (name == "sign") {
      const std::vector<NameValue> headers = pairs_of(line, "headers");
      const std::string method = line.at("method"), path = line.at("path"), hash = line.at("payload_hash");
      const std::string query = canonical_query(pairs_of(line, "query"));
      return {{"query", query},
              {"authorization", authorization_header({method, path, query, &headers, hash}, keys, SigningTime(now),
                                                     region, key_cache_)}};
    }
    if (name == "presign") {
      const auto endpoint = parse_endpoint(std::string(line.at("endpoint")));
      const std::vector<NameValue> headers = {{"host", endpoint.value().authority()}};
      const std::string method = line.at("method");
      const std::string path =
          "/" + std::string(line.at("bucket")) + "/" + percent_encode_path(std::string(line.at("key")));
      const std::string query = canonical_query(pairs_of(line, "query"));
      return {{"url", presigned_url({method, path, query, &headers, unsigned_payload},
                                    endpoint->scheme() + "://" + endpoint->authority(), keys, SigningTime(now), region,
                                    std::chrono::seconds{line.at("expiry")}, key_cache_)}};
    }

    const Operation& operation = operations.at(name);
    S3RequestBuilder builder({.endpoint = line.at("endpoint"),
                              .bucket = line.at("bucket"),
                              .region = region,
                              .path_style = line.value("path_style", true),
                              .checksums = line.value("checksums", false)});
    HttpRequest request = operation.build(builder, {credentials, now}, line);
    Json out = described(request);
    if (send_) {
      out.erase("body");
      const HttpReply reply = sent(client_, std::move(request));
      out["outcome"] = static_cast<int>(reply.outcome);
      out["status"] = reply.status;
      out["reply_body"] = base64_of(reply.body);
      out.update(operation.read(reply, line));
    }
    return out;
  }

 private:
  bool send_;
  HttpClient client_;
  SigningKeyCache key_cache_;
};

}  // namespace
}  // namespace objectlink

int main(int argc, char** argv) {
  using objectlink::Json;
  objectlink::Probe probe(argc > 1 && std::string(argv[1]) == "--send");
  for (std::string line; std::getline(std::cin, line);) {
    Json answer;
    try {
      answer = probe.answer(Json::parse(line));
    } catch (const std::exception& error) {
      answer = {{"exception", error.what()}};
    }
    std::cout << answer.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  }
}
