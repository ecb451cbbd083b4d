// Readers of the values of server options.
#include "core/store_option_values.hpp"

#include "core/storage_ref.hpp"

#include <algorithm>
#include <array>

namespace objectlink {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t host_bytes_max = 253;  // RFC 1035
constexpr std::uint32_t port_max = 65535;
constexpr std::size_t path_bytes_max = 1023;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_letter(char c) { return is_lower(c) || (c >= 'A' && c <= 'Z'); }
char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), to_lower);
  return result;
}

std::size_t skip_spaces(std::string_view text, std::size_t at) {
  while (at < text.size() && text[at] == ' ') ++at;
  return at;
}

// Reads digits from `at`, which it moves behind them. Yields nothing without a digit; stops growing at a ceiling far
// above every limit.
std::optional<std::uint64_t> take_number(std::string_view text, std::size_t& at) {
  constexpr std::uint64_t ceiling = 1'000'000'000'000'000;
  const std::size_t start = at;
  std::uint64_t number = 0;
  for (; at < text.size() && is_digit(text[at]); ++at)
    number = std::min(ceiling, number * 10 + static_cast<std::uint64_t>(text[at] - '0'));
  if (at == start) return std::nullopt;
  return number;
}

std::string_view take_letters(std::string_view text, std::size_t& at) {
  const std::size_t start = at;
  while (at < text.size() && is_letter(text[at])) ++at;
  return text.substr(start, at - start);
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::uint64_t second_ms = 1000;
constexpr std::uint64_t minute_ms = 60 * second_ms;
constexpr std::uint64_t hour_ms = 60 * minute_ms;
constexpr std::uint64_t day_ms = 24 * hour_ms;
constexpr std::uint64_t year_days_min = 365;

// Only spellings that PostgreSQL's interval takes too, in its meaning.
constexpr auto duration_units = std::to_array<Unit>({
    {"ms", 1},
    {"millisecond", 1},
    {"milliseconds", 1},
    {"s", second_ms},
    {"sec", second_ms},
    {"secs", second_ms},
    {"second", second_ms},
    {"seconds", second_ms},
    {"min", minute_ms},
    {"mins", minute_ms},
    {"minute", minute_ms},
    {"minutes", minute_ms},
    {"h", hour_ms},
    {"hour", hour_ms},
    {"hours", hour_ms},
    {"d", day_ms},
    {"day", day_ms},
    {"days", day_ms},
    {"w", 7 * day_ms},
    {"week", 7 * day_ms},
    {"weeks", 7 * day_ms},
});

constexpr auto size_units = std::to_array<Unit>({
    {"b", 1},
    {"kb", 1024},
    {"mb", 1024 * 1024},
    {"gb", 1024 * 1024 * 1024},
});

template <std::size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
  const std::string wanted = lower(name);
  const auto found = std::ranges::find(units, wanted, &Unit::name);
  return found == units.end() ? nullptr : &*found;
}

std::string duration_text(milliseconds duration) {
  const auto ms = static_cast<std::uint64_t>(duration.count());
  if (ms == 0) return "0";
  if (ms % (year_days_min * day_ms) == 0) return std::to_string(ms / (year_days_min * day_ms)) + " years of 365 days";
  for (const Unit unit : {Unit{"d", day_ms}, Unit{"h", hour_ms}, Unit{"min", minute_ms}, Unit{"s", second_ms}})
    if (ms % unit.factor == 0) return std::to_string(ms / unit.factor) + std::string(unit.name);
  return std::to_string(ms) + "ms";
}

std::string size_text(std::uint64_t bytes) { return std::to_string(bytes / (1024 * 1024)) + "MB"; }

ValueProblem limits_problem(const std::string& min, const std::string& max) {
  return {"It must be from " + min + " to " + max};
}

bool is_dotted_quad(std::string_view text) {
  return std::ranges::count(text, '.') == 3 &&
         std::ranges::all_of(text, [](char c) { return is_digit(c) || c == '.'; });
}

}  // namespace

ValueResult read_bool(std::string_view text, bool& value) {
  constexpr auto yes = std::to_array<std::string_view>({"true", "on", "yes", "1"});
  constexpr auto no = std::to_array<std::string_view>({"false", "off", "no", "0"});
  const std::string word = lower(text);
  value = std::ranges::find(yes, word) != yes.end();
  if (value || std::ranges::find(no, word) != no.end()) return std::nullopt;
  return ValueProblem{"It is neither true nor false"};
}

