// Which keys are in one data file of an S3 Inventory? Its bytes come in pieces, in order; the keys go out some at a time. Size, MD5, gzip
// and each row are checked; what is not as the manifest says ends it. Pure, but for memory: what was given and is not read yet.
// Rows: "S3 Inventory list" (docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html): in CSV a key is URL-encoded, a space
// as a plus; there is no row of names; a delete marker has neither size nor ETag.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/digest.hpp"
#include "csv_reader.hpp"
#include "gunzip.hpp"
#include "inventory_manifest.hpp"
#include "listed_page.hpp"
#include "s3_error.hpp"

namespace objectlink {

class InventoryFileReader {
 public:
  enum class Step {
    keys,    // some, or none: many rows were passed over; there may be more
    hungry,  // the next piece is needed
    whole,   // all of it is read and as the manifest says; these are the last keys
    flawed,  // see flaw(); nothing may be concluded from what was read
  };

  // Only keys that begin with `prefix` go out. `store_time`: of the store's clock now, by which ages are told.
  InventoryFileReader(const InventorySchema& schema, InventoryFile file, std::string bucket, std::string prefix,
                      std::optional<std::chrono::system_clock::time_point> store_time);

  // Only when hungry, which it is at first.
  void give(std::string piece);
  // Adds at most `keys_max` keys.
  Step read(std::vector<ListedKey>& keys, std::size_t keys_max);

  const S3Error& flaw() const { return *flaw_; }
  // Keys that cannot be ours: no UTF-8, too long.
  std::size_t foreign_keys() const { return foreign_keys_; }

 private:
  Step finish(std::vector<ListedKey>& keys);
  Step flawed(const char* code, const std::string& what);
  // Nothing: it is neither. `without`: there is no such column.
  std::optional<bool> truth_in(std::optional<std::size_t> column, bool without) const;
  // False: the row is none.
  bool take(std::vector<ListedKey>& keys);

  const InventorySchema schema_;
  const InventoryFile file_;
  const std::string bucket_;
  const std::string prefix_;
  const std::optional<std::chrono::system_clock::time_point> store_time_;
  Gunzip gunzip_;
  CsvReader csv_;
  Md5Stream md5_;
  std::int64_t given_ = 0;
  std::string inflated_;
  std::vector<std::string> fields_;
  std::size_t foreign_keys_ = 0;
  std::optional<S3Error> flaw_;
};

}  // namespace objectlink
