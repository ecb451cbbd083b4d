// From which row did a link go, or come back to, and by which act? What the outbox keeps of it for the record of an erasure.
#pragma once

#include "postgres.hpp"

namespace objectlink {

/// The jsonb {"act": ..., "relation": ..., "row": {...}}: the relation by its name of now, as the user sees it (a
/// partition's is its root's), and the primary key of the row in `old_row`, with values as to_jsonb() gives them.
/// Without "row" if old_row is nullptr, if the relation has no primary key, or if objectlink.record_row_keys is off.
/// Raises what the output function of a key column's type raises. Allocates in the current memory context.
Datum row_image(Relation relation, TupleTableSlot* old_row, const char* act);

/// Registers for changes of relations; called once, when the module is loaded.
void watch_row_keys();

}  // namespace objectlink
