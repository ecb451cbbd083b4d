#include "page_sums.hpp"

#include <algorithm>

#include "core/key_digest.hpp"

namespace objectlink {

bool key_is_ours(std::string_view store_prefix, std::string_view key) {
  return key.starts_with(store_prefix) && key.size() > store_prefix.size() && !key.starts_with(".objectlink/");
}

std::vector<KeyBlock> sum_blocks(const ListedPage& page, std::string_view store_prefix, std::uint64_t seed) {
  std::vector<KeyBlock> blocks;
  blocks.reserve(page.keys.size() / block_keys_max + 1);
  std::size_t at = 0;
  do {
    KeyBlock block;
    block.end = std::min(at + block_keys_max, page.keys.size());
    for (; at < block.end; ++at) {
      const ListedKey& key = page.keys[at];
      if (!key_is_ours(store_prefix, key.key)) continue;
      const std::uint64_t hash = hash_key(seed, key.key);
      ++block.ours;
      block.bytes += key.size;
      block.keys ^= hash;
      block.contents ^= hash_content(seed, hash, key.size, key.etag);
    }
    blocks.push_back(block);
  } while (at < page.keys.size());
  return blocks;
}

}  // namespace objectlink
