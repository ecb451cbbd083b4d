// Goal: each operation is the request that S3 expects, and no key can turn it into another request.
// Method: requests are looked at as text; the key corpus; refusals. (Signatures: sigv4_test and test/sigv4.)
#include "s3_request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>

#include "key_corpus.hpp"
#include "s3_xml.hpp"

namespace objectlink {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class S3Request : public testing::Test {
 protected:
  static StoreEndpoint store() {
    return {.endpoint = "http://127.0.0.1:9000", .bucket = "docs", .region = "eu-west-1"};
  }
  static std::string header(const HttpRequest& request, std::string_view name) {
    std::string found = "(none)";
    for (const auto& [key, value] : request.headers) {
      if (key != name) continue;
      EXPECT_EQ(found, "(none)") << "twice: " << name;
      found = value;
    }
    return found;
  }
  static std::shared_ptr<const std::string> body(std::string text) {
    return std::make_shared<const std::string>(std::move(text));
  }

  const Credentials credentials_{.access_key_id = "AKID", .secret_access_key = Secret("secret")};
  const Signing signing_{credentials_, std::chrono::sys_days{std::chrono::year{2024} / 2 / 29} + 1h};
  S3RequestBuilder builder_{store()};
};

TEST_F(S3Request, PutCarriesDigestsAndIsSigned) {
  const HttpRequest put = builder_.put_object(signing_, {.key = "a b", .body = body("hello")});
  EXPECT_EQ(put.method, "PUT");
  EXPECT_EQ(put.url, "http://127.0.0.1:9000/docs/a%20b");
  EXPECT_EQ(*put.body, "hello");
  EXPECT_EQ(header(put, "host"), "127.0.0.1:9000");
  EXPECT_EQ(header(put, "content-md5"), "XUFAKrxLKna5cZ2REBfFkg==");
  EXPECT_EQ(header(put, "content-type"), "application/octet-stream");
  EXPECT_EQ(header(put, "x-amz-date"), "20240229T010000Z");
  EXPECT_EQ(header(put, "x-amz-content-sha256"), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
  EXPECT_EQ(header(put, "x-amz-meta-objectlink-sha256"), header(put, "x-amz-content-sha256"));
  EXPECT_EQ(header(put, "x-amz-checksum-sha256"), "(none)");
  EXPECT_EQ(header(put, "if-none-match"), "(none)");
  EXPECT_EQ(header(put, "if-match"), "(none)");
  EXPECT_EQ(header(put, "x-amz-security-token"), "(none)");
  EXPECT_THAT(
      header(put, "authorization"),
      HasSubstr("Credential=AKID/20240229/eu-west-1/s3/aws4_request, SignedHeaders=content-md5;content-type;host;"
                "x-amz-content-sha256;x-amz-date;x-amz-meta-objectlink-sha256, Signature="));
}

TEST_F(S3Request, PutWithConditionsAndAnEmptyBody) {
  const HttpRequest put = builder_.put_object(
      signing_, {.key = "k", .content_type = "text/plain", .if_none_match = true, .if_match = "\"abc\""});
  ASSERT_NE(put.body, nullptr);
  EXPECT_EQ(*put.body, "");
  EXPECT_EQ(header(put, "content-type"), "text/plain");
  EXPECT_EQ(header(put, "if-none-match"), "*");
  EXPECT_EQ(header(put, "if-match"), "\"abc\"");
  EXPECT_EQ(header(put, "x-amz-content-sha256"), sha256_of_nothing);
}

TEST_F(S3Request, AKnownDigestIsNotComputedAgain) {
  const HttpRequest put = builder_.put_object(signing_, {.key = "k", .body = body("x"), .sha256 = sha256("other")});
  EXPECT_EQ(header(put, "x-amz-content-sha256"), hex(sha256("other")));  // which the store will refuse
}

TEST_F(S3Request, ChecksumsOnlyWhereTheStoreKnowsThem) {
  StoreEndpoint with = store();
  with.checksums = true;
  S3RequestBuilder builder(with);
  const HttpRequest put = builder.put_object(signing_, {.key = "k", .body = body("hello")});
  EXPECT_EQ(header(put, "x-amz-checksum-sha256"), base64(sha256("hello")));
  EXPECT_EQ(header(builder.head_object(signing_, "k"), "x-amz-checksum-mode"), "ENABLED");
  EXPECT_EQ(header(builder_.head_object(signing_, "k"), "x-amz-checksum-mode"), "(none)");
}

TEST_F(S3Request, TemporaryCredentialsSendTheirToken) {
  Credentials temporary = credentials_;
  temporary.session_token = Secret("token");
  const HttpRequest head = builder_.head_object({temporary, signing_.now}, "k");
  EXPECT_EQ(header(head, "x-amz-security-token"), "token");
  EXPECT_THAT(header(head, "authorization"), HasSubstr("x-amz-security-token"));
}

TEST_F(S3Request, TheSecretIsNowhereInTheRequest) {
  const HttpRequest put = builder_.put_object(signing_, {.key = "k", .body = body("x")});
  for (const auto& [name, value] : put.headers) EXPECT_EQ(value.find("secret"), std::string::npos) << name;
}

TEST_F(S3Request, NoKeyLeavesItsBucketOrItsPath) {
  for (const std::string& key : key_corpus()) {
    const std::string path = "http://127.0.0.1:9000/docs/" + percent_encode_path(key);
    EXPECT_EQ(builder_.head_object(signing_, key).url, path);
    EXPECT_EQ(builder_.get_object(signing_, key).url, path);
    EXPECT_EQ(builder_.delete_object(signing_, key).url, path);
    EXPECT_EQ(builder_.put_object(signing_, {.key = key}).url, path);
    EXPECT_EQ(path.find_first_of("?#\r\n \\\""), std::string::npos) << path;
  }
}

TEST_F(S3Request, AnEmptyKeyIsRefused) {
  EXPECT_THROW(builder_.delete_object(signing_, ""), std::invalid_argument);
  EXPECT_THROW(builder_.put_object(signing_, {.key = ""}), std::invalid_argument);
  EXPECT_THROW(builder_.head_object(signing_, ""), std::invalid_argument);
  EXPECT_THROW(builder_.delete_objects(signing_, {{"", ""}}), std::invalid_argument);
  EXPECT_THROW(builder_.abort_multipart_upload(signing_, "", "u"), std::invalid_argument);
}

TEST_F(S3Request, VersionsAreNamedInTheQuery) {
  EXPECT_THAT(builder_.head_object(signing_, "k", "v+1").url, testing::EndsWith("/k?versionId=v%2B1"));
  EXPECT_THAT(builder_.delete_object(signing_, "k", "null").url, testing::EndsWith("/k?versionId=null"));
  EXPECT_THAT(builder_.get_object(signing_, "k?versionId=x").url, testing::EndsWith("/k%3FversionId%3Dx"));
}

TEST_F(S3Request, GetCanAskForARange) {
  const HttpRequest get = builder_.get_object(signing_, "k", "bytes=0-9", "", 10);
  EXPECT_EQ(header(get, "range"), "bytes=0-9");
  EXPECT_EQ(get.max_body_bytes, 10u);
  EXPECT_EQ(header(builder_.get_object(signing_, "k"), "range"), "(none)");
}

TEST_F(S3Request, DeleteCanBeConditional) {
  EXPECT_EQ(header(builder_.delete_object(signing_, "k", "", "\"e\""), "if-match"), "\"e\"");
  EXPECT_EQ(header(builder_.delete_object(signing_, "k"), "if-match"), "(none)");
}

TEST_F(S3Request, DeleteObjectsKeepsEverySafeKey) {
  std::vector<ObjectVersion> objects;
  for (const std::string& key : key_corpus())
    if (xml_safe(key)) objects.push_back({key, ""});
  ASSERT_GT(objects.size(), 40u);
  objects.push_back({"versioned", "v<1>"});
  const HttpRequest request = builder_.delete_objects(signing_, objects);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.url, "http://127.0.0.1:9000/docs/?delete=");
  EXPECT_EQ(header(request, "content-md5"), base64(md5(*request.body)));
  EXPECT_EQ(header(request, "content-type"), "application/xml");

  pugi::xml_document document;
  ASSERT_TRUE(parse_xml(*request.body, document));
  std::vector<ObjectVersion> read;
  for (const pugi::xml_node& object : root_named(document, "Delete").children("Object"))
    read.push_back({std::string(child_text(object, "Key")), std::string(child_text(object, "VersionId"))});
  ASSERT_EQ(read.size(), objects.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].key, objects[i].key);
    EXPECT_EQ(read[i].version_id, objects[i].version_id);
  }
  EXPECT_EQ(request.body->find("Quiet"), std::string::npos);
}

