// Goal: a page of a listing proves a key absent only where it could not but have shown it.
// Method: random buckets, keys and pages against a naive model that knows what is in the bucket; then every way in which a page
// can be another than the one that was asked for. OBJECTLINK_SEED replays a failure.
#include "absence.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

namespace objectlink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

unsigned seed() {
  const char* const text = std::getenv("OBJECTLINK_SEED");
  return text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : std::random_device{}();
}

// Short keys over few letters, so that they meet, precede and begin one another often.
std::string random_key(std::mt19937& chance) {
  static const std::vector<std::string> letters = {
      "a", "b", "0", "~", "!", "/", "\xc3\xa9", "\xef\xbf\xbd", "\xf0\x9f\x98\x80", " ", "\n", "\x01"};
  std::string key;
  const auto length = std::uniform_int_distribution<int>(1, 4)(chance);
  for (int i = 0; i < length; ++i)
    key += letters[std::uniform_int_distribution<std::size_t>(0, letters.size() - 1)(chance)];
  return key;
}

// What an honest store answers: at most `most` keys with this prefix behind `after`.
KeyPage honest_page(const std::set<std::string>& bucket, std::string_view after, std::string_view prefix,
                    std::size_t most) {
  KeyPage page{.after = after, .prefix = prefix, .keys = {}, .truncated = false, .in_order = true};
  for (const std::string& key : bucket) {
    if (key <= after || !key.starts_with(prefix)) continue;
    if (page.keys.size() == most) {
      page.truncated = true;
      break;
    }
    page.keys.push_back(key);
  }
  return page;
}

TEST(Absence, WhatAPageProvesIsTrueOfTheBucket) {
  const unsigned start = seed();
  RecordProperty("seed", static_cast<int>(start));
  std::mt19937 chance(start);
  std::size_t proved = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::set<std::string> bucket;
    std::set<std::string> asked;
    for (int i = std::uniform_int_distribution<int>(0, 12)(chance); i > 0; --i) bucket.insert(random_key(chance));
    for (int i = std::uniform_int_distribution<int>(1, 8)(chance); i > 0; --i) asked.insert(random_key(chance));
    const std::vector<std::string> keys(asked.begin(), asked.end());
    const std::string prefix = round % 3 == 0 ? random_key(chance).substr(0, 1) : "";
    const std::string after = round % 2 == 0 ? just_before(keys.front()) : random_key(chance);
    const auto most = std::uniform_int_distribution<std::size_t>(1, 8)(chance);
    const PageProof proof = prove_by_page(keys, honest_page(bucket, after, prefix, most));

    std::vector<std::size_t> all = proof.absent;
    all.insert(all.end(), proof.listed.begin(), proof.listed.end());
    all.insert(all.end(), proof.unproved.begin(), proof.unproved.end());
    std::ranges::sort(all);
    ASSERT_EQ(all.size(), keys.size()) << "OBJECTLINK_SEED=" << start << " round " << round;
    for (std::size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i);
    for (const std::size_t i : proof.absent)
      ASSERT_FALSE(bucket.contains(keys[i])) << "OBJECTLINK_SEED=" << start << " round " << round;
    for (const std::size_t i : proof.listed)
      ASSERT_TRUE(bucket.contains(keys[i])) << "OBJECTLINK_SEED=" << start << " round " << round;
    proved += proof.absent.size();
  }
  EXPECT_GT(proved, 5'000u);
}

TEST(Absence, APageThatIsCompleteLeavesNothingOfItsPrefixUnproved) {
  std::mt19937 chance(seed());
  for (int round = 0; round < 2'000; ++round) {
    std::set<std::string> bucket;
    for (int i = 0; i < 6; ++i) bucket.insert(random_key(chance));
    const std::vector<std::string> keys{"a" + std::to_string(round)};
    const std::string after = just_before(keys.front());
    EXPECT_THAT(prove_by_page(keys, honest_page(bucket, after, "", 1000)).unproved, IsEmpty());
  }
}