ValueResult read_choice(std::string_view text, std::string_view first, std::string_view second, bool& value) {
  value = text == second;
  if (value || text == first) return std::nullopt;
  return ValueProblem{"It is neither '" + std::string(first) + "' nor '" + std::string(second) + "'"};
}

ValueResult read_integer(std::string_view text, std::uint32_t min, std::uint32_t max, std::uint32_t& value) {
  std::size_t at = 0;
  const auto number = take_number(text, at);
  if (!number) return ValueProblem{"A whole number without sign is expected", at};
  if (at != text.size()) return ValueProblem{"Only digits are expected", at};
  if (*number < min || *number > max) return limits_problem(std::to_string(min), std::to_string(max));
  value = static_cast<std::uint32_t>(*number);
  return std::nullopt;
}

ValueResult read_share(std::string_view text, double& value) {
  constexpr std::size_t digits_max = 6;
  std::size_t at = 0;
  const auto whole = take_number(text, at);
  if (!whole) return ValueProblem{"A fraction without sign is expected", at};
  double share = static_cast<double>(*whole);
  if (at < text.size() && text[at] == '.') {
    const std::size_t from = ++at;
    double weight = 0.1;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, weight /= 10)
      share += (text[at] - '0') * weight;
    if (at == from) return ValueProblem{"A digit is expected behind the point", at};
    if (at - from > digits_max) return ValueProblem{"There are too many digits behind the point", from + digits_max};
  }
  if (at != text.size()) return ValueProblem{"Only digits and a point are expected", at};
  if (share > 1) return limits_problem("0", "1");
  value = share;
  return std::nullopt;
}

ValueResult read_duration(std::string_view text, milliseconds min, milliseconds max, milliseconds& value) {
  const auto limit = static_cast<std::uint64_t>(max.count());
  std::uint64_t sum_ms = 0;
  std::size_t at = skip_spaces(text, 0);
  do {
    const auto number = take_number(text, at);
    if (!number) return ValueProblem{"A number is expected", at};
    at = skip_spaces(text, at);
    const std::size_t unit_at = at;
    const std::string_view name = take_letters(text, at);
    if (name.empty()) {
      if (*number == 0 && sum_ms == 0 && at == text.size()) break;
      return ValueProblem{"A unit is expected after the number", unit_at};
    }
    const Unit* unit = find_unit(duration_units, name);
    if (unit == nullptr) return ValueProblem{"The unit is unknown", unit_at};
    // Saturates just above the limit instead of overflowing.
    const std::uint64_t room = limit + 1 - sum_ms;
    sum_ms += *number > room / unit->factor ? room : *number * unit->factor;
    at = skip_spaces(text, at);
  } while (at < text.size());
  if (sum_ms < static_cast<std::uint64_t>(min.count()) || sum_ms > limit)
    return limits_problem(duration_text(min), duration_text(max));
  value = milliseconds(sum_ms);
  return std::nullopt;
}

ValueResult read_size(std::string_view text, std::uint64_t min_bytes, std::uint64_t max_bytes,
                      std::uint64_t& value_bytes) {
  std::size_t at = skip_spaces(text, 0);
  const auto number = take_number(text, at);
  if (!number) return ValueProblem{"A whole number is expected", at};
  at = skip_spaces(text, at);
  const std::size_t unit_at = at;
  const std::string_view name = take_letters(text, at);
  if (name.empty()) return ValueProblem{"A unit is expected after the number", unit_at};
  const Unit* unit = find_unit(size_units, name);
  if (unit == nullptr) return ValueProblem{"The unit is unknown", unit_at};
  at = skip_spaces(text, at);
  if (at != text.size()) return ValueProblem{"Nothing is expected after the unit", at};
  if (*number > max_bytes / unit->factor || *number * unit->factor < min_bytes)
    return limits_problem(size_text(min_bytes), size_text(max_bytes));
  value_bytes = *number * unit->factor;
  return std::nullopt;
}

