// Looks keys up in objectlink.condemned.
//
// A mark counts if it was committed before the outbox was locked; the delete path waits for whoever locked it earlier.
// So a look at any time after the lock is right. It is repeated for every statement, to refuse early, but not for every
// row of one: a bulk INSERT looks once whether there are marks at all, and reads them all once the single looks add up.
#include "condemned.hpp"

#include "own_tables.hpp"
#include "transaction_scope.hpp"

namespace objectlink {

namespace {

// Reading a block of marks costs about as much as this many single looks.
constexpr std::uint64_t looks_per_block = 20;
constexpr BlockNumber blocks_read_max = 1024;
constexpr long marks_expected = 1024;

// The primary key and its equality function, remembered: finding them costs more than the look.
struct PrimaryKey {
  std::uint64_t version = 0;  // of own_table_version; 0: nothing is known
  Oid index = InvalidOid;
  AttrNumber column = 0;
  FmgrInfo equal = {};
};

// What the present statement has seen so far.
struct Seen {
  std::uint64_t transaction = 0;
  CommandId command = InvalidCommandId;
  BlockNumber blocks = 0;
  std::uint64_t looks = 0;
  HTAB* marks = nullptr;  // 64-bit hashes of all marks, once they were read; lives as long as the transaction
};

PrimaryKey primary_key;
Seen seen;

void learn_primary_key(Relation condemned, std::uint64_t version) {
  const Oid found = RelationGetPrimaryKeyIndex(condemned);
  if (!OidIsValid(found))
    ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("table \"objectlink.condemned\" has no primary key"));
  Relation const index = index_open(found, AccessShareLock);
  const Oid family = index->rd_opfamily[0];
  const Oid type = index->rd_opcintype[0];
  const Oid equal = get_opfamily_member(family, type, type, BTEqualStrategyNumber);
  if (!OidIsValid(equal))
    ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("the primary key of table \"objectlink.condemned\" is not a btree index"));
  fmgr_info_cxt(get_opcode(equal), &primary_key.equal, TopMemoryContext);
  primary_key.column = index->rd_index->indkey.values[0];
  index_close(index, NoLock);
  primary_key.index = found;
  primary_key.version = version;
}

bool index_has(Relation condemned, Datum ref) {
  ScanKeyData key;
  ScanKeyEntryInitializeWithInfo(&key, 0, 1, BTEqualStrategyNumber, InvalidOid, InvalidOid, &primary_key.equal, ref);
  Relation const index = index_open(primary_key.index, AccessShareLock);
  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  TupleTableSlot* const slot = table_slot_create(condemned, nullptr);
  IndexScanDesc const scan = index_beginscan(condemned, index, snapshot, 1, 0);
  index_rescan(scan, &key, 1, nullptr, 0);
  const bool found = index_getnext_slot(scan, ForwardScanDirection, slot);
  index_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  UnregisterSnapshot(snapshot);
  index_close(index, NoLock);
  return found;
}

std::uint64_t hash_of(Datum ref) {
  const std::string_view text = datum_bytes(ref);
  return DatumGetUInt64(
      hash_any_extended(reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()), 0));
}

void read_marks(Relation condemned) {
  HASHCTL control = {};
  control.keysize = sizeof(std::uint64_t);
  control.entrysize = sizeof(std::uint64_t);
  control.hcxt = TopTransactionContext;
  HTAB* const marks =
      hash_create("objectlink condemned", marks_expected, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

  Snapshot const snapshot = RegisterSnapshot(GetLatestSnapshot());
  TupleTableSlot* const slot = table_slot_create(condemned, nullptr);
  TableScanDesc const scan = table_beginscan(condemned, snapshot, 0, nullptr);
  while (table_scan_getnextslot(scan, ForwardScanDirection, slot)) {
    bool is_null = true;
    const Datum ref = slot_getattr(slot, primary_key.column, &is_null);
    const std::uint64_t hash = hash_of(ref);
    hash_search(marks, &hash, HASH_ENTER, nullptr);
  }
  table_endscan(scan);
  ExecDropSingleTupleTableSlot(slot);
  UnregisterSnapshot(snapshot);
  seen.marks = marks;
}

// Whether the statement has looked already. Not after a savepoint was rolled back: that may have given up the locks.
bool was_seen() noexcept {
  return seen.transaction == transaction_number() && seen.command == GetCurrentCommandId(false) &&
         established(Fact::condemned_read);
}

void look_at_table(Relation condemned) {
  if (seen.transaction == transaction_number() && seen.marks != nullptr) hash_destroy(seen.marks);
  seen = {.transaction = transaction_number(), .command = GetCurrentCommandId(false)};
  seen.blocks = RelationGetNumberOfBlocks(condemned);
  establish(Fact::condemned_read);
}

bool was_read_without(Datum ref) {
  if (seen.marks == nullptr) return false;
  const std::uint64_t hash = hash_of(ref);
  return hash_search(seen.marks, &hash, HASH_FIND, nullptr) == nullptr;
}

// Whether a look into the table can be spared.
bool is_known_free(Datum ref) { return was_seen() && (seen.blocks == 0 || was_read_without(ref)); }

bool is_condemned(Datum ref) {
  if (is_known_free(ref)) return false;
  Relation const condemned = table_open(own_table(OwnTable::condemned), AccessShareLock);
  if (!was_seen()) look_at_table(condemned);
  const std::uint64_t version = own_table_version(OwnTable::condemned);
  if (seen.blocks > 0 && primary_key.version != version) learn_primary_key(condemned, version);
  if (seen.marks == nullptr && seen.blocks <= blocks_read_max && seen.looks > looks_per_block * seen.blocks)
    read_marks(condemned);
  ++seen.looks;
  const bool found = !is_known_free(ref) && index_has(condemned, ref);
  table_close(condemned, NoLock);
  return found;
}

}  // namespace

void refuse_condemned(Datum ref, RefParts parts) {
  if (is_condemned(ref))
    ereport(ERROR, errcode(ERRCODE_OBJECT_IN_USE),
            errmsg("object \"%.*s\" in store \"%.*s\" is being deleted", static_cast<int>(parts.key.size()),
                   parts.key.data(), static_cast<int>(parts.store.size()), parts.store.data()),
            errhint("Use a new key, or try again when the object is gone."));
}

}  // namespace objectlink
