// An object was looked at because the listing differs from what the registry knows: what was seen?
// Pure. What becomes of the object is decided by the database (extension/sql/71_sighting.sql).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/digest.hpp"
#include "verify.hpp"

namespace objectlink {

// What was proved of it, as far as it is known.
struct ProvedContent {
  std::optional<std::int64_t> size;
  std::string etag;
  std::optional<Sha256> sha256;
};

enum class Sighting { same, other, absent };
const char* to_string(Sighting sighting);

// Size first; then the digest that the store has made itself; then the ETag; then the digest that whoever stored it has
// written beside it: an ETag is another one after a copy or with encryption, though the content is the same.
Sighting judge_sighting(const ProvedContent& proved, const Sight& sight);

}  // namespace objectlink
