// How does an intent get into the outbox? Only appends; reading it is the daemon's business.
//
// Rows are collected and written together, which costs half of writing them one by one. What is collected is written
// before the query, the savepoint or the transaction that said it ends, whichever is first, or is dropped with them.
#pragma once

#include "postgres.hpp"

#include <optional>

namespace objectlink {

enum class OutboxOp : char { link = 'L', unlink = 'U', truncate = 'T', put = 'P' };

struct OutboxRow {
  OutboxOp op;
  std::optional<std::int32_t> attachment;
  std::optional<Datum> ref;  // a detoasted storage_ref
  Oid relation = InvalidOid;
  std::optional<Datum> image = std::nullopt;  // a jsonb: which row, see unlinked_row.hpp
};

/// Locks the outbox with RowExclusiveLock, which stays until the transaction ends: the delete path waits for its
/// holders. Cheap when called again.
void lock_outbox();

/// Appends one row with the transaction's xid8 and the start time of the statement. Needs no privileges, runs no triggers, maintains no
/// index. The outbox must be locked.
void append(const OutboxRow& row);

/// Registers for ends of statements, savepoints and transactions; called once, when the module is loaded.
void watch_outbox();

}  // namespace objectlink
