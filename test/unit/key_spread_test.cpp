// Goal: ranges are split where keys are, never outside of themselves, and not at all where nothing is known.
// Method: samples and listings written down.
#include "key_spread.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/utf8.hpp"

namespace objectlink {
namespace {

const KeySpread letters({"a", "b", "c", "d", "e", "f", "g", "h"}, 800);
using Keys = std::vector<std::string>;

TEST(KeySpread, TellsHowMuchLiesBetween) {
  EXPECT_EQ(letters.expected("", std::nullopt), 800);
  EXPECT_EQ(letters.expected("b", std::nullopt), 600);
  EXPECT_EQ(letters.expected("b", "d"), 200);
  EXPECT_EQ(letters.expected("d", "b"), 0);
  EXPECT_EQ(letters.expected("x", std::nullopt), 0);
  EXPECT_EQ(KeySpread().expected("", std::nullopt), 0);
}

TEST(KeySpread, CutsIntoPartsOfOneSize) {
  EXPECT_EQ(letters.cut("", std::nullopt, 4), (Keys{"c", "e", "g"}));
  EXPECT_EQ(letters.cut("b", "g", 2), (Keys{"e"}));
}

TEST(KeySpread, CutsInsideOfTheRangeOnly) {
  EXPECT_EQ(letters.cut("h", std::nullopt, 2), Keys{});
  EXPECT_EQ(letters.cut("c", "d", 2), Keys{});
  EXPECT_EQ(letters.cut("d", "b", 2), Keys{});
  EXPECT_EQ(KeySpread().cut("", std::nullopt, 9), Keys{});
  // More parts than keys are known: each once.
  const auto keys = letters.cut("", "f", 100);
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  EXPECT_EQ(std::adjacent_find(keys.begin(), keys.end()), keys.end());
  EXPECT_GT(keys.front(), "");
  EXPECT_LT(keys.back(), "f");
}

TEST(KeyAhead, CountsOnBeforeThePlaceThatHasChanged) {
  EXPECT_EQ(key_ahead("data/0001", "data/0099", std::nullopt), "data/01");
  EXPECT_EQ(key_ahead("data/0099", "data/0123", std::nullopt), "data/1");
}

TEST(KeyAhead, StaysInsideOfTheRange) {
  EXPECT_EQ(key_ahead("data/0001", "data/0099", "data/01"), std::optional<std::string>("data/00:"));
  EXPECT_EQ(key_ahead("aaa", "aab", "aac"), std::nullopt);
  EXPECT_EQ(key_ahead("a", "a", std::nullopt), std::nullopt);
  EXPECT_EQ(key_ahead("", "", std::nullopt), std::nullopt);
}

TEST(KeyAhead, IsUtf8AndAhead) {
  const Keys keys{"\u00e9/1", "\u00e9/\u20ac", "\U0001f600a", "~~~",
                  "a\x01z",   "abc",           "abd\u00e9",   std::string("a\x7f")};
  for (const std::string& first : keys) {
    for (const std::string& current : keys) {
      if (current <= first) continue;
      const auto ahead = key_ahead(first, current, std::nullopt);
      if (!ahead) continue;
      EXPECT_GT(*ahead, current);
      EXPECT_EQ(find_malformed_utf8(*ahead), std::string::npos) << first << " " << current;
    }
  }
}

}  // namespace
}  // namespace objectlink
