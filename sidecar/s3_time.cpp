// Reading times: see s3_time.hpp.
#include "s3_time.hpp"

#include <charconv>

namespace objectlink {
namespace {

using TimePoint = std::chrono::system_clock::time_point;

bool number(std::string_view text, std::size_t at, std::size_t digits, int& out) {
  if (text.size() < at + digits) return false;
  const std::string_view part = text.substr(at, digits);
  if (part.find_first_not_of("0123456789") != std::string_view::npos) return false;
  return std::from_chars(part.data(), part.data() + part.size(), out).ec == std::errc{};
}

std::optional<TimePoint> moment(int year, int month, int day, int hour, int minute, int second) {
  using namespace std::chrono;
  const year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                            std::chrono::day{static_cast<unsigned>(day)}};
  // 60: a leap second.
  if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  return TimePoint{sys_days{date}} + hours{hour} + minutes{minute} + seconds{second};
}

}  // namespace

std::optional<TimePoint> parse_iso8601(std::string_view text) {
  int year, month, day, hour, minute, second;
  if (!number(text, 0, 4, year) || !number(text, 5, 2, month) || !number(text, 8, 2, day) ||
      !number(text, 11, 2, hour) || !number(text, 14, 2, minute) || !number(text, 17, 2, second))
    return std::nullopt;
  if (text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':') return std::nullopt;
  std::string_view rest = text.substr(19);
  long nanoseconds = 0;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    long scale = 100'000'000;
    if (rest.empty() || rest.front() < '0' || rest.front() > '9') return std::nullopt;
    for (; !rest.empty() && rest.front() >= '0' && rest.front() <= '9'; rest.remove_prefix(1), scale /= 10)
      nanoseconds += (rest.front() - '0') * scale;
  }
  if (rest != "Z" && rest != "+00:00") return std::nullopt;
  auto at = moment(year, month, day, hour, minute, second);
  if (at) *at += std::chrono::duration_cast<TimePoint::duration>(std::chrono::nanoseconds{nanoseconds});
  return at;
}

std::optional<TimePoint> parse_http_date(std::string_view text) {
  constexpr std::string_view months = "JanFebMarAprMayJunJulAugSepOctNovDec";
  int day, year, hour, minute, second;
  if (text.size() != 29 || !text.ends_with(" GMT") || text[3] != ',') return std::nullopt;
  const std::size_t month = months.find(text.substr(8, 3));
  if (month == std::string_view::npos || month % 3 != 0) return std::nullopt;
  if (!number(text, 5, 2, day) || !number(text, 12, 4, year) || !number(text, 17, 2, hour) ||
      !number(text, 20, 2, minute) || !number(text, 23, 2, second))
    return std::nullopt;
  return moment(year, static_cast<int>(month / 3) + 1, day, hour, minute, second);
}

}  // namespace objectlink
