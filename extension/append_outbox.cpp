// The SQL function append_outbox: an outbox row from put() or from the linking of existing rows, with the checks of
// the trigger.
#include "core/storage_ref.hpp"

#include "condemned.hpp"
#include "doorbell.hpp"
#include "outbox.hpp"
#include "put.hpp"
#include "store_access.hpp"

namespace objectlink {

namespace {

OutboxOp read_op(char op) {
  switch (op) {
    case 'L': return OutboxOp::link;
    case 'U': return OutboxOp::unlink;
    case 'P': return OutboxOp::put;
    default:
      ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid outbox operation: \"%c\"", op),
              errhint("Valid operations are: L, U, P."));
  }
}

}  // namespace

OBJECTLINK_FUNCTION(append_outbox) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
    ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("operation and ref must not be null"));
  const OutboxOp op = read_op(PG_GETARG_CHAR(0));
  const Datum ref = PointerGetDatum(PG_GETARG_VARLENA_PP(1));
  const RefParts parts = split_storage_ref(datum_bytes(ref));

  lock_outbox();
  if (op != OutboxOp::unlink) {
    check_store_access(parts, op == OutboxOp::put ? put_caller() : GetUserId());
    refuse_condemned(ref, parts);
  }
  OutboxRow row{.op = op, .attachment = std::nullopt, .ref = ref};
  if (!PG_ARGISNULL(2)) row.attachment = PG_GETARG_INT32(2);
  append(row);
  ring_doorbell();
  PG_RETURN_VOID();
}

}  // namespace objectlink