TEST_F(S3Request, DeleteObjectsHasLimits) {
  EXPECT_THROW(builder_.delete_objects(signing_, {}), std::invalid_argument);
  EXPECT_NO_THROW(builder_.delete_objects(signing_, std::vector<ObjectVersion>(1000, {"k", ""})));
  EXPECT_THROW(builder_.delete_objects(signing_, std::vector<ObjectVersion>(1001, {"k", ""})), std::invalid_argument);
  EXPECT_THROW(builder_.delete_objects(signing_, {{"fine", ""}, {"\x01", ""}}), std::invalid_argument);
}

TEST_F(S3Request, XmlSafeRefusesWhatAParserMightChange) {
  for (const char* key : {"a", "a b", "&<>\"'", "]]>", "\xc3\xa9", "\xef\xbf\xbd", "\xee\x80\x80", "\xf0\x9f\x98\x80",
                          "a\xe2\x80\x83z", "../x"})
    EXPECT_TRUE(xml_safe(key)) << key;
  for (const char* key : {"",
                          "\x01",
                          "\t",
                          "a\nb",
                          "a\rb",
                          "a\tb",
                          "\x7f",
                          "\xc2\x85",
                          " a",
                          "a ",
                          " ",
                          "\xc2\xa0x",
                          "x\xe3\x80\x80",
                          "a\xe2\x80\xa8z",
                          "\xef\xbf\xbe",
                          "a\xef\xbf\xbf",
                          "\xef\xbb\xbfx",
                          "\xff",
                          "a\xc3",
                          "\xc0\xaf",
                          "\xed\xa0\x80",
                          "\xf4\x90\x80\x80",
                          "\xf0\x80\x80\xaf",
                          "\xf0\x9f\xbf\xbe"})
    EXPECT_FALSE(xml_safe(key)) << key;
  EXPECT_FALSE(xml_safe(std::string("a\0b", 3)));
}

