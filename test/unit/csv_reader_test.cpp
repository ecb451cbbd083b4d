// Goal: rows and fields are read as RFC 4180 means them, however the text is cut; what is no such text is refused, and never read otherwise.
// Method: each text whole, in pieces of every length, and by a writer of random rows. OBJECTLINK_SEED replays a failure.
#include "csv_reader.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <random>

namespace objectlink {
namespace {

using Rows = std::vector<std::vector<std::string>>;

// Nothing: broken.
std::optional<Rows> read(std::string_view text, std::size_t piece) {
  CsvReader reader;
  Rows rows;
  std::vector<std::string> fields;
  for (std::size_t at = 0; at <= text.size(); at += piece) {
    reader.give(text.substr(at, piece));
    auto step = reader.next(fields);
    for (; step == CsvReader::Step::row; step = reader.next(fields)) rows.push_back(fields);
    if (step == CsvReader::Step::broken) return std::nullopt;
  }
  switch (reader.last(fields)) {
    case CsvReader::Step::row: rows.push_back(fields); break;
    case CsvReader::Step::broken: return std::nullopt;
    case CsvReader::Step::hungry: break;
  }
  EXPECT_EQ(reader.rows(), rows.size());
  return rows;
}

void expect(std::string_view text, const std::optional<Rows>& rows) {
  for (std::size_t piece = 1; piece <= text.size() + 1; ++piece)
    EXPECT_EQ(read(text, piece), rows) << text << " " << piece;
}

TEST(CsvReader, ReadsRowsAndFields) {
  expect("", Rows{});
  expect("a", Rows{{"a"}});
  expect("a,b\n", Rows{{"a", "b"}});
  expect("a,b\r\nc,d", Rows{{"a", "b"}, {"c", "d"}});
  expect("\"a\",\"\"\n\"b,c\",\"d\"\"e\"\n", Rows{{"a", ""}, {"b,c", "d\"e"}});
  expect("\"two\nlines\",x\n", Rows{{"two\nlines", "x"}});
  expect(",\n", Rows{{"", ""}});
  expect("\n", Rows{{""}});
  expect("\"\"\"\"", Rows{{"\""}});
}

TEST(CsvReader, RefusesWhatIsNone) {
  for (const std::string_view text : {"\"a", "\"a\"b\n", "a\"b\n", "a\rb\n", "\"a\"\r", "\"a\" ,b\n", "x\n\"a\nb,c\n"})
    expect(text, std::nullopt);
}

TEST(CsvReader, ARowIsBounded) {
  const std::string field(CsvReader::row_bytes_max - 10, 'x');
  EXPECT_TRUE(read(field + "\n", 1000));
  EXPECT_FALSE(read(field + "," + field + "\n", 1000));
  EXPECT_FALSE(read("\"" + field + field + "\"\n", 1000));
  EXPECT_FALSE(read("\"" + field + field, 4096));
}

TEST(CsvReader, AnythingThatWasWrittenIsReadAgain) {
  const char* const text = std::getenv("OBJECTLINK_SEED");
  const unsigned seed = text ? static_cast<unsigned>(std::strtoul(text, nullptr, 10)) : std::random_device{}();
  RecordProperty("seed", static_cast<int>(seed));
  std::mt19937 chance(seed);
  const auto draw = [&chance](int max) { return std::uniform_int_distribution<int>(0, max)(chance); };
  constexpr std::string_view letters = "ab,\"\n\r +%";
  for (int round = 0; round < 3000; ++round) {
    Rows rows;
    std::string written;
    for (int row = draw(3); row > 0; --row) {
      auto& fields = rows.emplace_back();
      const int columns = 1 + draw(3);
      for (int column = 0; column < columns; ++column) {
        std::string& field = fields.emplace_back();
        for (int length = draw(4); length > 0; --length) field += letters[static_cast<std::size_t>(draw(8))];
        written += column > 0 ? "," : "";
        if (field.find_first_of(",\"\n\r") == std::string::npos && draw(1) == 0) {
          written += field;
          continue;
        }
        written += '"';
        for (const char c : field) written.append(c == '"' ? 2 : 1, c);
        written += '"';
      }
      written += draw(1) == 0 ? "\n" : "\r\n";
    }
    ASSERT_EQ(read(written, static_cast<std::size_t>(1 + draw(5))), rows) << written << " seed " << seed;
  }
}

}  // namespace
}  // namespace objectlink
