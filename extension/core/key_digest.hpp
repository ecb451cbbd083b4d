// Do two sides have the same keys, and of each the same content? A sum of hashes says so without naming them: the store's listing,
// the registry and the rows are each summed up where they are, and only where the sums differ is anything compared key by key.
// Pure; the daemon and the database must come to the same numbers. Nothing of it is stored, so it may change with any version.
//
// Hashes are of 64 bits and depend on a seed that the daemon draws at random: nobody can choose keys whose sums are equal. Sums are
// exclusive or, so order does not matter; a key that is there twice cancels out, which makes a difference and no false agreement.
#pragma once

#include <cstdint>
#include <string_view>

namespace objectlink {

std::uint64_t hash_key(std::uint64_t seed, std::string_view key) noexcept;

// Of a key with its content, from the key's hash. Quotes around an ETag and the case of its letters mean nothing.
std::uint64_t hash_content(std::uint64_t seed, std::uint64_t key_hash, std::int64_t size,
                           std::string_view etag) noexcept;

}  // namespace objectlink
