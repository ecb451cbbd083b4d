#include "inventory_file.hpp"

#include <charconv>
#include <utility>

#include "core/uri.hpp"
#include "s3_time.hpp"

namespace objectlink {

namespace {

constexpr std::size_t inflated_bytes_max = 64 * 1024;  // at once
// Rows that are passed over cost time as well.
constexpr std::size_t rows_per_key_max = 20;

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

}  // namespace

InventoryFileReader::InventoryFileReader(const InventorySchema& schema, InventoryFile file, std::string bucket,
                                         std::string prefix,
                                         std::optional<std::chrono::system_clock::time_point> store_time)
    : schema_(schema),
      file_(std::move(file)),
      bucket_(std::move(bucket)),
      prefix_(std::move(prefix)),
      store_time_(store_time) {}

void InventoryFileReader::give(std::string piece) {
  md5_.update(piece);
  given_ += std::ssize(piece);
  gunzip_.give(std::move(piece));
}

InventoryFileReader::Step InventoryFileReader::flawed(const char* code, const std::string& what) {
  flaw_ = inventory_flaw(code, "file " + presentable(file_.key, 200) + " of the inventory " + what);
  return Step::flawed;
}

InventoryFileReader::Step InventoryFileReader::read(std::vector<ListedKey>& keys, std::size_t keys_max) {
  if (flaw_) return Step::flawed;
  const std::size_t keys_end = keys.size() + keys_max;
  const std::uint64_t rows_end = csv_.rows() + keys_max * rows_per_key_max;
  while (keys.size() < keys_end && csv_.rows() < rows_end) {
    switch (csv_.next(fields_)) {
      case CsvReader::Step::row:
        if (!take(keys)) return flawed("InventoryMalformed", "has no valid row " + std::to_string(csv_.rows()));
        continue;
      case CsvReader::Step::broken:
        return flawed("InventoryMalformed", "has no valid row " + std::to_string(csv_.rows() + 1));
      case CsvReader::Step::hungry: break;
    }
    inflated_.clear();
    switch (gunzip_.inflate(inflated_, inflated_bytes_max)) {
      case Gunzip::Step::bytes: csv_.give(inflated_); continue;
      case Gunzip::Step::broken: return flawed("InventoryDamaged", "is no valid gzip");
      case Gunzip::Step::hungry: break;
    }
    return given_ < file_.size ? Step::hungry : finish(keys);
  }
  return Step::keys;
}

InventoryFileReader::Step InventoryFileReader::finish(std::vector<ListedKey>& keys) {
  if (given_ != file_.size) return flawed("InventoryDamaged", "has another size than the manifest says");
  if (md5_.finish() != file_.md5) return flawed("InventoryDamaged", "has another MD5 than the manifest says");
  if (!gunzip_.is_whole()) return flawed("InventoryDamaged", "ends within its gzip");
  switch (csv_.last(fields_)) {
    case CsvReader::Step::hungry: return Step::whole;
    case CsvReader::Step::row:
      if (take(keys)) return Step::whole;
      return flawed("InventoryMalformed", "has no valid row " + std::to_string(csv_.rows()));
    case CsvReader::Step::broken: break;
  }
  return flawed("InventoryMalformed", "has no valid row " + std::to_string(csv_.rows() + 1));
}

std::optional<bool> InventoryFileReader::truth_in(std::optional<std::size_t> column, bool without) const {
  if (!column) return without;
  if (fields_[*column] == "true") return true;
  if (fields_[*column] == "false") return false;
  return std::nullopt;
}

bool InventoryFileReader::take(std::vector<ListedKey>& keys) {
  if (fields_.size() != schema_.columns) return false;
  if (schema_.bucket && fields_[*schema_.bucket] != bucket_) return false;
  auto key = percent_decode(fields_[schema_.key], true);
  if (!key || key->empty()) return false;
  const auto latest = truth_in(schema_.is_latest, true);
  const auto marker = truth_in(schema_.is_delete_marker, false);
  if (!latest || !marker) return false;
  if (!*latest || *marker) return true;
  const auto size = whole_number(fields_[schema_.size]);
  const auto modified = parse_iso8601(fields_[schema_.last_modified]);
  if (!size || !modified) return false;
  if (!key->starts_with(prefix_)) return true;
  if (!can_be_ours(*key)) {
    ++foreign_keys_;
    return true;
  }
  keys.push_back({std::move(*key), *size, presentable(fields_[schema_.etag]), age_at(store_time_, modified)});
  return true;
}

}  // namespace objectlink
