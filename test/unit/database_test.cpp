// Goal: any value reaches PostgreSQL as itself and comes back as itself.
// Method: the pure text forms, byte by byte, and a decoder of array literals written after array_in. What needs a server
// is driven end to end.
#include "database.hpp"

#include <gtest/gtest.h>

#include <random>

namespace objectlink {
namespace {

// Reads a one-dimensional array literal in which every element but NULL is quoted.
std::vector<std::optional<std::string>> read_array(const std::string& literal) {
  std::vector<std::optional<std::string>> elements;
  std::size_t at = 1;
  while (literal.at(at) != '}') {
    if (literal[at] == ',') ++at;
    if (literal.compare(at, 4, "NULL") == 0) {
      elements.emplace_back(std::nullopt);
      at += 4;
      continue;
    }
    EXPECT_EQ(literal.at(at++), '"');
    std::string element;
    while (literal.at(at) != '"') {
      if (literal[at] == '\\') ++at;
      element += literal.at(at++);
    }
    ++at;
    elements.emplace_back(std::move(element));
  }
  EXPECT_EQ(at + 1, literal.size());
  return elements;
}

TEST(TextArray, QuotesEverything) {
  EXPECT_EQ(text_array(std::vector<std::string>{}), "{}");
  EXPECT_EQ(text_array(std::vector<std::string>{"a", "", "NULL", "a,b", "{}", " x "}),
            R"({"a","","NULL","a,b","{}"," x "})");
  EXPECT_EQ(text_array(std::vector<std::string>{R"(a"b\c)"}), R"({"a\"b\\c"})");
  EXPECT_EQ(text_array(std::vector<std::string_view>{"a"}), R"({"a"})");
}

TEST(TextArray, NullIsNotTheWordNull) {
  EXPECT_EQ(text_array(std::vector<std::optional<std::string>>{std::nullopt, "NULL", ""}), R"({NULL,"NULL",""})");
}

TEST(TextArray, AnyTextComesBack) {
  std::mt19937 random(7);
  const std::string alphabet = "ab\"\\,{} \n\t'NUL\xc3\xa9";
  std::uniform_int_distribution<std::size_t> pick(0, alphabet.size() - 1);
  std::uniform_int_distribution<std::size_t> length(0, 12);
  for (int round = 0; round < 1000; ++round) {
    std::vector<std::optional<std::string>> elements(length(random));
    for (auto& element : elements) {
      if (length(random) == 0) continue;
      element.emplace(length(random), ' ');
      for (char& c : *element) c = alphabet[pick(random)];
    }
    EXPECT_EQ(read_array(text_array(elements)), elements);
  }
}

TEST(IntArray, Limits) {
  EXPECT_EQ(int_array({}), "{}");
  EXPECT_EQ(int_array({0, -1, INT64_MIN, INT64_MAX}), "{0,-1,-9223372036854775808,9223372036854775807}");
}

TEST(Bytea, EveryByteComesBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  const std::string text = encode_bytea(bytes);
  EXPECT_EQ(text.substr(0, 8), "\\x000102");
  EXPECT_EQ(decode_bytea(text), bytes);
  EXPECT_EQ(encode_bytea(""), "\\x");
  EXPECT_EQ(decode_bytea("\\x"), "");
  EXPECT_EQ(decode_bytea("\\xABcd"), "\xab\xcd");
}

TEST(Bytea, RefusesEverythingElse) {
  for (const char* bad : {"", "\\", "x", "00", "\\x0", "\\x0g", "\\xg0", "\\x 0", "\\x00 ", "\\000", "\\x0\xff"}) {
    EXPECT_THROW(decode_bytea(bad), std::invalid_argument) << bad;
  }
}

TEST(Param, TextForms) {
  EXPECT_EQ(Param(nullptr).text(), std::nullopt);
  EXPECT_EQ(Param(std::nullopt).text(), std::nullopt);
  EXPECT_EQ(Param(std::optional<std::string>{}).text(), std::nullopt);
  EXPECT_EQ(Param(std::optional<int>{5}).text(), "5");
  EXPECT_EQ(Param("").text(), "");
  EXPECT_EQ(Param("a").text(), "a");
  EXPECT_EQ(Param(std::string_view("ab").substr(0, 1)).text(), "a");
  EXPECT_EQ(Param(true).text(), "t");
  EXPECT_EQ(Param(false).text(), "f");
  EXPECT_EQ(Param(INT64_MIN).text(), "-9223372036854775808");
  EXPECT_EQ(Param(UINT64_MAX).text(), "18446744073709551615");
  EXPECT_EQ(Param(0.1).text(), "0.1");
}

TEST(Rows, MovedAwayIsEmpty) {
  Rows rows;
  EXPECT_TRUE(rows.empty());
  EXPECT_THROW(rows.text(0, 0), std::logic_error);
  EXPECT_THROW(rows.column("a"), std::logic_error);
}

TEST(DatabaseConnect, FailsAsAValue) {
  const Connected connected = Database::connect("host=/nonexistent dbname=x user=y password=hunter2");
  EXPECT_EQ(connected.outcome, ConnectOutcome::unreachable);
  EXPECT_EQ(connected.database, nullptr);
  EXPECT_NE(connected.message, "");
  EXPECT_EQ(connected.message.find("hunter2"), std::string::npos);
}

TEST(DatabaseError, OnlyAStatementErrorLeavesTheSession) {
  EXPECT_FALSE(DatabaseError(DatabaseFailure::statement, "23505", "m").session_ended());
  for (const auto failure : {DatabaseFailure::lost, DatabaseFailure::in_doubt, DatabaseFailure::unreachable}) {
    EXPECT_TRUE(DatabaseError(failure, "", "m").session_ended());
  }
}

}  // namespace
}  // namespace objectlink
