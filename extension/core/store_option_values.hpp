// What does the text of one server option mean? One reader per kind of value; which option takes which kind and which
// limits is the business of store_options.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace objectlink {

/// What is wrong with a value (a sentence without its full stop), and the byte where, counted from 0, or npos if it is
/// the value as a whole. Never repeats the value, which may hold a secret somebody put in the wrong place.
struct ValueProblem {
  std::string what;
  std::size_t at = std::string_view::npos;
};

using ValueResult = std::optional<ValueProblem>;

/// true/false, on/off, yes/no, 1/0, in any case.
ValueResult read_bool(std::string_view text, bool& value);

/// One of two words, exactly; yields whether it is the second.
ValueResult read_choice(std::string_view text, std::string_view first, std::string_view second, bool& value);

/// Decimal digits only, within the limits.
ValueResult read_integer(std::string_view text, std::uint32_t min, std::uint32_t max, std::uint32_t& value);

/// A decimal fraction from 0 to 1, with at most 6 digits behind the point.
ValueResult read_share(std::string_view text, double& value);

/// One or more of number and unit: '500ms', '5s', '2min', '24h', '7d', '7 days', '1 day 12 hours'; plain '0' needs no
/// unit. Months and years are refused, because their length varies.
ValueResult read_duration(std::string_view text, std::chrono::milliseconds min, std::chrono::milliseconds max,
                          std::chrono::milliseconds& value);

/// A number and one of B, kB, MB, GB (powers of 1024, as in PostgreSQL), in any case.
ValueResult read_size(std::string_view text, std::uint64_t min_bytes, std::uint64_t max_bytes,
                      std::uint64_t& value_bytes);

/// http://host[:port] or https://host[:port], nothing else. IPv6 addresses in brackets.
ValueResult check_endpoint(std::string_view text);

/// The naming rules for general purpose buckets of the S3 user guide.
ValueResult check_bucket(std::string_view text);

/// A key prefix; yields it with a slash at its end. Empty means none.
ValueResult read_prefix(std::string_view text, std::string& value);

/// Letters, digits and the given other characters, 1 to `bytes_max` bytes.
ValueResult check_word(std::string_view text, std::string_view others, std::size_t bytes_max);

/// An absolute path without control characters.
ValueResult check_path(std::string_view text);

}  // namespace objectlink
