// Collects rows for the outbox. This is the hot path of every INSERT into an attached table.
//
// A row must be written by the (sub)transaction that said it: a row of the parent written inside a savepoint would
// vanish with the savepoint. So each row remembers its nesting level, and the rows of the current level, which are
// always the last ones, are written
//   - when there is no room for another one,
//   - when a query ends, so that later statements of the transaction see them,
//   - when a savepoint is about to be released, and when the transaction is about to commit or to be prepared.
// A rollback drops the rows of its level and of those inside it.
#include "outbox.hpp"

#include "outbox_table.hpp"
#include "own_tables.hpp"
#include "transaction_scope.hpp"

#include <array>
#include <cstring>

namespace objectlink {

namespace {

constexpr std::size_t value_memory_bytes = 64 * 1024;

struct Collected {
  std::size_t count = 0;
  std::array<OutboxRow, outbox_rows_max> rows = {};
  std::array<int, outbox_rows_max> levels = {};          // never fall
  std::array<std::size_t, outbox_rows_max> starts = {};  // of each row's part of the memory
  std::size_t memory_used = 0;
  alignas(MAXIMUM_ALIGNOF) std::array<char, value_memory_bytes> memory = {};
};

Collected collected;
ExecutorFinish_hook_type next_executor_finish = nullptr;

void drop_from(std::size_t first) noexcept {
  if (first >= collected.count) return;
  collected.memory_used = collected.starts[first];
  collected.count = first;
}

// The first row of this nesting level or of one inside it.
std::size_t first_of(int level) noexcept {
  std::size_t first = collected.count;
  while (first > 0 && collected.levels[first - 1] >= level) --first;
  return first;
}

void write_level() {
  const std::size_t first = first_of(GetCurrentTransactionNestLevel());
  if (first == collected.count) return;
  write_outbox({collected.rows.data() + first, collected.count - first});
  drop_from(first);
}

std::size_t value_bytes(const std::optional<Datum>& value) { return value ? VARSIZE_ANY(DatumGetPointer(*value)) : 0; }

// Each value begins aligned.
std::size_t bytes_needed(const OutboxRow& row) {
  const std::size_t ref = value_bytes(row.ref);
  return row.image ? MAXALIGN(ref) + value_bytes(row.image) : ref;
}

bool has_room(std::size_t bytes) noexcept {
  return collected.count < outbox_rows_max && MAXALIGN(collected.memory_used) + bytes <= value_memory_bytes;
}

Datum keep(Datum value) {
  const std::size_t bytes = VARSIZE_ANY(DatumGetPointer(value));
  const std::size_t start = MAXALIGN(collected.memory_used);
  char* const copy = collected.memory.data() + start;
  std::memcpy(copy, DatumGetPointer(value), bytes);
  collected.memory_used = start + bytes;
  return PointerGetDatum(copy);
}

void collect(const OutboxRow& row) {
  const std::size_t i = collected.count;
  collected.starts[i] = collected.memory_used;
  collected.rows[i] = row;
  if (row.ref) collected.rows[i].ref = keep(*row.ref);
  if (row.image) collected.rows[i].image = keep(*row.image);
  collected.levels[i] = GetCurrentTransactionNestLevel();
  collected.count = i + 1;
}

void at_query_end(QueryDesc* query) {
  if (next_executor_finish != nullptr)
    next_executor_finish(query);
  else
    standard_ExecutorFinish(query);
  // A parallel query can't write; it can only meet rows that COPY left, which then wait for the next chance.
  if (collected.count > 0 && !IsInParallelMode()) write_level();
}

void at_transaction_event(XactEvent event, [[maybe_unused]] void* arg) {
  switch (event) {
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE:
      // Nothing to tell a daemon if the transaction dropped the extension.
      if (collected.count > 0 && own_table_exists(OwnTable::outbox)) write_level();
      break;
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PREPARE: drop_from(0); break;
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_PARALLEL_ABORT: break;
  }
}

void at_savepoint_event(SubXactEvent event, [[maybe_unused]] SubTransactionId mine,
                        [[maybe_unused]] SubTransactionId parent, [[maybe_unused]] void* arg) {
  if (collected.count == 0) return;
  if (event == SUBXACT_EVENT_PRE_COMMIT_SUB)
    write_level();
  else if (event == SUBXACT_EVENT_ABORT_SUB)
    drop_from(first_of(GetCurrentTransactionNestLevel()));
}

}  // namespace

void lock_outbox() {
  if (established(Fact::outbox_locked)) return;
  LockRelationOid(own_table(OwnTable::outbox), RowExclusiveLock);
  establish(Fact::outbox_locked);
}

void append(const OutboxRow& row) {
  Assert(established(Fact::outbox_locked));
  const std::size_t bytes = bytes_needed(row);
  if (!has_room(bytes)) {
    write_level();
    // Rows of an outer level may still fill it; they can't be written from in here.
    if (!has_room(bytes)) {
      write_outbox({&row, 1});
      return;
    }
  }
  collect(row);
}

void watch_outbox() {
  RegisterXactCallback(at_transaction_event, nullptr);
  RegisterSubXactCallback(at_savepoint_event, nullptr);
  next_executor_finish = ExecutorFinish_hook;
  ExecutorFinish_hook = at_query_end;
}

}  // namespace objectlink
