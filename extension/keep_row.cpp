// The trigger that keeps the rows which a DELETE takes away, where they are to be restored if the object cannot be deleted.
// The image is made with the rights of whoever deletes: to_jsonb() runs casts that the owners of types wrote. Only the
// written row is objectlink's own.
#include "link_column.hpp"

namespace objectlink {

namespace {

constexpr const char* statement =
    "INSERT INTO objectlink.deleted_row (xid, at, attachment_id, relation, ref, image)"
    " VALUES (pg_catalog.pg_current_xact_id(), pg_catalog.statement_timestamp(), $1, $2, $3, $4)";

const TriggerData& fired_trigger(FunctionCallInfo fcinfo) {
  if (CALLED_AS_TRIGGER(fcinfo)) {
    const auto& fired = *reinterpret_cast<const TriggerData*>(fcinfo->context);
    if (TRIGGER_FIRED_AFTER(fired.tg_event) && TRIGGER_FIRED_FOR_ROW(fired.tg_event) &&
        TRIGGER_FIRED_BY_DELETE(fired.tg_event) && fired.tg_trigger->tgnargs >= 1)
      return fired;
  }
  ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
          errmsg("function \"keep_row_trigger\" must be fired AFTER DELETE, FOR EACH ROW"));
}

void set(const char* name, const char* value) {
  set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

// Texts in it are to be read by another session, whatever the settings of this one.
Datum image_of(TupleTableSlot* row) {
  const int settings = NewGUCNestLevel();
  set("datestyle", "ISO, YMD");
  set("intervalstyle", "postgres");
  FmgrInfo to_jsonb;
  fmgr_info(F_TO_JSONB, &to_jsonb);
  Node* const argument = reinterpret_cast<Node*>(makeNullConst(RECORDOID, -1, InvalidOid));
  fmgr_info_set_expr(reinterpret_cast<Node*>(makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument), InvalidOid,
                                                          InvalidOid, COERCE_EXPLICIT_CALL)),
                     &to_jsonb);
  const Datum image = FunctionCall1(&to_jsonb, ExecFetchSlotHeapTupleDatum(row));
  AtEOXact_GUC(true, settings);
  return image;
}

struct KeptTable {
  Oid owner;
  Oid ref_type;
};

KeptTable kept_table() {
  const Oid schema = get_namespace_oid("objectlink", false);
  const Oid relation = get_relname_relid("deleted_row", schema);
  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple))
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"objectlink.deleted_row\" does not exist"),
            errhint("CREATE EXTENSION objectlink, or drop the triggers \"objectlink_*\" of the table."));
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return {owner,
          GetSysCacheOid2(TYPENAMENSP, Anum_pg_type_oid, CStringGetDatum("storage_ref"), ObjectIdGetDatum(schema))};
}

}  // namespace

OBJECTLINK_FUNCTION(keep_row_trigger) {
  const TriggerData& fired = fired_trigger(fcinfo);
  std::optional<Datum> ref;
  // Of a related table only the attachment is named.
  if (fired.tg_trigger->tgnargs > 1) {
    const LinkArguments arguments = read_link_arguments(*fired.tg_trigger);
    ref = link_of(fired.tg_trigslot, find_link_column(fired, arguments), arguments, RowSide::before);
    if (!ref) return PointerGetDatum(nullptr);
  }
  const KeptTable table = kept_table();
  Oid types[] = {INT4OID, REGCLASSOID, table.ref_type, JSONBOID};
  Datum values[] = {Int32GetDatum(pg_strtoint32(fired.tg_trigger->tgargs[0])),
                    ObjectIdGetDatum(RelationGetRelid(fired.tg_relation)), ref.value_or(Datum{0}),
                    image_of(fired.tg_trigslot)};
  const char nulls[] = {' ', ' ', ref ? ' ' : 'n', ' '};

  Oid caller = InvalidOid;
  int context = 0;
  GetUserIdAndSecContext(&caller, &context);
  SetUserIdAndSecContext(table.owner, context | SECURITY_LOCAL_USERID_CHANGE);
  if (SPI_connect() != SPI_OK_CONNECT) ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("SPI is not available"));
  if (SPI_execute_with_args(statement, 4, types, values, nulls, false, 0) != SPI_OK_INSERT)
    ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not keep a deleted row"));
  SPI_finish();
  SetUserIdAndSecContext(caller, context);
  return PointerGetDatum(nullptr);
}

}  // namespace objectlink
