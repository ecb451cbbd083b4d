// What is a valid reference to an object, and which store and key does it name?
//
// The text form is s3://<store>/<key>. The key is the full object key in the bucket, raw: never decoded, never
// normalised. Neither the existence of the store nor its prefix is known here; whoever links an object checks those.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace objectlink {

inline constexpr std::string_view ref_scheme = "s3://";
inline constexpr std::size_t store_bytes_max = 63;  // a PostgreSQL name: NAMEDATALEN - 1
inline constexpr std::size_t key_bytes_max = 1024;  // the limit of S3
inline constexpr std::size_t ref_bytes_max = ref_scheme.size() + store_bytes_max + 1 + key_bytes_max;

/// Keys below this are objectlink's own.
inline constexpr std::string_view reserved_prefix = ".objectlink/";

enum class RefFlaw : std::uint8_t {
  none,
  scheme_missing,
  store_empty,
  store_too_long,
  store_slash,
  store_control,
  store_malformed,
  key_missing,
  key_empty,
  key_too_long,
  key_nul,
  key_malformed,
};

/// The first flaw found and the byte of the checked text where it is, counted from 0.
struct RefProblem {
  RefFlaw flaw = RefFlaw::none;
  std::size_t at = 0;
  explicit operator bool() const noexcept { return flaw != RefFlaw::none; }
};

struct RefParts {
  std::string_view store;
  std::string_view key;
};

/// Checks a whole reference, `s3://<store>/<key>`.
RefProblem check_storage_ref(std::string_view text) noexcept;

/// Checks a store's name alone: 1 to 63 bytes of UTF-8 without '/' and control characters.
RefProblem check_store_name(std::string_view store) noexcept;

/// Checks a key alone: 1 to 1024 bytes of UTF-8 without NUL.
RefProblem check_key(std::string_view key) noexcept;

/// Takes a reference apart. `text` must have passed check_storage_ref; the parts point into it.
RefParts split_storage_ref(std::string_view text) noexcept;

/// Puts a reference together. Both parts must have passed their checks.
std::string make_storage_ref(std::string_view store, std::string_view key);

/// What a flaw means, as an English sentence without its full stop. NUL-terminated.
const char* describe(RefFlaw flaw) noexcept;

}  // namespace objectlink
