// Is a key about to be deleted, so that no row may link it now? Reads objectlink.condemned; only the daemon writes it.
#pragma once

#include "core/storage_ref.hpp"

#include "postgres.hpp"

namespace objectlink {

/// Raises object_in_use if the ref is condemned. Sees every mark committed before the call, whatever the transaction's
/// isolation level. The caller holds the outbox open: a mark committed later then waits for this transaction.
void refuse_condemned(Datum ref, RefParts parts);

}  // namespace objectlink
