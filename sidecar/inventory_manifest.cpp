#include "inventory_manifest.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

namespace objectlink {

namespace {

using nlohmann::json;

constexpr std::string_view manifest_name = "manifest.json";
// Times that make sense: 2001 to 2286.
constexpr std::int64_t created_ms_min = 1'000'000'000'000;
constexpr std::int64_t created_ms_max = 9'999'999'999'999;

S3Error malformed(std::string what) { return inventory_flaw("InventoryMalformed", "the manifest " + std::move(what)); }

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view space = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(space);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(space) - begin + 1);
}

std::optional<std::string> text_of(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

// AWS writes creationTimestamp as a string of digits; others as a number.
std::optional<std::int64_t> number_of(const json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  if (found->is_number_unsigned() || found->is_number_integer()) return found->get<std::int64_t>();
  if (!found->is_string()) return std::nullopt;
  const auto& text = found->get_ref<const std::string&>();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Md5> md5_from_hex(std::string_view text) {
  const auto bytes = unhex(text);
  Md5 md5;
  if (!bytes || bytes->size() != md5.size()) return std::nullopt;
  std::ranges::transform(*bytes, md5.begin(), [](char c) { return static_cast<unsigned char>(c); });
  return md5;
}

std::vector<std::string_view> columns_of(std::string_view schema) {
  std::vector<std::string_view> columns;
  for (;;) {
    const std::size_t comma = schema.find(',');
    columns.push_back(trimmed(schema.substr(0, comma)));
    if (comma == std::string_view::npos) return columns;
    schema.remove_prefix(comma + 1);
  }
}

S3Result<InventorySchema> read_schema(std::string_view text) {
  const auto columns = columns_of(text);
  const auto place = [&columns](std::string_view name) -> std::optional<std::size_t> {
    const auto found = std::ranges::find(columns, name);
    if (found == columns.end()) return std::nullopt;
    return static_cast<std::size_t>(found - columns.begin());
  };
  if (std::unordered_set<std::string_view>(columns.begin(), columns.end()).size() != columns.size())
    return malformed("names a column twice");
  InventorySchema schema;
  schema.columns = columns.size();
  const std::pair<const char*, std::size_t*> needed[] = {{"Key", &schema.key},
                                                         {"Size", &schema.size},
                                                         {"ETag", &schema.etag},
                                                         {"LastModifiedDate", &schema.last_modified}};
  for (const auto& [name, at] : needed) {
    const auto found = place(name);
    if (!found) return malformed(std::string("has no column ") + name);
    *at = *found;
  }
  schema.bucket = place("Bucket");
  schema.is_latest = place("IsLatest");
  schema.is_delete_marker = place("IsDeleteMarker");
  // Which of several versions is the object nobody could tell.
  if (place("VersionId") && (!schema.is_latest || !schema.is_delete_marker))
    return malformed("lists versions, but has no columns IsLatest and IsDeleteMarker");
  return schema;
}

S3Result<std::vector<InventoryFile>> read_files(const json& manifest) {
  const auto list = manifest.find("files");
  if (list == manifest.end() || !list->is_array()) return malformed("has no list of files");
  if (list->size() > inventory_files_max) return malformed("names too many files");
  std::vector<InventoryFile> files;
  std::unordered_set<std::string> keys;
  files.reserve(list->size());
  for (const json& item : *list) {
    const auto number = std::to_string(files.size() + 1);
    if (!item.is_object()) return malformed("has no object as file " + number);
    const auto key = text_of(item, "key");
    const auto size = number_of(item, "size");
    const auto md5 = md5_from_hex(text_of(item, "MD5checksum").value_or(std::string()));
    if (!key || key->empty() || !size || *size < 0 || !md5)
      return malformed("has no key, size or MD5checksum of file " + number);
    if (!keys.insert(*key).second) return malformed("names file " + number + " twice");
    files.push_back({*key, *size, *md5});
  }
  return files;
}

}  // namespace

S3Error inventory_flaw(const char* code, std::string message) {
  S3Error error;
  error.klass = ErrorClass::conflict;
  error.code = code;
  error.message = std::move(message);
  error.status = 200;
  return error;
}

std::optional<std::string> checksum_key(std::string_view manifest_key) {
  if (!manifest_key.ends_with(manifest_name)) return std::nullopt;
  return std::string(manifest_key.substr(0, manifest_key.size() - manifest_name.size())) + "manifest.checksum";
}

S3Result<InventoryManifest> read_manifest(std::string_view text, std::string_view checksum, std::string_view bucket) {
  InventoryManifest result;
  result.md5 = md5(text);
  if (md5_from_hex(trimmed(checksum)) != result.md5)
    return inventory_flaw("InventoryDamaged", "the manifest is not the one that manifest.checksum was made of");
  const json manifest = json::parse(text, nullptr, false);
  if (!manifest.is_object()) return malformed("is no JSON object");
  const auto source = text_of(manifest, "sourceBucket");
  if (!source) return malformed("has no sourceBucket");
  if (*source != bucket)
    return inventory_flaw("InventoryForeign", "the inventory lists another bucket: " + presentable(*source, 100));
  const auto format = text_of(manifest, "fileFormat");
  if (!format) return malformed("has no fileFormat");
  if (*format != "CSV")
    return inventory_flaw("InventoryFormat", "the inventory's files are not CSV but " + presentable(*format, 100));
  const auto created = number_of(manifest, "creationTimestamp");
  if (!created || *created < created_ms_min || *created > created_ms_max)
    return malformed("has no creationTimestamp in milliseconds since 1970");
  result.created = std::chrono::system_clock::time_point(std::chrono::milliseconds(*created));
  const auto columns = text_of(manifest, "fileSchema");
  if (!columns) return malformed("has no fileSchema");
  const auto schema = read_schema(*columns);
  if (!schema.ok()) return schema.error();
  result.schema = schema.value();
  auto files = read_files(manifest);
  if (!files.ok()) return files.error();
  result.files = std::move(files.value());
  return result;
}

}  // namespace objectlink
