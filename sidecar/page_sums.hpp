// What does a page of a listing say in short? Its keys in blocks, and of each block the sums by which the database can tell that it
// has the same (core/key_digest.hpp). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "listed_page.hpp"

namespace objectlink {

// Of these, one that differs has its whole block compared key by key.
inline constexpr std::size_t block_keys_max = 64;

struct KeyBlock {
  std::size_t end = 0;     // behind its last key, in ListedPage::keys
  std::size_t ours = 0;    // keys that the comparison counts
  std::int64_t bytes = 0;  // of their objects
  std::uint64_t keys = 0;
  std::uint64_t contents = 0;
};

// As objectlink.key_is_ours().
bool key_is_ours(std::string_view store_prefix, std::string_view key);

// At least one block, which is empty if the page is. The last one reaches as far as the page.
std::vector<KeyBlock> sum_blocks(const ListedPage& page, std::string_view store_prefix, std::uint64_t seed);

}  // namespace objectlink
