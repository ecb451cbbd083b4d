// The row trigger of an attached column: says in the outbox which objects a row has linked and unlinked.
// It asks nothing of the store and decides nothing about objects.
#include "core/storage_ref.hpp"

#include "condemned.hpp"
#include "doorbell.hpp"
#include "link_column.hpp"
#include "outbox.hpp"
#include "store_access.hpp"
#include "unlinked_row.hpp"

namespace objectlink {

namespace {

const TriggerData& fired_trigger(FunctionCallInfo fcinfo) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"link_trigger\" was not called as a trigger"));
  const auto& fired = *reinterpret_cast<const TriggerData*>(fcinfo->context);
  if (!TRIGGER_FIRED_AFTER(fired.tg_event) || !TRIGGER_FIRED_FOR_ROW(fired.tg_event))
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"link_trigger\" must be fired AFTER, FOR EACH ROW"));
  return fired;
}

const char* act_of(const TriggerData& fired, LinkColumn column) {
  if (!TRIGGER_FIRED_BY_UPDATE(fired.tg_event)) return "delete";
  return is_marked_deleted(fired.tg_newslot, column) ? "soft delete" : "update";
}

void unlink(const TriggerData& fired, std::int32_t attachment, Datum ref, const char* act) {
  append({.op = OutboxOp::unlink,
          .attachment = attachment,
          .ref = ref,
          .relation = RelationGetRelid(fired.tg_relation),
          .image = row_image(fired.tg_relation, fired.tg_trigslot, act)});
}

// Whether all that an UPDATE did to the link was to take a mark away: the row was there, and so may the object have been.
bool takes_mark_away(const TriggerData& fired, LinkColumn column, const LinkArguments& arguments, Datum after) {
  if (!TRIGGER_FIRED_BY_UPDATE(fired.tg_event) || !is_marked_deleted(fired.tg_trigslot, column)) return false;
  LinkColumn unmarked = column;
  unmarked.soft_delete = InvalidAttrNumber;
  const std::optional<Datum> before = link_of(fired.tg_trigslot, unmarked, arguments, RowSide::before);
  return before && datum_bytes(*before) == datum_bytes(after);
}

// The table is the fired one itself, not its root: what it said counts differently once it is dropped.
void link(const TriggerData& fired, LinkColumn column, const LinkArguments& arguments, Datum ref) {
  const RefParts parts = split_storage_ref(datum_bytes(ref));
  check_store_access(parts, GetUserId());
  // After the outbox was locked: a key condemned from here on waits for this transaction.
  refuse_condemned(ref, parts);
  OutboxRow row = {.op = OutboxOp::link,
                   .attachment = arguments.attachment,
                   .ref = ref,
                   .relation = RelationGetRelid(fired.tg_relation)};
  if (takes_mark_away(fired, column, arguments, ref)) row.image = row_image(fired.tg_relation, nullptr, "unmark");
  append(row);
}

}  // namespace

OBJECTLINK_FUNCTION(link_trigger) {
  const TriggerData& fired = fired_trigger(fcinfo);
  const LinkArguments arguments = read_link_arguments(*fired.tg_trigger);
  const LinkColumn column = find_link_column(fired, arguments);

  std::optional<Datum> before;
  std::optional<Datum> after;
  if (TRIGGER_FIRED_BY_INSERT(fired.tg_event)) {
    after = link_of(fired.tg_trigslot, column, arguments, RowSide::after);
  } else {
    before = link_of(fired.tg_trigslot, column, arguments, RowSide::before);
    if (TRIGGER_FIRED_BY_UPDATE(fired.tg_event)) after = link_of(fired.tg_newslot, column, arguments, RowSide::after);
  }
  if (!before && !after) return PointerGetDatum(nullptr);
  if (before && after && datum_bytes(*before) == datum_bytes(*after)) return PointerGetDatum(nullptr);

  lock_outbox();
  if (before) unlink(fired, arguments.attachment, *before, act_of(fired, column));
  if (after) link(fired, column, arguments, *after);
  ring_doorbell();
  return PointerGetDatum(nullptr);
}

}  // namespace objectlink
