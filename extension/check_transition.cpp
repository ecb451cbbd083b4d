// Guards the registry: a row's state may change only as the table in core/object_state allows.
#include "core/object_state.hpp"

#include "columns.hpp"

namespace objectlink {

namespace {

int state_column(Relation relation) {
  const FormData_pg_attribute* const column = find_column(RelationGetDescr(relation), "state");
  if (column != nullptr && column->atttypid == TEXTOID) return column->attnum;
  ereport(ERROR, errcode(ERRCODE_UNDEFINED_COLUMN),
          errmsg("relation \"%s\" has no column \"state\" of type text", RelationGetRelationName(relation)));
}

ObjectState state_of(TupleTableSlot* row, int column) {
  bool is_null = true;
  const Datum value = slot_getattr(row, column, &is_null);
  if (is_null) ereport(ERROR, errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("the state of an object must not be null"));
  const std::string_view name = datum_bytes(value);
  const std::optional<ObjectState> state = parse_state(name);
  if (!state)
    ereport(ERROR, errcode(ERRCODE_CHECK_VIOLATION),
            errmsg("unknown object state: \"%.*s\"", static_cast<int>(name.size()), name.data()),
            errhint("Valid states are: reserved, pending, stored, missing, corrupt, failed, unlinked, deleting."));
  return *state;
}

const char* word(ObjectState state) noexcept { return state_name(state).data(); }

void check(ObjectState from, ObjectState to) {
  if (transition_is_legal(from, to)) return;
  if (from == ObjectState::absent)
    ereport(ERROR, errcode(ERRCODE_CHECK_VIOLATION), errmsg("an object cannot begin in state \"%s\"", word(to)),
            errhint("The legal transitions are listed by objectlink.legal_transitions()."));
  ereport(ERROR, errcode(ERRCODE_CHECK_VIOLATION),
          errmsg("an object cannot go from state \"%s\" to \"%s\"", word(from), word(to)),
          errhint("The legal transitions are listed by objectlink.legal_transitions()."));
}

Datum state_datum(ObjectState state) { return CStringGetTextDatum(word(state)); }

}  // namespace

OBJECTLINK_FUNCTION(check_transition) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"check_transition\" was not called as a trigger"));
  const auto& fired = *reinterpret_cast<const TriggerData*>(fcinfo->context);
  if (!TRIGGER_FIRED_FOR_ROW(fired.tg_event))
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"check_transition\" must be fired FOR EACH ROW"));

  const int column = state_column(fired.tg_relation);
  const ObjectState present = state_of(fired.tg_trigslot, column);
  if (TRIGGER_FIRED_BY_UPDATE(fired.tg_event)) {
    check(present, state_of(fired.tg_newslot, column));
    return PointerGetDatum(fired.tg_newtuple);
  }
  if (TRIGGER_FIRED_BY_INSERT(fired.tg_event))
    check(ObjectState::absent, present);
  else
    check(present, ObjectState::absent);
  return PointerGetDatum(fired.tg_trigtuple);
}

OBJECTLINK_FUNCTION(legal_transitions) {
  InitMaterializedSRF(fcinfo, 0);
  const auto* const result = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
  for (const Transition& legal : legal_transitions()) {
    Datum values[] = {state_datum(legal.from), state_datum(legal.to)};
    const bool is_new = legal.from == ObjectState::absent;
    bool nulls[] = {is_new, false};
    tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
  }
  return Datum{0};
}

}  // namespace objectlink
