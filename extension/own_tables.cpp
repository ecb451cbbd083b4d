// OIDs of objectlink's own tables.
#include "own_tables.hpp"

#include <array>

namespace objectlink {

namespace {

constexpr char schema_name[] = "objectlink";

struct Known {
  const char* name;
  Oid oid;
  std::uint64_t version;
};

std::array<Known, 3> tables = {{{"outbox", InvalidOid, 1}, {"condemned", InvalidOid, 1}, {"doorbell", InvalidOid, 1}}};

Known& known(OwnTable table) noexcept { return tables[static_cast<std::size_t>(table)]; }

void at_relation_change([[maybe_unused]] Datum arg, Oid relation) {
  for (Known& table : tables)
    if (!OidIsValid(relation) || relation == table.oid) {
      table.oid = InvalidOid;
      ++table.version;
    }
}

}  // namespace

Oid own_table(OwnTable table) {
  Known& entry = known(table);
  if (OidIsValid(entry.oid)) return entry.oid;
  const Oid found = get_relname_relid(entry.name, own_schema());
  if (!OidIsValid(found))
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"objectlink.%s\" does not exist", entry.name),
            errhint("Install the extension again: CREATE EXTENSION objectlink."));
  entry.oid = found;
  return found;
}

bool own_table_exists(OwnTable table) {
  const Oid schema = own_schema_if_any();
  return OidIsValid(schema) && OidIsValid(get_relname_relid(known(table).name, schema));
}

std::uint64_t own_table_version(OwnTable table) noexcept { return known(table).version; }

Oid own_schema() { return get_namespace_oid(schema_name, false); }

Oid own_schema_if_any() { return get_namespace_oid(schema_name, true); }

void watch_own_tables() { CacheRegisterRelcacheCallback(at_relation_change, Datum{0}); }

}  // namespace objectlink
