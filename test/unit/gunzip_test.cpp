// Goal: what a gzip holds comes out in bounded pieces however it is cut; one that is damaged or not whole is never taken for whole.
// Method: gzips made by zlib itself, cut at every byte, with every byte changed; a bomb.
#include "gunzip.hpp"

#include <gtest/gtest.h>

#include "gzip_of.hpp"

namespace objectlink {
namespace {

// Everything that comes out, in steps of `step` bytes, or nothing if it is broken or not whole.
std::optional<std::string> unzip(const std::string& bytes, std::size_t piece, std::size_t step = 7) {
  Gunzip gunzip;
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += piece) {
    gunzip.give(bytes.substr(at, piece));
    for (;;) {
      const std::size_t before = out.size();
      const auto result = gunzip.inflate(out, step);
      EXPECT_LE(out.size(), before + step);
      if (result == Gunzip::Step::broken) return std::nullopt;
      if (result == Gunzip::Step::hungry) break;
    }
  }
  if (!gunzip.is_whole()) return std::nullopt;
  return out;
}

TEST(Gunzip, GivesWhatWasPutInHoweverItIsCut) {
  for (const std::string text : {"", "a", "hello hello hello hello"})
    for (const std::size_t piece : {1, 2, 5, 1000})
      for (const std::size_t step : {1, 3, 1000})
        EXPECT_EQ(unzip(gzip_of(text), piece, step), text) << piece << " " << step;
}

TEST(Gunzip, MembersOneBehindTheOtherAreOneFile) {
  EXPECT_EQ(unzip(gzip_of("one,") + gzip_of("") + gzip_of("two"), 3), "one,two");
}

TEST(Gunzip, IsWholeOnlyAtTheEnd) {
  const std::string bytes = gzip_of("some text, some text, some more text");
  for (std::size_t length = 0; length < bytes.size(); ++length)
    EXPECT_EQ(unzip(bytes.substr(0, length), 4), std::nullopt) << length;
}

TEST(Gunzip, RubbishIsBroken) {
  EXPECT_EQ(unzip("no gzip at all", 5), std::nullopt);
  EXPECT_EQ(unzip(gzip_of("text") + "rubbish", 1000), std::nullopt);
  EXPECT_EQ(unzip(gzip_of("text") + std::string(8, '\0'), 1000), std::nullopt);
  // A zlib stream is none either.
  EXPECT_EQ(unzip("\x78\x9c\x03\x00\x00\x00\x00\x01", 1000), std::nullopt);
}

TEST(Gunzip, NoChangedByteGivesAnotherText) {
  const std::string text = "key,1\nkey,2\nkey,3\n";
  const std::string bytes = gzip_of(text);
  int refused = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = bytes;
      changed[at] = static_cast<char>(changed[at] ^ (1 << bit));
      const auto out = unzip(changed, 6);
      refused += !out;
      // Time and name of the origin mean nothing.
      EXPECT_TRUE(!out || *out == text) << at << " " << bit;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(Gunzip, ABombComesOutAsSlowlyAsItIsAskedFor) {
  Gunzip gunzip;
  gunzip.give(gzip_of(std::string(10'000'000, 'x')));
  std::string out;
  EXPECT_EQ(gunzip.inflate(out, 1000), Gunzip::Step::bytes);
  EXPECT_EQ(out, std::string(1000, 'x'));
}

}  // namespace
}  // namespace objectlink
