// Goal: an ETag is taken for a proof only where it is one.
// Method: the forms that stores send; digests computed by other tools.
#include "s3_etag.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

TEST(Etag, QuotesAndWeaknessAreNotPartOfIt) {
  EXPECT_EQ(bare_etag("\"abc\""), "abc");
  EXPECT_EQ(bare_etag("W/\"abc\""), "abc");
  EXPECT_EQ(bare_etag("abc"), "abc");
  EXPECT_EQ(bare_etag("\""), "\"");
  EXPECT_EQ(bare_etag(""), "");
}

TEST(Etag, OnlyThirtyTwoHexDigitsMayBeAnMd5) {
  const Md5 digest = md5("hello");
  EXPECT_TRUE(etag_is_md5("\"5d41402abc4b2a76b9719d911017c592\"", digest));
  EXPECT_TRUE(etag_is_md5("5D41402ABC4B2A76B9719D911017C592", digest));
  for (const char* etag : {"", "\"\"", "\"5d41402abc4b2a76b9719d911017c592-1\"", "\"5d41402abc4b2a76b9719d911017c59\"",
                           "\"5d41402abc4b2a76b9719d911017c59g\"", "\"5d41402abc4b2a76b9719d911017c593\""})
    EXPECT_FALSE(etag_is_md5(etag, digest)) << etag;
  EXPECT_TRUE(etag_looks_like_md5("\"5d41402abc4b2a76b9719d911017c593\""));
  EXPECT_FALSE(etag_looks_like_md5("\"5d41402abc4b2a76b9719d911017c593-2\""));
}

TEST(Etag, MultipartIsTheDigestOfDigests) {
  // Computed with Python's hashlib.
  EXPECT_EQ(multipart_etag({md5("a"), md5("b")}), "96e024ba2074fe77e8e965ba43a704be-2");
  EXPECT_EQ(multipart_etag({}), "d41d8cd98f00b204e9800998ecf8427e-0");
  EXPECT_EQ(multipart_etag({md5("a")}), hex(md5(*unhex(hex(md5("a"))))) + "-1");
}

TEST(Etag, SamenessIgnoresQuotesAndTheCaseOfDigests) {
  EXPECT_TRUE(same_etag("\"5d41402abc4b2a76b9719d911017c592-2\"", "5D41402ABC4B2A76B9719D911017C592-2"));
  EXPECT_TRUE(same_etag("opaque", "\"opaque\""));
  EXPECT_FALSE(same_etag("opaque", "Opaque"));
  EXPECT_FALSE(same_etag("", ""));
  EXPECT_FALSE(same_etag("\"\"", ""));
  EXPECT_FALSE(same_etag("\"5d41402abc4b2a76b9719d911017c592-2\"", "\"5d41402abc4b2a76b9719d911017c592-3\""));
}

}  // namespace
}  // namespace objectlink
