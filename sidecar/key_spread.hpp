// Where are the keys of a store, and where can a range of them be split? By keys that the registry has shown, each of which stands
// for as many others; where it knows none, by how the keys have grown that were listed. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace objectlink {

class KeySpread {
 public:
  KeySpread() = default;
  // sample: rising; expected: about how many keys there are.
  KeySpread(std::vector<std::string> sample, std::int64_t expected);

  // About how many keys lie behind `after`, up to `up_to` (none: to the end).
  std::int64_t expected(std::string_view after, const std::optional<std::string>& up_to) const;
  // Keys that make `parts` ranges of about the same size of one; fewer if too little is known.
  std::vector<std::string> cut(std::string_view after, const std::optional<std::string>& up_to,
                               std::size_t parts) const;

 private:
  std::size_t position(std::string_view key) const;

  std::vector<std::string> sample_;
  std::int64_t expected_ = 0;
};

// A key some way ahead of `current`, if the listing goes on as it did since `first`. Never one that is no UTF-8. None: nothing is
// known, or the range ends before.
std::optional<std::string> key_ahead(std::string_view first, std::string_view current,
                                     const std::optional<std::string>& up_to);

}  // namespace objectlink
