// Which keys does a page of a listing prove to be absent?
// Pure. A page proves only what lies between where it begins and where it ends, and only if it is what was asked for: in
// order, and behind the place it was asked to begin at. Whoever asks has to know that this store lists in the order of bytes
// (Capabilities::list_order). What is not proved is to be looked for by other means.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "s3_reply.hpp"

namespace objectlink {

// The keys of a page as far as a proof needs them.
struct KeyPage {
  std::string_view after;              // it was asked to begin behind this; empty: at the beginning
  std::string_view prefix;             // only keys that begin with this were asked for
  std::vector<std::string_view> keys;  // as listed; several versions of one key stand together
  bool truncated = false;              // more keys follow
  bool in_order = true;
};

KeyPage key_page(const ListPage& page, std::string_view after, std::string_view prefix);
KeyPage key_page(const VersionsPage& page, std::string_view after, std::string_view prefix);

// What the page says of some keys: the positions of those it proves absent, of those it shows, and of the others.
struct PageProof {
  std::vector<std::size_t> absent;
  std::vector<std::size_t> listed;
  std::vector<std::size_t> unproved;
};

// `keys`: rising bytewise. A key that may be listed in another form than it has (control characters) is never proved.
PageProof prove_by_page(std::span<const std::string> keys, const KeyPage& page);

// Where a listing has to begin so that `key` is the first of it, or nearly: something that comes before it. Empty where
// nothing does.
std::string just_before(std::string_view key);

}  // namespace objectlink
