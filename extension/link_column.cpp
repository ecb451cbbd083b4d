// Finds the linked column and reads links from rows.
#include "core/storage_ref.hpp"

#include "link_column.hpp"

#include "columns.hpp"
#include "own_tables.hpp"
#include "ref_errors.hpp"

#include <cstring>

namespace objectlink {

namespace {

constexpr long triggers_expected = 32;
constexpr long triggers_max = 8192;  // then all are forgotten; a bound, not a tuning knob

// What was learned about one trigger's column. Checked against the relation before use, so it needs no invalidation.
struct Learned {
  Oid trigger;  // the hash key; each partition has a trigger of its own
  Oid type;
  Oid soft_delete_type;
  LinkColumn column;
};

HTAB* learned = nullptr;

bool is_still(TupleDesc columns, AttrNumber number, Oid type, const char* name) {
  if (number > columns->natts) return false;
  const FormData_pg_attribute* column = TupleDescAttr(columns, number - 1);
  return !column->attisdropped && column->atttypid == type && std::strcmp(NameStr(column->attname), name) == 0;
}

bool still_true(const Learned& entry, TupleDesc columns, const LinkArguments& arguments) {
  if (!is_still(columns, entry.column.number, entry.type, arguments.column)) return false;
  if (arguments.soft_delete == nullptr) return entry.column.soft_delete == 0;
  return entry.column.soft_delete != 0 &&
         is_still(columns, entry.column.soft_delete, entry.soft_delete_type, arguments.soft_delete);
}

Oid storage_ref_type() {
  return GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("storage_ref"), ObjectIdGetDatum(own_schema()));
}

const FormData_pg_attribute* column_named(Relation relation, const char* name) {
  const FormData_pg_attribute* const column = find_column(RelationGetDescr(relation), name);
  if (column != nullptr) return column;
  ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
          errmsg("column \"%s\" of relation \"%s\" does not exist", name, RelationGetRelationName(relation)),
          errdetail("The column is attached to objectlink, but was renamed or dropped."),
          errhint("Attach the column under its present name with objectlink.attach()."));
}

Learned learn(const TriggerData& fired, const LinkArguments& arguments) {
  const FormData_pg_attribute* const column = column_named(fired.tg_relation, arguments.column);
  const Oid base = getBaseType(column->atttypid);
  const bool is_ref = base == storage_ref_type();
  const bool is_text = base == TEXTOID || base == VARCHAROID;
  if (!is_ref && !is_text)
    ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
            errmsg("column \"%s\" of relation \"%s\" has type %s", arguments.column,
                   RelationGetRelationName(fired.tg_relation), format_type_be(column->atttypid)),
            errdetail("Links are held by columns of type objectlink.storage_ref or text."),
            errhint("Detach the column with objectlink.detach() before changing its type."));
  if (is_text != (arguments.store != nullptr))
    ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
            errmsg("column \"%s\" of relation \"%s\" has type %s", arguments.column,
                   RelationGetRelationName(fired.tg_relation), format_type_be(column->atttypid)),
            is_text ? errdetail("It was attached as a storage_ref, without the name of a store.")
                    : errdetail("It was attached as a text column, with the name of a store."),
            errhint("Attach the column again with objectlink.attach()."));
  Learned fresh = {fired.tg_trigger->tgoid, column->atttypid, InvalidOid, {column->attnum, is_text, 0, false}};
  // One that is not there marks nothing: in doubt a row links.
  const FormData_pg_attribute* const soft_delete =
      arguments.soft_delete == nullptr ? nullptr
                                       : find_column(RelationGetDescr(fired.tg_relation), arguments.soft_delete);
  if (soft_delete != nullptr) {
    fresh.soft_delete_type = soft_delete->atttypid;
    fresh.column.soft_delete = soft_delete->attnum;
    fresh.column.soft_delete_is_boolean = getBaseType(soft_delete->atttypid) == BOOLOID;
  }
  return fresh;
}

void make_hash() {
  if (learned != nullptr) {
    hash_destroy(learned);
    learned = nullptr;
  }
  HASHCTL control = {};
  control.keysize = sizeof(Oid);
  control.entrysize = sizeof(Learned);
  learned = hash_create("objectlink link columns", triggers_expected, &control, HASH_ELEM | HASH_BLOBS);
}

// s3://<store>/<key>
Datum ref_of_key(const char* store, std::string_view key) {
  const std::size_t store_bytes = std::strlen(store);
  const std::size_t bytes = VARHDRSZ + ref_scheme.size() + store_bytes + 1 + key.size();
  auto* const value = static_cast<struct varlena*>(palloc(bytes));
  SET_VARSIZE(value, bytes);
  char* to = VARDATA(value);
  to += ref_scheme.copy(to, ref_scheme.size());
  std::memcpy(to, store, store_bytes);
  to += store_bytes;
  *to++ = '/';
  key.copy(to, key.size());
  return PointerGetDatum(value);
}

}  // namespace

LinkArguments read_link_arguments(const Trigger& trigger) {
  if (trigger.tgnargs < 2 || trigger.tgnargs > 4)
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("trigger \"%s\" has %d arguments instead of 2 to 4", trigger.tgname, trigger.tgnargs),
            errhint("Attach columns with objectlink.attach() only."));
  const bool has_store = trigger.tgnargs > 2 && trigger.tgargs[2][0] != '\0';
  return {pg_strtoint32(trigger.tgargs[0]), trigger.tgargs[1], has_store ? trigger.tgargs[2] : nullptr,
          trigger.tgnargs > soft_delete_argument ? trigger.tgargs[soft_delete_argument] : nullptr};
}

LinkColumn find_link_column(const TriggerData& fired, const LinkArguments& arguments) {
  if (learned == nullptr || hash_get_num_entries(learned) >= triggers_max) make_hash();
  const Oid trigger = fired.tg_trigger->tgoid;
  bool found = false;
  auto* entry = static_cast<Learned*>(hash_search(learned, &trigger, HASH_FIND, &found));
  if (entry == nullptr || !still_true(*entry, RelationGetDescr(fired.tg_relation), arguments)) {
    const Learned fresh = learn(fired, arguments);
    entry = static_cast<Learned*>(hash_search(learned, &trigger, HASH_ENTER, &found));
    *entry = fresh;
  }
  return entry->column;
}

bool is_marked_deleted(TupleTableSlot* row, LinkColumn column) {
  if (column.soft_delete == 0) return false;
  bool is_null = true;
  const Datum mark = slot_getattr(row, column.soft_delete, &is_null);
  return !is_null && (!column.soft_delete_is_boolean || DatumGetBool(mark));
}

std::optional<Datum> link_of(TupleTableSlot* row, LinkColumn column, const LinkArguments& arguments, RowSide side) {
  if (is_marked_deleted(row, column)) return std::nullopt;
  bool is_null = true;
  const Datum value = slot_getattr(row, column.number, &is_null);
  if (is_null) return std::nullopt;
  struct varlena* const packed = PG_DETOAST_DATUM_PACKED(value);
  if (!column.is_text) return PointerGetDatum(packed);

  const std::string_view key = varlena_bytes(packed);
  if (key.empty()) return std::nullopt;
  if (const RefProblem problem = check_key(key)) {
    if (side == RowSide::before) return std::nullopt;
    raise_ref_problem(RefPart::key, key, problem);
  }
  return ref_of_key(arguments.store, key);
}

}  // namespace objectlink
