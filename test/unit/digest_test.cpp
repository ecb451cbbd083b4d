// Goal: digests and their text forms are the standard ones, and malformed text is refused.
// Method: vectors of FIPS 180, RFC 1321, RFC 4231 and RFC 4648; pieces against the whole; broken text.
#include "core/digest.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (int value : values) out += static_cast<char>(value);
  return out;
}

std::string base64_of(std::string_view text) {
  return base64({reinterpret_cast<const unsigned char*>(text.data()), text.size()});
}

TEST(Digest, Sha256OfKnownTexts) {
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha256(std::string(1'000'000, 'a'))),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Digest, Md5OfKnownTexts) {
  EXPECT_EQ(hex(md5("")), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(hex(md5("message digest")), "f96b697d7cb7938d525a2f31aaf161d0");
}

TEST(Digest, HmacOfRfc4231) {
  EXPECT_EQ(hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  // A key longer than a block is hashed first.
  EXPECT_EQ(hex(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Digest, PiecesGiveTheDigestOfTheWhole) {
  const std::string whole(10'000, 'q');
  Sha256Stream stream;
  Md5Stream other;
  for (std::size_t at = 0; at < whole.size(); at += 777) {
    stream.update(std::string_view(whole).substr(at, 777));
    other.update(std::string_view(whole).substr(at, 777));
  }
  EXPECT_EQ(stream.finish(), sha256(whole));
  EXPECT_EQ(other.finish(), md5(whole));
  EXPECT_EQ(Sha256Stream().finish(), sha256(""));
  EXPECT_EQ(Md5Stream().finish(), md5(""));
}

TEST(Digest, Base64OfRfc4648) {
  const std::pair<const char*, const char*> cases[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [text, encoded] : cases) {
    EXPECT_EQ(base64_of(text), encoded);
    EXPECT_EQ(unbase64(encoded), text);
  }
  const std::string high = bytes({0xff, 0xfe, 0xfd, 0x00});
  EXPECT_EQ(base64_of(high), "//79AA==");
  EXPECT_EQ(unbase64("//79AA=="), high);
}

TEST(Digest, RefusesBrokenBase64) {
  for (const char* text :
       {"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zm9v Zg==", "Zm9v\n", "Zg==Zg==", "Z-_=", "Zh==", "Zm9="})
    EXPECT_FALSE(unbase64(text)) << text;
}

TEST(Digest, RefusesBrokenHex) {
  EXPECT_EQ(unhex("00fFaB"), bytes({0x00, 0xff, 0xab}));
  for (const char* text : {"0", "0g", "g0", " 0", "0x00", "000"}) EXPECT_FALSE(unhex(text)) << text;
}

TEST(Digest, ASha256HasThirtyTwoBytes) {
  EXPECT_EQ(sha256_from_hex(hex(sha256("abc"))), sha256("abc"));
  EXPECT_EQ(sha256_from_base64(base64(sha256("abc"))), sha256("abc"));
  EXPECT_FALSE(sha256_from_hex(""));
  EXPECT_FALSE(sha256_from_hex(hex(md5("abc"))));
  EXPECT_FALSE(sha256_from_base64(base64(sha256("abc")) + "-3"));  // a multipart digest of digests
}

}  // namespace
}  // namespace objectlink
