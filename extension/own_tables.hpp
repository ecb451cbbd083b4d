// Where are objectlink's own tables? Names to OIDs, remembered until the table changes.
#pragma once

#include "postgres.hpp"

namespace objectlink {

enum class OwnTable : std::uint8_t { outbox, condemned, doorbell };

/// OID of the table in schema objectlink; raises undefined_table if there is none.
Oid own_table(OwnTable table);

/// Whether there is such a table.
bool own_table_exists(OwnTable table);

/// Changes whenever what was learned about the table may have become stale. Read it before learning, so that a change
/// in between is noticed.
std::uint64_t own_table_version(OwnTable table) noexcept;

/// OID of the schema objectlink; raises undefined_schema if there is none.
Oid own_schema();

/// The same, or InvalidOid.
Oid own_schema_if_any();

/// Registers for changes of tables; called once, when the module is loaded.
void watch_own_tables();

}  // namespace objectlink
