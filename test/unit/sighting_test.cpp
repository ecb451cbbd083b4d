// Goal: nothing is called corrupt or missing that may be what was proved, and nothing the same that is not.
// Method: what the registry knows against what a look shows, case by case.
#include "sighting.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

const Sha256 ours = sha256("ours");
const Sha256 theirs = sha256("theirs");

ProvedContent proved(std::string etag = "\"0123456789abcdef0123456789abcdef\"", std::optional<Sha256> digest = ours) {
  return {.size = 4, .etag = std::move(etag), .sha256 = digest};
}

HeadReply seen(std::int64_t size, std::string etag) {
  HeadReply head;
  head.size = size;
  head.etag = std::move(etag);
  return head;
}

TEST(Sighting, NothingThereIsAbsent) { EXPECT_EQ(judge_sighting(proved(), std::nullopt), Sighting::absent); }

TEST(Sighting, QuotesAndCaseOfAnEtagMeanNothing) {
  for (const char* etag : {"0123456789ABCDEF0123456789abcdef", "\"0123456789abcdef0123456789abcdef\"",
                           "W/\"0123456789abcdef0123456789abcdef\""})
    EXPECT_EQ(judge_sighting(proved(), seen(4, etag)), Sighting::same) << etag;
}

TEST(Sighting, AnotherSizeIsAnotherObjectWhateverElseFits) {
  HeadReply head = seen(5, proved().etag);
  head.sha256 = head.metadata_sha256 = ours;
  EXPECT_EQ(judge_sighting(proved(), head), Sighting::other);
}

TEST(Sighting, AnotherEtagIsAnotherObject) {
  EXPECT_EQ(judge_sighting(proved(), seen(4, "\"ffffffffffffffffffffffffffffffff\"")), Sighting::other);
  EXPECT_EQ(judge_sighting(proved(), seen(4, "")), Sighting::other);
}

TEST(Sighting, TheStoresOwnDigestDecides) {
  HeadReply head = seen(4, "\"other\"");
  head.sha256 = ours;
  EXPECT_EQ(judge_sighting(proved(), head), Sighting::same);
  head = seen(4, proved().etag);
  head.sha256 = theirs;
  head.metadata_sha256 = ours;
  EXPECT_EQ(judge_sighting(proved(), head), Sighting::other);
}

TEST(Sighting, ACopyWithAnotherEtagIsKnownByTheDigestThatCameWithIt) {
  HeadReply head = seen(4, "\"0123456789abcdef0123456789abcdee-2\"");
  head.metadata_sha256 = ours;
  EXPECT_EQ(judge_sighting(proved(), head), Sighting::same);
  EXPECT_EQ(judge_sighting(proved("\"x\"", std::nullopt), head), Sighting::other);
  head.metadata_sha256 = theirs;
  EXPECT_EQ(judge_sighting(proved(), head), Sighting::other);
}

TEST(Sighting, WhatWasNeverProvedDiffersFromNothing) {
  EXPECT_EQ(judge_sighting({}, seen(4, "\"x\"")), Sighting::same);
  EXPECT_EQ(judge_sighting({.size = 4, .etag = "", .sha256 = {}}, seen(4, "\"x\"")), Sighting::same);
  EXPECT_EQ(judge_sighting({.size = 3, .etag = "", .sha256 = {}}, seen(4, "\"x\"")), Sighting::other);
}

}  // namespace
}  // namespace objectlink