const std::vector<std::string> abc{"b", "d", "f"};

PageProof judged(std::vector<std::string_view> listed, bool truncated = false, std::string_view after = "a",
                 bool in_order = true, std::string_view prefix = "") {
  return prove_by_page(
      abc, {.after = after, .prefix = prefix, .keys = std::move(listed), .truncated = truncated, .in_order = in_order});
}

TEST(Absence, AnEmptyCompletePageProvesAll) { EXPECT_THAT(judged({}).absent, ElementsAre(0, 1, 2)); }

TEST(Absence, ATruncatedPageProvesUpToItsLastKey) {
  const PageProof proof = judged({"c", "e"}, true);
  EXPECT_THAT(proof.absent, ElementsAre(0, 1));
  EXPECT_THAT(proof.unproved, ElementsAre(2));
}

TEST(Absence, WhatItShowsIsThere) {
  const PageProof proof = judged({"b", "c", "d"}, true);
  EXPECT_THAT(proof.listed, ElementsAre(0, 1));
  EXPECT_THAT(proof.absent, IsEmpty());
}

TEST(Absence, APageOutOfOrderProvesNothing) {
  EXPECT_THAT(judged({"c", "e"}, false, "a", false).unproved, ElementsAre(0, 1, 2));
  EXPECT_THAT(judged({"e", "c"}).unproved, ElementsAre(0, 1, 2));
}

TEST(Absence, APageThatBeginsElsewhereProvesNothing) {
  // The store did not know start-after, or began another listing.
  EXPECT_THAT(judged({"a", "c"}).unproved, ElementsAre(0, 1, 2));
  EXPECT_THAT(judged({"0"}).unproved, ElementsAre(0, 1, 2));
}

TEST(Absence, AnEmptyPageThatGoesOnProvesNothing) { EXPECT_THAT(judged({}, true).unproved, ElementsAre(0, 1, 2)); }

TEST(Absence, KeysBeforeItsBeginAreNotProved) {
  EXPECT_THAT(judged({}, false, "c").absent, ElementsAre(1, 2));
  EXPECT_THAT(judged({}, false, "d").absent, ElementsAre(2));
}

TEST(Absence, KeysOfAnotherPrefixAreNotProved) { EXPECT_THAT(judged({}, false, "", true, "d").absent, ElementsAre(1)); }

TEST(Absence, KeysThatXmlMayChangeAreNotProved) {
  const std::vector<std::string> keys{"b\x01", "b\n", "c"};
  EXPECT_THAT(
      prove_by_page(keys, {.after = "a", .prefix = "", .keys = {}, .truncated = false, .in_order = true}).absent,
      ElementsAre(2));
}

TEST(Absence, SeveralVersionsOfAKeyAreOneKey) {
  VersionsPage page;
  for (const char* key : {"c", "c", "d"}) page.versions.push_back({.key = key, .version_id = "v"});
  const PageProof proof = prove_by_page(abc, key_page(page, "a", ""));
  EXPECT_THAT(proof.absent, ElementsAre(0, 2));
  EXPECT_THAT(proof.listed, ElementsAre(1));
}

TEST(JustBefore, ComesBeforeTheKeyAndIsUtf8) {
  for (const char* key : {"a", "a/b1", "!", " ", "~", "\x7f", "\xc3\xa9", "x\xf0\x9f\x98\x80", "x\xef\xbf\xbd"}) {
    const std::string before = just_before(key);
    EXPECT_LT(before, key);
    EXPECT_TRUE(before.empty() || (static_cast<unsigned char>(before.back()) < 0x80)) << key;
  }
  EXPECT_EQ(just_before("a/b1"), "a/b0~");
  EXPECT_EQ(just_before("\xc3\xa9"), "");
}

}  // namespace
}  // namespace objectlink
