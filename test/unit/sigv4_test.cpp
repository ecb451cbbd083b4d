// Goal: signatures are those of AWS. (Thousands of random requests against botocore are in test/sigv4.)
// Method: the examples of the S3 API reference, "Authenticating Requests"; what must change a signature does.
#include "core/sigv4.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace objectlink {
namespace {

using namespace std::chrono_literals;

constexpr SigningCredentials example{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
const SigningTime example_time{std::chrono::sys_days{std::chrono::year{2013} / 5 / 24}};
const std::string nothing_hash(sha256_of_nothing);

std::string sign(std::string_view method, std::string_view path, std::string_view query, std::vector<NameValue> headers,
                 const std::string& payload_hash = nothing_hash) {
  headers.emplace_back("host", "examplebucket.s3.amazonaws.com");
  headers.emplace_back("x-amz-content-sha256", payload_hash);
  headers.emplace_back("x-amz-date", example_time.stamp);
  SigningKeyCache keys;
  return authorization_header({method, path, query, &headers, payload_hash}, example, example_time, "us-east-1", keys);
}

std::string expected(const std::string& headers, const std::string& signature) {
  return "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=" +
         headers + ", Signature=" + signature;
}

TEST(SigV4, SignsTheGetOfTheReference) {
  EXPECT_EQ(sign("GET", "/test.txt", "", {{"range", "bytes=0-9"}}),
            expected("host;range;x-amz-content-sha256;x-amz-date",
                     "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"));
}

TEST(SigV4, SignsThePutOfTheReference) {
  EXPECT_EQ(sign("PUT", "/test%24file.text", "",
                 {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                 hex(sha256("Welcome to Amazon S3."))),
            expected("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                     "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"));
}

TEST(SigV4, SignsTheLifecycleRequestOfTheReference) {
  EXPECT_EQ(sign("GET", "/", canonical_query({{"lifecycle", ""}}), {}),
            expected("host;x-amz-content-sha256;x-amz-date",
                     "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"));
}

TEST(SigV4, SignsTheListingOfTheReference) {
  EXPECT_EQ(sign("GET", "/", canonical_query({{"prefix", "J"}, {"max-keys", "2"}}), {}),
            expected("host;x-amz-content-sha256;x-amz-date",
                     "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"));
}

TEST(SigV4, PresignsTheGetOfTheReference) {
  SigningKeyCache keys;
  const std::vector<NameValue> headers = {{"host", "examplebucket.s3.amazonaws.com"}};
  EXPECT_EQ(presigned_url({"GET", "/test.txt", "", &headers, unsigned_payload},
                          "https://examplebucket.s3.amazonaws.com", example, example_time, "us-east-1", 86400s, keys),
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
            "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires="
            "86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(SigV4, PresigningRefusesImpossibleExpiries) {
  SigningKeyCache keys;
  const std::vector<NameValue> headers = {{"host", "h"}};
  for (const std::chrono::seconds expiry : {0s, -1s, std::chrono::seconds(7 * 86400 + 1)})
    EXPECT_THROW(presigned_url({"GET", "/x", "", &headers, unsigned_payload}, "https://h", example, example_time,
                               "us-east-1", expiry, keys),
                 std::invalid_argument);
}

TEST(SigV4, PresigningKeepsTheRequestsOwnQuerySorted) {
  SigningKeyCache keys;
  const std::vector<NameValue> headers = {{"host", "h"}};
  SigningCredentials temporary = example;
  temporary.session_token = "a/b+c=";
  const std::string url = presigned_url({"PUT", "/x", "partNumber=1&uploadId=u", &headers, unsigned_payload},
                                        "https://h", temporary, example_time, "us-east-1", 60s, keys);
  EXPECT_NE(
      url.find("&X-Amz-Security-Token=a%2Fb%2Bc%3D&X-Amz-SignedHeaders=host&partNumber=1&uploadId=u&X-Amz-Signature="),
      url.npos)
      << url;
}

TEST(SigV4, QueryIsSortedByEncodedBytes) {
  EXPECT_EQ(canonical_query({}), "");
  EXPECT_EQ(canonical_query({{"uploads", ""}}), "uploads=");
  EXPECT_EQ(canonical_query({{"b", "2"}, {"a", "1"}, {"A", "0"}, {"a", "0"}}), "A=0&a=0&a=1&b=2");
  EXPECT_EQ(canonical_query({{"prefix", "a b/c+d&e=f"}}), "prefix=a%20b%2Fc%2Bd%26e%3Df");
}

TEST(SigV4, HeadersAreSortedAndTheirBlanksFolded) {
  const std::vector<NameValue> headers = {{"x-b", "  two   words "}, {"host", "h"}, {"x-a", ""}};
  EXPECT_EQ(canonical_request({"GET", "/", "", &headers, "hash"}),
            "GET\n/\n\nhost:h\nx-a:\nx-b:two words\n\nhost;x-a;x-b\nhash");
}

TEST(SigV4, EveryPartChangesTheSignature) {
  const std::string base = sign("GET", "/a", "x=1", {{"x-amz-meta-a", "1"}});
  EXPECT_NE(base, sign("PUT", "/a", "x=1", {{"x-amz-meta-a", "1"}}));
  EXPECT_NE(base, sign("GET", "/b", "x=1", {{"x-amz-meta-a", "1"}}));
  EXPECT_NE(base, sign("GET", "/a", "x=2", {{"x-amz-meta-a", "1"}}));
  EXPECT_NE(base, sign("GET", "/a", "x=1", {{"x-amz-meta-a", "2"}}));
  EXPECT_NE(base, sign("GET", "/a", "x=1", {{"x-amz-meta-a", "1"}}, hex(sha256("x"))));
}

TEST(SigV4, TheKeyCacheNeverServesAnotherScope) {
  SigningKeyCache keys;
  for (const char* secret : {"s1", "s2"})
    for (const char* date : {"20240101", "20240102"})
      for (const char* region : {"us-east-1", "eu-west-1", ""}) {
        EXPECT_EQ(keys.get(secret, date, region), derive_signing_key(secret, date, region));
        EXPECT_EQ(keys.get(secret, date, region), derive_signing_key(secret, date, region));
      }
}

TEST(SigV4, TimesBeforeAMinuteOrDayEndAreNotRounded) {
  const auto day = std::chrono::sys_days{std::chrono::year{2024} / 2 / 29};
  EXPECT_EQ(SigningTime(day + 23h + 59min + 59s + 999ms).stamp, "20240229T235959Z");
  EXPECT_EQ(SigningTime(day + 24h).date(), "20240301");
}

}  // namespace
}  // namespace objectlink
