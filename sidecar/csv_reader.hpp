// Which rows and fields are in a CSV that comes in pieces? RFC 4180, rows ending in LF or CRLF, fields quoted or not. What is no such
// text is broken, at a row that can be named. Pure. A row is held as a whole, and bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace objectlink {

class CsvReader {
 public:
  // Far above what a key of 1024 bytes, each encoded as three, and all other columns of S3 Inventory can take.
  static constexpr std::size_t row_bytes_max = 64 * 1024;

  enum class Step {
    row,
    hungry,  // what was given ends within a row, or between two
    broken,  // from here on nothing can be read
  };

  void give(std::string_view bytes);
  // The fields of the next row, unquoted.
  Step next(std::vector<std::string>& fields);
  // Nothing more will be given: what is left is a last row without an end of line. hungry: there was none.
  Step last(std::vector<std::string>& fields);

  std::uint64_t rows() const { return rows_; }  // read so far; a broken one is the next

 private:
  Step read(std::vector<std::string>& fields, bool at_end);

  std::string text_;
  std::size_t begin_ = 0;
  std::uint64_t rows_ = 0;
  bool broken_ = false;
};

}  // namespace objectlink
