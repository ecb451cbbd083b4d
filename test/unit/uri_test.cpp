// Goal: no byte of a key is changed, lost or invented on its way through a URL, and only plain endpoints are accepted.
// Method: every byte, the key corpus, malformed escapes; a table of endpoints.
#include "core/uri.hpp"

#include <gtest/gtest.h>

#include "key_corpus.hpp"

namespace objectlink {
namespace {

TEST(Uri, EncodesEveryByteThatIsNotUnreserved) {
  const std::string kept = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  for (int byte = 0; byte < 256; ++byte) {
    const std::string one(1, static_cast<char>(byte));
    char expected[8];
    std::snprintf(expected, sizeof expected, "%%%02X", static_cast<unsigned>(byte));
    EXPECT_EQ(percent_encode(one), kept.find(one) != one.npos ? one : expected) << byte;
  }
}

TEST(Uri, KeepsOnlyTheSlashInPaths) {
  EXPECT_EQ(percent_encode("a/b c"), "a%2Fb%20c");
  EXPECT_EQ(percent_encode_path("a/b c"), "a/b%20c");
  EXPECT_EQ(percent_encode_path("/a//../b/."), "/a//../b/.");  // nothing is normalised
  EXPECT_EQ(percent_encode_path("!'()*+"), "%21%27%28%29%2A%2B");
  EXPECT_EQ(percent_encode_path("%2F"), "%252F");
}

TEST(Uri, DecodingUndoesEncodingForTheCorpus) {
  for (const std::string& key : key_corpus()) {
    EXPECT_EQ(percent_decode(percent_encode(key), false), key);
    EXPECT_EQ(percent_decode(percent_encode(key), true), key);
    EXPECT_EQ(percent_decode(percent_encode_path(key), false), key);
  }
}

TEST(Uri, PlusIsASpaceOnlyWhereAsked) {
  EXPECT_EQ(percent_decode("a+b%2Bc%20d", true), "a b+c d");
  EXPECT_EQ(percent_decode("a+b%2Bc%20d", false), "a+b+c d");
}

TEST(Uri, RefusesMalformedEscapes) {
  for (const char* text : {"%", "%4", "a%", "%4g", "%g4", "%%41", "% 41", "%+1", "a%4"})
    EXPECT_FALSE(percent_decode(text, true)) << text;
}

struct EndpointCase {
  const char* text;
  bool tls;
  const char* host;
  int port;
  const char* authority;
};

TEST(Endpoint, ReadsSchemeHostAndPort) {
  const EndpointCase cases[] = {
      {"http://127.0.0.1:9000", false, "127.0.0.1", 9000, "127.0.0.1:9000"},
      {"https://s3.eu-west-1.amazonaws.com", true, "s3.eu-west-1.amazonaws.com", 443, "s3.eu-west-1.amazonaws.com"},
      {"https://example.com:443/", true, "example.com", 443, "example.com"},
      {"http://example.com:80", false, "example.com", 80, "example.com"},
      {"http://example.com:443", false, "example.com", 443, "example.com:443"},
      {"http://[::1]:9000", false, "[::1]", 9000, "[::1]:9000"},
      {"http://[::1]", false, "[::1]", 80, "[::1]"},
      {"http://min_io:1", false, "min_io", 1, "min_io:1"},
  };
  for (const EndpointCase& expected : cases) {
    const auto endpoint = parse_endpoint(expected.text);
    ASSERT_TRUE(endpoint) << expected.text;
    EXPECT_EQ(endpoint->tls, expected.tls);
    EXPECT_EQ(endpoint->host, expected.host);
    EXPECT_EQ(endpoint->port, expected.port);
    EXPECT_EQ(endpoint->authority(), expected.authority);
  }
}

TEST(Endpoint, RefusesEverythingElse) {
  for (const char* text : {"",
                           "http",
                           "http:",
                           "http://",
                           "https:///",
                           "ftp://a",
                           "HTTP://a",
                           "a",
                           "a:9000",
                           "//a",
                           "http://a:",
                           "http://a:0",
                           "http://a:65536",
                           "http://a:-1",
                           "http://a:9000x",
                           "http://a:9 0",
                           "http://u@a",
                           "http://u:p@a",
                           "http://a/b",
                           "http://a//",
                           "http://a?x",
                           "http://a#x",
                           "http://a b",
                           "http://a\n",
                           "http://[::1",
                           "http://[]",
                           "http://[::1]x",
                           "http://[x]",
                           "http://.a",
                           "http://-a",
                           "http://a..b",
                           "http://a%20b",
                           "http://a\\b",
                           "http://\xc3\xa9"})
    EXPECT_FALSE(parse_endpoint(text)) << text;
}

}  // namespace
}  // namespace objectlink
