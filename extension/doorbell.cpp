// Rings by NOTIFY objectlink. NOTIFY serialises all commits of the database on one lock and forbids PREPARE
// TRANSACTION, so it is avoided while the daemon is awake and where prepared transactions are in use.
#include "doorbell.hpp"

#include "own_tables.hpp"
#include "settings.hpp"
#include "transaction_scope.hpp"

namespace objectlink {

namespace {

constexpr char channel[] = "objectlink";

// The doorbell holds at most one row; none means awake, as after a crash (the table is unlogged).
bool daemon_is_asleep() {
  bool asleep = false;
  Relation const doorbell = table_open(own_table(OwnTable::doorbell), AccessShareLock);
  if (RelationGetNumberOfBlocks(doorbell) > 0) {
    Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
    TupleTableSlot* const slot = table_slot_create(doorbell, nullptr);
    TableScanDesc const scan = table_beginscan(doorbell, snapshot, 0, nullptr);
    while (!asleep && table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
      bool is_null = true;
      const Datum value = slot_getattr(slot, 1, &is_null);
      asleep = !is_null && DatumGetBool(value);
    }
    table_endscan(scan);
    ExecDropSingleTupleTableSlot(slot);
    UnregisterSnapshot(snapshot);
  }
  table_close(doorbell, NoLock);
  return asleep;
}

bool must_ring() {
  switch (notify_setting()) {
    case Notify::always: return true;
    case Notify::never: return false;
    case Notify::automatic: return max_prepared_xacts == 0 && daemon_is_asleep();
  }
  return false;
}

}  // namespace

void ring_doorbell() {
  if (established(Fact::bell_answered)) return;
  if (must_ring()) Async_Notify(channel, "");
  establish(Fact::bell_answered);
}

}  // namespace objectlink
