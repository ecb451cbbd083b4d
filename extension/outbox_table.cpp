// Writes to objectlink.outbox by the table access method, with slots and columns remembered.
#include "outbox_table.hpp"

#include "columns.hpp"
#include "own_tables.hpp"

#include <array>

namespace objectlink {

namespace {

// Where the columns are, and slots of the table's shape.
struct Shape {
  std::uint64_t version = 0;  // of own_table_version; 0: nothing is known
  MemoryContext slots_context = nullptr;
  MemoryContext rows_context = nullptr;  // tuples of one call
  int op = 0;                            // indexes from 0
  int attachment = 0;
  int ref = 0;
  int relation = 0;
  int xid = 0;
  int at = 0;
  int role = 0;
  int image = 0;
  std::array<TupleTableSlot*, outbox_rows_max> slots = {};
  std::size_t slots_made = 0;
};

Shape shape;

[[noreturn]] void raise_missing_column(const char* name) {
  ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
          errmsg("table \"objectlink.outbox\" has no column \"%s\" of the expected type", name));
}

int index_of(TupleDesc columns, const char* name, Oid type) {
  const FormData_pg_attribute* const column = find_column(columns, name);
  if (column == nullptr || (OidIsValid(type) && column->atttypid != type)) raise_missing_column(name);
  return column->attnum - 1;
}

void learn_shape(Relation outbox, std::uint64_t version) {
  // Rows are written to the heap alone; an index would silently lack them.
  if (RelationGetIndexList(outbox) != NIL)
    ereport(ERROR, errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
            errmsg("table \"objectlink.outbox\" has an index"), errhint("Drop the index; the outbox must have none."));

  shape.version = 0;
  shape.slots_made = 0;
  if (shape.slots_context == nullptr) {
    shape.slots_context = AllocSetContextCreate(TopMemoryContext, "objectlink outbox slots", ALLOCSET_DEFAULT_SIZES);
    shape.rows_context = AllocSetContextCreate(TopMemoryContext, "objectlink outbox rows", ALLOCSET_DEFAULT_SIZES);
  }
  MemoryContextReset(shape.slots_context);

  const TupleDesc columns = RelationGetDescr(outbox);
  shape.op = index_of(columns, "op", CHAROID);
  shape.attachment = index_of(columns, "attachment_id", INT4OID);
  shape.ref = index_of(columns, "ref", InvalidOid);
  shape.relation = index_of(columns, "relid", REGCLASSOID);
  shape.xid = index_of(columns, "xid", XID8OID);
  shape.at = index_of(columns, "at", TIMESTAMPTZOID);
  shape.role = index_of(columns, "role", OIDOID);
  shape.image = index_of(columns, "image", JSONBOID);
  shape.version = version;
}

// Slots are made when first needed: most sessions write a row at a time.
void make_slots(Relation outbox, std::size_t count) {
  if (shape.slots_made >= count) return;
  MemoryContext const old = MemoryContextSwitchTo(shape.slots_context);
  TupleDesc const columns =
      shape.slots_made > 0 ? shape.slots[0]->tts_tupleDescriptor : CreateTupleDescCopy(RelationGetDescr(outbox));
  for (; shape.slots_made < count; ++shape.slots_made)
    shape.slots[shape.slots_made] = MakeSingleTupleTableSlot(columns, &TTSOpsVirtual);
  MemoryContextSwitchTo(old);
}

void set(TupleTableSlot* slot, int column, Datum value) {
  slot->tts_values[column] = value;
  slot->tts_isnull[column] = false;
}

void fill(TupleTableSlot* slot, const OutboxRow& row) {
  ExecClearTuple(slot);
  for (int i = 0; i < slot->tts_tupleDescriptor->natts; ++i) slot->tts_isnull[i] = true;
  set(slot, shape.op, CharGetDatum(static_cast<char>(row.op)));
  if (row.attachment) set(slot, shape.attachment, Int32GetDatum(*row.attachment));
  if (row.ref) set(slot, shape.ref, *row.ref);
  if (OidIsValid(row.relation)) set(slot, shape.relation, ObjectIdGetDatum(row.relation));
  set(slot, shape.xid, FullTransactionIdGetDatum(GetTopFullTransactionId()));
  set(slot, shape.at, TimestampTzGetDatum(GetCurrentStatementStartTimestamp()));
  // Whom the log will name: the role the session acts as, whatever SECURITY DEFINER function it is in.
  set(slot, shape.role, ObjectIdGetDatum(GetOuterUserId()));
  if (row.image) set(slot, shape.image, *row.image);
  ExecStoreVirtualTuple(slot);
}

}  // namespace

void write_outbox(std::span<const OutboxRow> rows) {
  Assert(rows.size() <= outbox_rows_max);
  Relation const outbox = table_open(own_table(OwnTable::outbox), NoLock);
  const std::uint64_t version = own_table_version(OwnTable::outbox);
  if (shape.version != version) learn_shape(outbox, version);
  make_slots(outbox, rows.size());

  MemoryContextReset(shape.rows_context);
  MemoryContext const old = MemoryContextSwitchTo(shape.rows_context);
  for (std::size_t i = 0; i < rows.size(); ++i) fill(shape.slots[i], rows[i]);
  const CommandId command = GetCurrentCommandId(true);
  if (rows.size() == 1)
    table_tuple_insert(outbox, shape.slots[0], command, 0, nullptr);
  else
    table_multi_insert(outbox, shape.slots.data(), static_cast<int>(rows.size()), command, 0, nullptr);
  for (std::size_t i = 0; i < rows.size(); ++i)
    ExecClearTuple(shape.slots[i]);  // its values point into memory that ends with this call
  MemoryContextSwitchTo(old);
  MemoryContextReset(shape.rows_context);
  table_close(outbox, NoLock);
}

}  // namespace objectlink
