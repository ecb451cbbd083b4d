// Goal: a reference is taken exactly if it names one store and one key, and every refusal says what and where.
// Method: pairs of text and flaw; the key corpus there and back, byte for byte.
#include "core/storage_ref.hpp"

#include <gtest/gtest.h>

#include <string>

#include "key_corpus.hpp"

namespace objectlink {
namespace {

using namespace std::string_literals;

struct Bad {
  const char* name;
  std::string text;
  RefFlaw flaw;
  std::size_t at;
};

class BadRef : public testing::TestWithParam<Bad> {};

TEST_P(BadRef, IsRefusedWithFlawAndPlace) {
  const RefProblem problem = check_storage_ref(GetParam().text);
  EXPECT_EQ(problem.flaw, GetParam().flaw) << describe(problem.flaw);
  EXPECT_EQ(problem.at, GetParam().at);
  EXPECT_TRUE(problem);
}

const std::string a63(63, 'a');
const std::string k1024(1024, 'k');

INSTANTIATE_TEST_SUITE_P(
    StorageRef, BadRef,
    testing::Values(Bad{"empty", "", RefFlaw::scheme_missing, 0}, Bad{"key_only", "a/b", RefFlaw::scheme_missing, 0},
                    Bad{"cut_scheme", "s3:/", RefFlaw::scheme_missing, 0},
                    Bad{"one_slash", "s3:/docs/a", RefFlaw::scheme_missing, 0},
                    Bad{"upper_scheme", "S3://docs/a", RefFlaw::scheme_missing, 0},
                    Bad{"other_scheme", "https://docs/a", RefFlaw::scheme_missing, 0},
                    Bad{"space_before", " s3://docs/a", RefFlaw::scheme_missing, 0},
                    Bad{"scheme_only", "s3://", RefFlaw::store_empty, 5},
                    Bad{"no_store", "s3:///a", RefFlaw::store_empty, 5},
                    Bad{"no_slash", "s3://docs", RefFlaw::key_missing, 9},
                    Bad{"no_key", "s3://docs/", RefFlaw::key_empty, 10},
                    Bad{"long_store", "s3://" + a63 + "a/k", RefFlaw::store_too_long, 68},
                    Bad{"long_store_without_key", "s3://" + a63 + "a", RefFlaw::store_too_long, 68},
                    Bad{"newline_in_store", "s3://do\ncs/a", RefFlaw::store_control, 7},
                    Bad{"nul_in_store", "s3://d\0cs/a"s, RefFlaw::store_control, 6},
                    Bad{"del_in_store", "s3://docs\x7f/a", RefFlaw::store_control, 9},
                    Bad{"c1_in_store", "s3://d\xc2\x85/a", RefFlaw::store_control, 6},
                    Bad{"latin1_store", "s3://d\xe9/a", RefFlaw::store_malformed, 6},
                    Bad{"cut_store", "s3://d\xc3/a", RefFlaw::store_malformed, 6},
                    Bad{"long_key", "s3://docs/" + k1024 + "k", RefFlaw::key_too_long, 1034},
                    Bad{"nul_key", "s3://docs/\0"s, RefFlaw::key_nul, 10},
                    Bad{"nul_at_end", "s3://docs/ab\0"s, RefFlaw::key_nul, 12},
                    Bad{"latin1_key", "s3://docs/caf\xe9", RefFlaw::key_malformed, 13},
                    Bad{"surrogate_key", "s3://docs/\xed\xa0\x80", RefFlaw::key_malformed, 10},
                    Bad{"cut_key", "s3://docs/" + std::string(1022, 'a') + "\xe2\x82", RefFlaw::key_malformed, 1032}),
    [](const auto& bad) { return bad.param.name; });

TEST(StorageRef, KeepsEveryKeyByteForByte) {
  for (const std::string& store : {"d"s, "docs"s, a63, "Ünï cödé.store"s, "a%2Fb"s, "."s, "s3:"s})
    for (const std::string& key : key_corpus()) {
      const std::string text = make_storage_ref(store, key);
      EXPECT_FALSE(check_storage_ref(text)) << testing::PrintToString(text);
      const RefParts parts = split_storage_ref(text);
      EXPECT_EQ(parts.store, store);
      EXPECT_EQ(parts.key, key);
      EXPECT_EQ(text, "s3://" + store + "/" + key);
      EXPECT_LE(text.size(), ref_bytes_max);
    }
}

TEST(StorageRef, SplitsAtTheFirstSlashOnly) {
  const RefParts parts = split_storage_ref("s3://docs//a/../b/");
  EXPECT_EQ(parts.store, "docs");
  EXPECT_EQ(parts.key, "/a/../b/");
}

TEST(StorageRef, DoesNotMixUpNormalForms) {
  EXPECT_NE(make_storage_ref("docs", "\xc3\xa9"), make_storage_ref("docs", "e\xcc\x81"));
}

TEST(StorageRef, ChecksPartsAlone) {
  EXPECT_EQ(check_store_name("").flaw, RefFlaw::store_empty);
  EXPECT_EQ(check_store_name("a/b").flaw, RefFlaw::store_slash);
  EXPECT_EQ(check_store_name("a/b").at, 1U);
  EXPECT_EQ(check_store_name(a63 + "a").flaw, RefFlaw::store_too_long);
  EXPECT_EQ(check_store_name("a\tb").flaw, RefFlaw::store_control);
  EXPECT_FALSE(check_store_name(a63));
  EXPECT_EQ(check_key("").flaw, RefFlaw::key_empty);
  EXPECT_EQ(check_key(k1024 + "k").flaw, RefFlaw::key_too_long);
  EXPECT_FALSE(check_key(k1024));
  EXPECT_FALSE(check_key("a\nb"));
}

TEST(StorageRef, CountsBytesNotCharacters) {
  std::string euros;
  for (int i = 0; i < 342; ++i) euros += "\xe2\x82\xac";  // 342 characters, 1026 bytes
  EXPECT_EQ(check_key(euros).flaw, RefFlaw::key_too_long);
}

TEST(StorageRef, DescribesEveryFlawAsASentenceWithoutStop) {
  for (int flaw = 0; flaw <= static_cast<int>(RefFlaw::key_malformed); ++flaw) {
    const std::string text = describe(static_cast<RefFlaw>(flaw));
    EXPECT_TRUE(text.size() > 10 && text.front() >= 'A' && text.front() <= 'Z' && text.back() != '.') << text;
  }
}

}  // namespace
}  // namespace objectlink
