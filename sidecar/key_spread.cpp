#include "key_spread.hpp"

#include <algorithm>
#include <utility>

namespace objectlink {

KeySpread::KeySpread(std::vector<std::string> sample, std::int64_t expected)
    : sample_(std::move(sample)), expected_(expected) {}

// How many of the sample are not behind this key.
std::size_t KeySpread::position(std::string_view key) const {
  return static_cast<std::size_t>(std::ranges::upper_bound(sample_, key, std::less<>{}) - sample_.begin());
}

std::int64_t KeySpread::expected(std::string_view after, const std::optional<std::string>& up_to) const {
  if (sample_.empty()) return 0;
  const std::size_t end = up_to ? position(*up_to) : sample_.size();
  const std::size_t begin = std::min(position(after), end);
  return expected_ * static_cast<std::int64_t>(end - begin) / static_cast<std::int64_t>(sample_.size());
}

std::vector<std::string> KeySpread::cut(std::string_view after, const std::optional<std::string>& up_to,
                                        std::size_t parts) const {
  std::vector<std::string> keys;
  const std::size_t begin = position(after);
  const std::size_t end = std::max(begin, up_to ? position(*up_to) : sample_.size());
  for (std::size_t part = 1; part < parts; ++part) {
    const std::size_t at = begin + part * (end - begin) / parts;
    if (at >= end || (up_to && sample_[at] >= *up_to)) break;
    if (keys.empty() ? sample_[at] > after : sample_[at] > keys.back()) keys.push_back(sample_[at]);
  }
  return keys;
}

// What has changed while the listing went on is counting up; so the place before it will count up too, only later.
std::optional<std::string> key_ahead(std::string_view first, std::string_view current,
                                     const std::optional<std::string>& up_to) {
  const auto [a, b] = std::ranges::mismatch(first, current);
  const auto changed = static_cast<std::size_t>(b - current.begin());
  if (changed >= current.size()) return std::nullopt;
  const std::size_t begin = changed > 0 ? changed - 1 : 0;
  for (std::size_t at = begin; at < std::min(current.size(), changed + 3); ++at) {
    const char letter = current[at];
    // Not within a character of several bytes, and none that is not printed.
    if (letter < ' ' || letter >= '~') continue;
    std::string ahead(current.substr(0, at));
    ahead += static_cast<char>(letter + 1);
    if (!up_to || ahead < *up_to) return ahead;
  }
  return std::nullopt;
}

}  // namespace objectlink
