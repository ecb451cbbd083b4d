// The statement trigger of an attached relation: says in the outbox that TRUNCATE took all its links.
#include "doorbell.hpp"
#include "outbox.hpp"
#include "unlinked_row.hpp"

namespace objectlink {

OBJECTLINK_FUNCTION(truncate_trigger) {
  if (!CALLED_AS_TRIGGER(fcinfo))
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"truncate_trigger\" was not called as a trigger"));
  const auto& fired = *reinterpret_cast<const TriggerData*>(fcinfo->context);
  if (!TRIGGER_FIRED_BY_TRUNCATE(fired.tg_event) || !TRIGGER_FIRED_AFTER(fired.tg_event) ||
      fired.tg_trigger->tgnargs != 1)
    ereport(ERROR, errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
            errmsg("function \"truncate_trigger\" must be fired AFTER TRUNCATE with one argument"),
            errhint("Attach columns with objectlink.attach() only."));

  lock_outbox();
  append({.op = OutboxOp::truncate,
          .attachment = pg_strtoint32(fired.tg_trigger->tgargs[0]),
          .ref = std::nullopt,
          .relation = RelationGetRelid(fired.tg_relation),
          .image = row_image(fired.tg_relation, nullptr, "truncate")});
  ring_doorbell();
  return PointerGetDatum(nullptr);
}

}  // namespace objectlink
