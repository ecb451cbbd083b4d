// Takes the link trigger out of an UPDATE that can't change its columns: the linked one, and the one that marks rows as
// deleted. PostgreSQL would otherwise fetch the old version
// of each row and evaluate the trigger's WHEN for it. This only saves time: without it, before the module is loaded in a
// session and in every doubtful case, the WHEN decides row by row.
#include "unchanged_column.hpp"

#include "columns.hpp"
#include "link_column.hpp"
#include "own_tables.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace objectlink {

namespace {

ExecutorStart_hook_type next_hook = nullptr;

// Both name the columns they look at in the same arguments.
struct OwnFunction {
  const char* name;
  Oid oid;  // as last found
};

std::array<OwnFunction, 2> own_functions = {{{"link_trigger", InvalidOid}, {"keep_row_trigger", InvalidOid}}};

void at_function_change([[maybe_unused]] Datum arg, [[maybe_unused]] int cache, [[maybe_unused]] uint32 hash) {
  for (OwnFunction& own : own_functions) own.oid = InvalidOid;
}

bool is_function(Oid function, OwnFunction& own) {
  if (OidIsValid(own.oid)) return function == own.oid;
  HeapTuple const tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
  if (!HeapTupleIsValid(tuple)) return false;
  const auto* const row = reinterpret_cast<Form_pg_proc>(GETSTRUCT(tuple));
  const bool found = row->prolang == ClanguageId && std::strcmp(NameStr(row->proname), own.name) == 0 &&
                     row->pronamespace == own_schema_if_any();
  ReleaseSysCache(tuple);
  if (found) own.oid = function;
  return found;
}

bool is_own_trigger(const Trigger& trigger) {
  return trigger.tgnargs >= 2 && std::any_of(own_functions.begin(), own_functions.end(),
                                             [&](OwnFunction& own) { return is_function(trigger.tgfoid, own); });
}

bool is_after_update(const Trigger& trigger) {
  return TRIGGER_TYPE_MATCHES(trigger.tgtype, TRIGGER_TYPE_ROW, TRIGGER_TYPE_AFTER, TRIGGER_TYPE_UPDATE);
}

// A trigger before it may assign any column, and a generated column follows others.
bool only_assigned_columns_change(const ResultRelInfo& target) {
  const TupleConstr* const constraints = RelationGetDescr(target.ri_RelationDesc)->constr;
  return !target.ri_TrigDesc->trig_update_before_row && (constraints == nullptr || !constraints->has_generated_stored);
}

bool is_assigned(const ResultRelInfo& target, const char* column_name, const Bitmapset* assigned) {
  const FormData_pg_attribute* const column = find_column(RelationGetDescr(target.ri_RelationDesc), column_name);
  return column == nullptr || bms_is_member(column->attnum - FirstLowInvalidHeapAttributeNumber, assigned);
}

bool may_change(const Trigger& trigger, const ResultRelInfo& target, const Bitmapset* assigned) {
  const char* const column = trigger.tgargs[1];  // none: a related table holds no links
  return (column[0] != '\0' && is_assigned(target, column, assigned)) ||
         (trigger.tgnargs > soft_delete_argument &&
          is_assigned(target, trigger.tgargs[soft_delete_argument], assigned));
}

// The statement has a copy of the triggers for itself. A trigger of no event is never looked at again; if there is none
// left, old rows aren't fetched either.
void leave_out_link_triggers(ResultRelInfo& target, EState* state) {
  TriggerDesc& triggers = *target.ri_TrigDesc;
  if (!triggers.trig_update_after_row || !only_assigned_columns_change(target)) return;
  const Bitmapset* assigned = nullptr;
  bool others = false;
  for (int i = 0; i < triggers.numtriggers; ++i) {
    Trigger& trigger = triggers.triggers[i];
    if (!is_after_update(trigger)) continue;
    if (!is_own_trigger(trigger)) {
      others = true;
      continue;
    }
    if (assigned == nullptr) assigned = ExecGetAllUpdatedCols(&target, state);
    if (may_change(trigger, target, assigned))
      others = true;
    else
      trigger.tgtype = static_cast<int16>(trigger.tgtype & ~TRIGGER_TYPE_UPDATE);
  }
  triggers.trig_update_after_row = others;
}

void at_executor_start(QueryDesc* query, int flags) {
  if (next_hook != nullptr)
    next_hook(query, flags);
  else
    standard_ExecutorStart(query, flags);
  // Others (ON CONFLICT, MERGE, a WITH) are rarer, and not worth the proof.
  if (query->operation != CMD_UPDATE) return;
  ListCell* cell = nullptr;
  foreach (cell, query->estate->es_opened_result_relations) {
    auto* const target = static_cast<ResultRelInfo*>(lfirst(cell));
    if (target->ri_TrigDesc != nullptr) leave_out_link_triggers(*target, query->estate);
  }
}

}  // namespace

void watch_updates() {
  CacheRegisterSyscacheCallback(PROCOID, at_function_change, Datum{0});
  next_hook = ExecutorStart_hook;
  ExecutorStart_hook = at_executor_start;
}

}  // namespace objectlink
