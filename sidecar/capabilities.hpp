// What can this store do, as far as it has shown? Only what was proved counts as a yes or a no; all else is unknown, and
// then the weakest is assumed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace objectlink {

class Rows;

enum class Support : std::uint8_t { unknown, no, yes };
enum class Versioning { never, enabled, suspended };

struct Capabilities {
  Support conditional_put = Support::unknown;     // refuses PUT If-None-Match: * and If-Match where they do not hold
  Support conditional_delete = Support::unknown;  // and DELETE If-Match
  Support conditional_multi_delete = Support::unknown;  // and an <ETag> in DeleteObjects
  Support checksums = Support::unknown;                 // verifies x-amz-checksum-sha256
  Support multi_delete = Support::unknown;              // knows DeleteObjects
  Support list_order = Support::unknown;                // lists in the order of bytes, not of UTF-16
  std::optional<Versioning> versioning = {};
  bool bare_etag = false;  // If-Match takes an ETag without its quotes

  bool operator==(const Capabilities&) const = default;

  bool is_versioned() const { return versioning && *versioning != Versioning::never; }

  // An ETag for If-Match, as this store takes it. Empty ones stay empty: no condition.
  std::string condition(std::string_view etag) const;
};

// Column of objectlink.capability: "off", "enabled", "suspended"; empty for unknown.
std::string_view versioning_text(std::optional<Versioning> versioning);

// The row that objectlink.known_capabilities() gives, from its column `first` on.
Capabilities read_capabilities(const Rows& rows, int first);

// For objectlink.record_capabilities(). What is unknown is null.
std::string to_json(const Capabilities& capabilities);

}  // namespace objectlink
