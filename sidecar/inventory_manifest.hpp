// What does the manifest of an S3 Inventory say, and is it one of this bucket that can be read?
// Pure. The forms are those of AWS: "Locating your inventory list", section "Inventory manifest"
// (docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html): a JSON object with sourceBucket, fileFormat,
// fileSchema (for CSV the columns, separated by commas), creationTimestamp (ms since 1970, as a string: when the bucket began to be
// scanned) and files, each with key, size and MD5checksum; beside it manifest.checksum, the MD5 of its bytes in hex. Columns are in
// "S3 Inventory list" (.../userguide/storage-inventory.html): a list of all versions has VersionId, IsLatest and IsDeleteMarker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.hpp"
#include "s3_error.hpp"

namespace objectlink {

inline constexpr std::size_t manifest_bytes_max = 16u << 20;
inline constexpr std::size_t inventory_files_max = 100'000;

struct InventoryFile {
  std::string key;  // in the bucket where the manifest is
  std::int64_t size = 0;
  Md5 md5{};
};

// Which column holds what.
struct InventorySchema {
  std::size_t columns = 0;
  std::size_t key = 0;
  std::size_t size = 0;
  std::size_t etag = 0;
  std::size_t last_modified = 0;
  std::optional<std::size_t> bucket = {};
  std::optional<std::size_t> is_latest = {};
  std::optional<std::size_t> is_delete_marker = {};
};

struct InventoryManifest {
  std::chrono::system_clock::time_point created;
  InventorySchema schema;
  std::vector<InventoryFile> files;
  Md5 md5{};  // of the manifest itself
};

// `checksum`: the content of manifest.checksum; `bucket`: whose objects it has to list.
S3Result<InventoryManifest> read_manifest(std::string_view json, std::string_view checksum, std::string_view bucket);

// The key of the checksum that belongs to a manifest. Nothing: its key is none of a manifest.
std::optional<std::string> checksum_key(std::string_view manifest_key);

// An inventory that cannot be used, and never will be. `code` as in docs/errors.md.
S3Error inventory_flaw(const char* code, std::string message);

}  // namespace objectlink