TEST_F(S3Request, MultipartGoesThroughItsSteps) {
  const HttpRequest create = builder_.create_multipart_upload(signing_, "k", "text/plain", sha256("x"));
  EXPECT_EQ(create.method, "POST");
  EXPECT_THAT(create.url, testing::EndsWith("/docs/k?uploads="));
  EXPECT_EQ(header(create, "x-amz-meta-objectlink-sha256"), hex(sha256("x")));

  const HttpRequest part = builder_.upload_part(signing_, "k", "up/load+id", 7, body("part"));
  EXPECT_EQ(part.method, "PUT");
  EXPECT_THAT(part.url, testing::EndsWith("/docs/k?partNumber=7&uploadId=up%2Fload%2Bid"));
  EXPECT_EQ(header(part, "content-md5"), base64(md5("part")));

  const HttpRequest complete =
      builder_.complete_multipart_upload(signing_, "k", "id", {{1, "\"a<b\""}, {2, "\"c\""}}, true);
  EXPECT_EQ(complete.method, "POST");
  EXPECT_EQ(header(complete, "if-none-match"), "*");
  EXPECT_THAT(*complete.body, HasSubstr("<Part><PartNumber>1</PartNumber><ETag>\"a&lt;b\"</ETag></Part><Part>"
                                        "<PartNumber>2</PartNumber>"));

  const HttpRequest abort = builder_.abort_multipart_upload(signing_, "k", "id");
  EXPECT_EQ(abort.method, "DELETE");
  EXPECT_THAT(abort.url, testing::EndsWith("/docs/k?uploadId=id"));
}

TEST_F(S3Request, ListingsStartAfterAKeyOrGoOnWithAToken) {
  EXPECT_THAT(builder_.list_objects_v2(signing_, {}).url,
              testing::EndsWith("/docs/?encoding-type=url&list-type=2&max-keys=1000"));
  EXPECT_THAT(
      builder_.list_objects_v2(signing_, {.prefix = "a b/", .start_after = "a b/\x01", .max_keys = 2}).url,
      testing::EndsWith("/docs/?encoding-type=url&list-type=2&max-keys=2&prefix=a%20b%2F&start-after=a%20b%2F%01"));
  EXPECT_THAT(builder_.list_objects_v2(signing_, {.start_after = "x", .continuation_token = "t+/="}).url,
              testing::EndsWith("/docs/?continuation-token=t%2B%2F%3D&encoding-type=url&list-type=2&max-keys=1000"));
}

TEST_F(S3Request, VersionsAreListedFromAKeyAndAVersion) {
  EXPECT_THAT(builder_.list_object_versions(signing_, {}).url,
              testing::EndsWith("/docs/?encoding-type=url&max-keys=1000&versions="));
  EXPECT_THAT(
      builder_
          .list_object_versions(signing_,
                                {.prefix = "a b", .key_marker = "a b/", .version_id_marker = "v+1", .max_keys = 2})
          .url,
      testing::EndsWith(
          "/docs/?encoding-type=url&key-marker=a%20b%2F&max-keys=2&prefix=a%20b&version-id-marker=v%2B1&versions="));
}

TEST_F(S3Request, ADeletionMayDependOnAnETag) {
  EXPECT_EQ(header(builder_.delete_object(signing_, "k", {}, "\"e\""), "if-match"), "\"e\"");
  const HttpRequest many = builder_.delete_objects(signing_, {{"a", {}, "\"e<\""}, {"b", {}, {}}});
  EXPECT_THAT(*many.body,
              HasSubstr("<Object><Key>a</Key><ETag>\"e&lt;\"</ETag></Object><Object><Key>b</Key></Object>"));
}

