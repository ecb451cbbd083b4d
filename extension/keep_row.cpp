// The trigger that keeps the rows which a DELETE takes away, or which an UPDATE marks as deleted, where they are to be
// restored if the object cannot be deleted. The image is made with the rights of whoever writes. Only what is kept is objectlink's
// own, and written by its function keep_row().
#include "link_column.hpp"
#include "own_tables.hpp"

#include <array>

namespace objectlink {

namespace {

const TriggerData& fired_trigger(FunctionCallInfo fcinfo) {
  if (CALLED_AS_TRIGGER(fcinfo)) {
    const auto& fired = *reinterpret_cast<const TriggerData*>(fcinfo->context);
    if (TRIGGER_FIRED_AFTER(fired.tg_event) && TRIGGER_FIRED_FOR_ROW(fired.tg_event) &&
        (TRIGGER_FIRED_BY_DELETE(fired.tg_event) || TRIGGER_FIRED_BY_UPDATE(fired.tg_event)) &&
        fired.tg_trigger->tgnargs >= 1)
      return fired;
  }
  ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
          errmsg("function \"keep_row_trigger\" must be fired AFTER DELETE or UPDATE, FOR EACH ROW"));
}

struct Pinned {
  const char* name;
  const char* value;
};

// Texts in it are to be read by another session, and to be as exact as the row was, whatever the settings of this one.
constexpr std::array pinned = {Pinned{"datestyle", "ISO, YMD"}, Pinned{"intervalstyle", "postgres"},
                               Pinned{"timezone", "UTC"},       Pinned{"extra_float_digits", "3"},
                               Pinned{"bytea_output", "hex"},   Pinned{"xmlbinary", "base64"},
                               Pinned{"lc_monetary", "C"},      Pinned{"search_path", "pg_catalog, pg_temp"}};

// Whether to_jsonb() gives a value as its type would read it back. Not of json, of which it keeps the meaning only and refuses
// what jsonb cannot hold; not of what may have json in it; of arrays it forgets where they begin, of floats the sign of a
// zero. A type that somebody has made may have a cast to json, which it would run: its owner's code, with the rights of whoever
// deletes, and maybe nothing that the type reads.
bool is_kept_by_to_jsonb(Oid type) {
  const Oid base = getBaseType(type);
  return base < FirstNormalObjectId && base != JSONOID && base != FLOAT4OID && base != FLOAT8OID &&
         !OidIsValid(get_element_type(base)) && !type_is_rowtype(base);
}

// The row with every other value as the text that its type gives: that is read back as it was.
Datum record_of(TupleTableSlot* row) {
  slot_getallattrs(row);
  const TupleDesc shape = CreateTupleDescCopy(row->tts_tupleDescriptor);
  auto* const values = static_cast<Datum*>(palloc(shape->natts * sizeof(Datum)));
  for (int i = 0; i < shape->natts; ++i) {
    FormData_pg_attribute* const column = TupleDescAttr(shape, i);
    values[i] = row->tts_values[i];
    if (column->attisdropped || is_kept_by_to_jsonb(column->atttypid)) continue;
    if (!row->tts_isnull[i]) {
      Oid output = InvalidOid;
      bool is_varlena = false;
      getTypeOutputInfo(column->atttypid, &output, &is_varlena);
      values[i] = CStringGetTextDatum(OidOutputFunctionCall(output, values[i]));
    }
    TupleDescInitEntry(shape, static_cast<AttrNumber>(i + 1), NameStr(column->attname), TEXTOID, -1, 0);
  }
  shape->tdtypeid = RECORDOID;
  shape->tdtypmod = -1;
  BlessTupleDesc(shape);
  return HeapTupleGetDatum(heap_form_tuple(shape, values, row->tts_isnull));
}

Datum image_of(TupleTableSlot* row) {
  const int settings = NewGUCNestLevel();
  for (const Pinned& setting : pinned)
    set_config_option(setting.name, setting.value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
  FmgrInfo to_jsonb;
  fmgr_info(F_TO_JSONB, &to_jsonb);
  Node* const argument = reinterpret_cast<Node*>(makeNullConst(RECORDOID, -1, InvalidOid));
  fmgr_info_set_expr(reinterpret_cast<Node*>(makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument), InvalidOid,
                                                          InvalidOid, COERCE_EXPLICIT_CALL)),
                     &to_jsonb);
  const Datum image = FunctionCall1(&to_jsonb, record_of(row));
  AtEOXact_GUC(true, settings);
  return image;
}

// keep_row() is found by name alone: there is one.
Oid keep_row_function() {
  const Oid schema = own_schema_if_any();
  CatCList* const named = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum("keep_row"));
  Oid found = InvalidOid;
  for (int i = 0; i < named->n_members; ++i) {
    const auto* const row = reinterpret_cast<Form_pg_proc>(GETSTRUCT(&named->members[i]->tuple));
    if (row->pronamespace == schema) found = row->oid;
  }
  ReleaseSysCacheList(named);
  if (!OidIsValid(schema) || !OidIsValid(found))
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE), errmsg("table \"objectlink.deleted_row\" does not exist"),
            errhint("CREATE EXTENSION objectlink, or drop the triggers \"objectlink_*\" of the table."));
  return found;
}

NullableDatum text_or_null(const char* text) {
  return {text == nullptr ? Datum{0} : CStringGetTextDatum(text), text == nullptr};
}

void keep(const TriggerData& fired, const LinkArguments* arguments, std::optional<Datum> ref) {
  constexpr std::size_t count = 7;
  const std::array<NullableDatum, count> values = {
      NullableDatum{Int32GetDatum(pg_strtoint32(fired.tg_trigger->tgargs[0])), false},
      NullableDatum{ObjectIdGetDatum(RelationGetRelid(fired.tg_relation)), false},
      text_or_null(arguments == nullptr ? nullptr : arguments->column),
      text_or_null(arguments == nullptr ? nullptr : arguments->store),
      NullableDatum{ref.value_or(Datum{0}), !ref},
      NullableDatum{image_of(fired.tg_trigslot), false},
      NullableDatum{BoolGetDatum(TRIGGER_FIRED_BY_UPDATE(fired.tg_event)), false}};
  FmgrInfo function;
  fmgr_info(keep_row_function(), &function);
  LOCAL_FCINFO(call, count);
  InitFunctionCallInfoData(*call, &function, static_cast<short>(count), InvalidOid, nullptr, nullptr);
  for (std::size_t i = 0; i < count; ++i) call->args[i] = values[i];
  FunctionCallInvoke(call);
}

}  // namespace

OBJECTLINK_FUNCTION(keep_row_trigger) {
  const TriggerData& fired = fired_trigger(fcinfo);
  // Of a related table no column is named.
  if (fired.tg_trigger->tgnargs == 1 || fired.tg_trigger->tgargs[1][0] == '\0') {
    keep(fired, nullptr, std::nullopt);
    return PointerGetDatum(nullptr);
  }
  const LinkArguments arguments = read_link_arguments(*fired.tg_trigger);
  const LinkColumn column = find_link_column(fired, arguments);
  const std::optional<Datum> ref = link_of(fired.tg_trigslot, column, arguments, RowSide::before);
  const bool links_still = TRIGGER_FIRED_BY_UPDATE(fired.tg_event) && !is_marked_deleted(fired.tg_newslot, column);
  if (ref && !links_still) keep(fired, &arguments, ref);
  return PointerGetDatum(nullptr);
}

}  // namespace objectlink
