// Goal: nothing but well-formed UTF-8 passes, and the place of the break is right.
// Method: the boundary cases of RFC 3629 and table 3-7 of the Unicode standard, at every offset of an 8-byte word.
#include "core/utf8.hpp"

#include <gtest/gtest.h>

#include <string>

#include "key_corpus.hpp"

namespace objectlink {
namespace {

using namespace std::string_literals;

constexpr std::size_t whole = std::string_view::npos;

struct Malformed {
  const char* name;
  std::string bytes;
  std::size_t at;  // of the first byte of the malformed sequence
};

class MalformedUtf8 : public testing::TestWithParam<Malformed> {};

TEST_P(MalformedUtf8, IsFoundBehindAnyNumberOfLetters) {
  for (std::size_t before = 0; before < 20; ++before)
    for (const std::size_t after : {0, 1, 9}) {
      const std::string text = std::string(before, 'a') + GetParam().bytes + std::string(after, 'z');
      EXPECT_EQ(find_malformed_utf8(text), before + GetParam().at) << before << " before, " << after << " after";
    }
}

INSTANTIATE_TEST_SUITE_P(
    Utf8, MalformedUtf8,
    testing::Values(
        Malformed{"continuation_alone", "\x80", 0}, Malformed{"last_continuation_alone", "\xbf", 0},
        Malformed{"overlong_slash_2", "\xc0\xaf", 0}, Malformed{"overlong_nul", "\xc0\x80", 0},
        Malformed{"overlong_del", "\xc1\xbf", 0}, Malformed{"overlong_3", "\xe0\x9f\xbf", 0},
        Malformed{"overlong_4", "\xf0\x8f\xbf\xbf", 0}, Malformed{"first_surrogate", "\xed\xa0\x80", 0},
        Malformed{"last_surrogate", "\xed\xbf\xbf", 0}, Malformed{"surrogate_pair", "\xed\xa0\xbd\xed\xb8\x80", 0},
        Malformed{"above_10ffff", "\xf4\x90\x80\x80", 0}, Malformed{"lead_f5", "\xf5\x80\x80\x80", 0},
        Malformed{"lead_fe", "\xfe", 0}, Malformed{"lead_ff", "\xff", 0}, Malformed{"latin1", "\xe9", 0},
        Malformed{"cut_2", "\xc3", 0}, Malformed{"cut_3", "\xe2\x82", 0}, Malformed{"cut_4", "\xf0\x9f\x98", 0},
        Malformed{"second_not_continuation", "\xe2\x28\xa1", 0}, Malformed{"third_not_continuation", "\xe2\x82\x28", 0},
        Malformed{"fourth_not_continuation", "\xf0\x9f\x98\x28", 0}, Malformed{"behind_a_good_one", "\xc3\xa9\xc3", 2}),
    [](const auto& bad) { return bad.param.name; });

TEST(Utf8, TakesBoundariesOfEachLength) {
  for (const std::string& text : {""s, "\0"s, "\x7f"s, "\xc2\x80"s, "\xdf\xbf"s, "\xe0\xa0\x80"s, "\xed\x9f\xbf"s,
                                  "\xee\x80\x80"s, "\xef\xbf\xbf"s, "\xf0\x90\x80\x80"s, "\xf4\x8f\xbf\xbf"s})
    for (std::size_t before = 0; before < 10; ++before)
      EXPECT_EQ(find_malformed_utf8(std::string(before, 'a') + text), whole) << testing::PrintToString(text);
}

TEST(Utf8, TakesTheKeyCorpus) {
  for (const std::string& key : key_corpus()) EXPECT_EQ(find_malformed_utf8(key), whole) << testing::PrintToString(key);
}

TEST(Utf8, FindsACutInEveryCharacterOfALongKey) {
  std::string euros;
  for (int i = 0; i < 341; ++i) euros += "\xe2\x82\xac";
  for (std::size_t bytes = 0; bytes <= euros.size(); ++bytes)
    EXPECT_EQ(find_malformed_utf8(euros.substr(0, bytes)), bytes % 3 == 0 ? whole : bytes - bytes % 3);
}

}  // namespace
}  // namespace objectlink