ValueResult check_endpoint(std::string_view text) {
  constexpr std::string_view host_others = "-._";
  std::size_t at = 0;
  if (text.starts_with("http://"))
    at = 7;
  else if (text.starts_with("https://"))
    at = 8;
  else
    return ValueProblem{"It must begin with http:// or https://", 0};

  // Named first, because what stands before the @ may be a secret and the host check would only say "character".
  if (const auto userinfo = text.find('@', at); userinfo != std::string_view::npos)
    return ValueProblem{"A user or password in front of the host is not allowed", at};

  const std::size_t host_at = at;
  if (at < text.size() && text[at] == '[') {
    const std::size_t close = text.find(']', at);
    if (close == std::string_view::npos) return ValueProblem{"The bracket of the address is not closed", at};
    const std::string_view address = text.substr(at + 1, close - at - 1);
    const bool plausible = address.size() >= 2 && address.find(':') != std::string_view::npos &&
                           address.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
    if (!plausible) return ValueProblem{"The address in brackets is not an IPv6 address", at + 1};
    at = close + 1;
  } else {
    while (at < text.size() &&
           (is_letter(text[at]) || is_digit(text[at]) || host_others.find(text[at]) != std::string_view::npos))
      ++at;
    if (at == host_at) return ValueProblem{"A host name is expected", at};
    if (at - host_at > host_bytes_max)
      return ValueProblem{"The host name is longer than 253 bytes", host_at + host_bytes_max};
    if (!is_letter(text[host_at]) && !is_digit(text[host_at]))
      return ValueProblem{"The host name must begin with a letter or a digit", host_at};
    if (text.substr(host_at, at - host_at).find("..") != std::string_view::npos)
      return ValueProblem{"The host name has an empty part", host_at};
  }
  if (at == text.size()) return std::nullopt;
  if (text[at] == ':') {
    const std::size_t port_at = ++at;
    const auto port = take_number(text, at);
    if (!port || *port == 0 || *port > port_max)
      return ValueProblem{"The port must be a number from 1 to 65535", port_at};
    if (at == text.size()) return std::nullopt;
  }
  switch (text[at]) {
    case '/': return ValueProblem{"A path is not allowed", at};
    case '?': return ValueProblem{"A query is not allowed", at};
    case '#': return ValueProblem{"A fragment is not allowed", at};
    default: return ValueProblem{"This character cannot stand in a host or port", at};
  }
}

ValueResult check_bucket(std::string_view text) {
  constexpr std::size_t bytes_min = 3;
  constexpr std::size_t bytes_max = 63;
  for (std::size_t at = 0; at < text.size(); ++at)
    if (!is_lower(text[at]) && !is_digit(text[at]) && text[at] != '.' && text[at] != '-')
      return ValueProblem{"Only lower-case letters, digits, dots and hyphens are allowed", at};
  if (text.size() < bytes_min || text.size() > bytes_max) return ValueProblem{"It must have 3 to 63 characters"};
  for (const std::size_t at : {std::size_t{0}, text.size() - 1})
    if (text[at] == '.' || text[at] == '-') return ValueProblem{"It must begin and end with a letter or a digit", at};
  if (const auto at = text.find(".."); at != std::string_view::npos)
    return ValueProblem{"Two dots in a row are not allowed", at};
  if (is_dotted_quad(text)) return ValueProblem{"It must not look like an IP address"};
  return std::nullopt;
}

ValueResult read_prefix(std::string_view text, std::string& value) {
  std::string prefix(text);
  if (!prefix.empty()) {
    if (prefix.front() == '/') return ValueProblem{"It must not begin with a slash", 0};
    if (prefix.back() != '/') prefix += '/';
    // A key below it needs at least one byte more.
    if (prefix.size() >= key_bytes_max) return ValueProblem{"It leaves no room for a key of at most 1024 bytes"};
    if (const auto problem = check_key(prefix))
      return ValueProblem{problem.flaw == RefFlaw::key_malformed ? "It is not valid UTF-8" : "It contains a NUL byte",
                          problem.at};
    if (prefix.starts_with(reserved_prefix)) return ValueProblem{"Keys below .objectlink/ are reserved"};
  }
  value = std::move(prefix);
  return std::nullopt;
}

ValueResult check_word(std::string_view text, std::string_view others, std::size_t bytes_max) {
  if (text.empty()) return ValueProblem{"It is empty"};
  if (text.size() > bytes_max)
    return ValueProblem{"It is longer than " + std::to_string(bytes_max) + " characters", bytes_max};
  for (std::size_t at = 0; at < text.size(); ++at)
    if (!is_letter(text[at]) && !is_digit(text[at]) && others.find(text[at]) == std::string_view::npos)
      return ValueProblem{"Only letters, digits and any of \"" + std::string(others) + "\" are allowed", at};
  return std::nullopt;
}

ValueResult check_path(std::string_view text) {
  if (!text.starts_with('/')) return ValueProblem{"An absolute path is expected", 0};
  if (text.size() > path_bytes_max) return ValueProblem{"It is longer than 1023 bytes", path_bytes_max};
  for (std::size_t at = 0; at < text.size(); ++at)
    if (static_cast<unsigned char>(text[at]) < 0x20 || text[at] == 0x7F)
      return ValueProblem{"Control characters are not allowed", at};
  return std::nullopt;
}

}  // namespace objectlink
