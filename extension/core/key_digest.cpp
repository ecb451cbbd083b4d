// Sums over keys: see key_digest.hpp.
#include "core/key_digest.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace objectlink {

namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t odd_1 = 0xa0761d6478bd642f, odd_2 = 0xe7037ed1a0b428db, odd_3 = 0x8ebc6af09c88c6e3;

std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::uint64_t hash_bytes(std::uint64_t seed, std::string_view bytes) noexcept {
  const std::uint64_t factor = seed ^ odd_2;
  std::uint64_t hash = mix(seed ^ odd_1, bytes.size() ^ factor);
  while (!bytes.empty()) {
    std::uint64_t word = 0;
    const std::size_t count = std::min(bytes.size(), sizeof word);
    std::memcpy(&word, bytes.data(), count);
    hash = mix(hash ^ word, factor);
    bytes.remove_prefix(count);
  }
  return mix(hash, seed ^ odd_3);
}

char lower(char letter) noexcept {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + ('a' - 'A')) : letter;
}

}  // namespace

std::uint64_t hash_key(std::uint64_t seed, std::string_view key) noexcept { return hash_bytes(seed, key); }

std::uint64_t hash_content(std::uint64_t seed, std::uint64_t key_hash, std::int64_t size,
                           std::string_view etag) noexcept {
  while (etag.starts_with('"')) etag.remove_prefix(1);
  while (etag.ends_with('"')) etag.remove_suffix(1);
  std::uint64_t hash = mix(key_hash ^ odd_3, static_cast<std::uint64_t>(size) ^ seed ^ odd_1);
  // In pieces, so that it needs no memory.
  std::array<char, 64> piece;
  do {
    const std::size_t count = std::min(etag.size(), piece.size());
    std::transform(etag.begin(), etag.begin() + static_cast<std::ptrdiff_t>(count), piece.begin(), lower);
    hash = mix(hash ^ hash_bytes(seed, {piece.data(), count}), seed ^ odd_2);
    etag.remove_prefix(count);
  } while (!etag.empty());
  return hash;
}

}  // namespace objectlink