TEST_F(S3Request, AChecksumIsSentThoughTheStoreIsNotKnownToTakeIt) {
  PutObject put{.key = "k", .body = body("x")};
  EXPECT_EQ(header(builder_.put_object(signing_, put), "x-amz-checksum-sha256"), "(none)");
  put.checksum = sha256("y");
  EXPECT_EQ(header(builder_.put_object(signing_, put), "x-amz-checksum-sha256"), base64(sha256("y")));
}

TEST_F(S3Request, BucketRequestsAndCopies) {
  EXPECT_EQ(builder_.head_bucket(signing_).url, "http://127.0.0.1:9000/docs/");
  EXPECT_EQ(builder_.head_bucket(signing_).method, "HEAD");
  EXPECT_THAT(builder_.get_bucket_versioning(signing_).url, testing::EndsWith("/docs/?versioning="));
  EXPECT_EQ(header(builder_.copy_object(signing_, {.from_key = "a b/?", .to_key = "c"}), "x-amz-copy-source"),
            "/docs/a%20b/%3F");
  EXPECT_EQ(header(builder_.copy_object(signing_, {.from_key = "a", .to_key = "c"}), "if-none-match"), "(none)");
  const auto careful = builder_.copy_object(
      signing_, {.from_key = "a", .to_key = "c", .if_source_match = "\"e\"", .if_none_match = true});
  EXPECT_EQ(header(careful, "x-amz-copy-source-if-match"), "\"e\"");
  EXPECT_EQ(header(careful, "if-none-match"), "*");
  EXPECT_THAT(builder_.list_parts(signing_, "k", "u").url, testing::EndsWith("/docs/k?uploadId=u"));
  EXPECT_THAT(builder_.list_parts(signing_, "k", "u", 1000).url,
              testing::EndsWith("/docs/k?part-number-marker=1000&uploadId=u"));
  EXPECT_THAT(builder_.list_multipart_uploads(signing_, "p/", "k", "u").url,
              testing::EndsWith("/docs/?key-marker=k&prefix=p%2F&upload-id-marker=u&uploads="));
}

TEST_F(S3Request, TheBucketMayBePartOfTheHost) {
  StoreEndpoint aws{.endpoint = "https://s3.eu-west-1.amazonaws.com:443/", .bucket = "docs", .path_style = false};
  S3RequestBuilder builder(aws);
  const HttpRequest head = builder.head_object(signing_, "/k");
  EXPECT_EQ(head.url, "https://docs.s3.eu-west-1.amazonaws.com//k");
  EXPECT_EQ(header(head, "host"), "docs.s3.eu-west-1.amazonaws.com");
  EXPECT_EQ(builder.head_bucket(signing_).url, "https://docs.s3.eu-west-1.amazonaws.com/");
}

TEST_F(S3Request, ACorrectedRegionIsSignedWith) {
  builder_.set_region("ap-south-1");
  EXPECT_THAT(header(builder_.head_bucket(signing_), "authorization"), HasSubstr("/ap-south-1/s3/"));
}

TEST_F(S3Request, TheStoresLimitsAreTheRequests) {
  StoreEndpoint limited = store();
  limited.connect_timeout = 1s;
  limited.request_timeout = 2s;
  limited.ca_file = "/etc/ca.pem";
  const HttpRequest head = S3RequestBuilder(limited).head_bucket(signing_);
  EXPECT_EQ(head.connect_timeout, 1s);
  EXPECT_EQ(head.request_timeout, 2s);
  EXPECT_EQ(head.ca_file, "/etc/ca.pem");
}

TEST_F(S3Request, ABrokenStoreIsRefused) {
  for (const char* endpoint : {"", "127.0.0.1:9000", "http://u:p@h", "http://h/path"}) {
    StoreEndpoint broken = store();
    broken.endpoint = endpoint;
    EXPECT_THROW(S3RequestBuilder{broken}, std::invalid_argument) << endpoint;
  }
  for (const char* bucket : {"", "ab", "a/b", "..", ".ab", "a b", "a?b", "\xc3\xa9t\xc3\xa9"}) {
    StoreEndpoint broken = store();
    broken.bucket = bucket;
    EXPECT_THROW(S3RequestBuilder{broken}, std::invalid_argument) << bucket;
  }
  EXPECT_THROW(S3RequestBuilder({.endpoint = "http://[::1]", .bucket = "docs", .path_style = false}),
               std::invalid_argument);
}

}  // namespace
}  // namespace objectlink
