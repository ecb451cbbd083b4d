#include "capabilities.hpp"

#include <nlohmann/json.hpp>

#include "database.hpp"
#include "s3_etag.hpp"

namespace objectlink {
namespace {

struct Field {
  const char* name;
  Support Capabilities::*support;
};

// In the order of the columns.
constexpr Field fields[] = {
    {"conditional_put", &Capabilities::conditional_put},
    {"conditional_delete", &Capabilities::conditional_delete},
    {"conditional_multi_delete", &Capabilities::conditional_multi_delete},
    {"checksums", &Capabilities::checksums},
    {"multi_delete", &Capabilities::multi_delete},
    {"list_order", &Capabilities::list_order},
};

}  // namespace

std::string Capabilities::condition(std::string_view etag) const {
  const std::string_view bare = objectlink::bare_etag(etag);
  if (bare.empty()) return {};
  return bare_etag ? std::string(bare) : '"' + std::string(bare) + '"';
}

std::string_view versioning_text(std::optional<Versioning> versioning) {
  if (!versioning) return {};
  switch (*versioning) {
    case Versioning::never: return "off";
    case Versioning::enabled: return "enabled";
    case Versioning::suspended: return "suspended";
  }
  return {};
}

Capabilities read_capabilities(const Rows& rows, int first) {
  Capabilities capabilities;
  int column = first;
  for (const Field& field : fields) {
    if (!rows.is_null(0, column)) capabilities.*field.support = rows.boolean(0, column) ? Support::yes : Support::no;
    ++column;
  }
  const std::string_view versioning = rows.text(0, column++);
  for (const Versioning known : {Versioning::never, Versioning::enabled, Versioning::suspended})
    if (versioning == versioning_text(known)) capabilities.versioning = known;
  capabilities.bare_etag = !rows.is_null(0, column) && rows.boolean(0, column);
  return capabilities;
}

std::string to_json(const Capabilities& capabilities) {
  nlohmann::json json;
  for (const Field& field : fields) {
    const Support support = capabilities.*field.support;
    if (support == Support::unknown)
      json[field.name] = nullptr;
    else
      json[field.name] = support == Support::yes;
  }
  if (capabilities.versioning)
    json["versioning"] = versioning_text(capabilities.versioning);
  else
    json["versioning"] = nullptr;
  json["bare_etag"] = capabilities.bare_etag;
  return json.dump();
}

}  // namespace objectlink
