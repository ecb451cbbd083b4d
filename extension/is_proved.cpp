// The SQL function is_proved: asks the registry what it knows now, whatever snapshot the transaction has.
//
// At REPEATABLE READ and above a transaction's own snapshot does not show what was uploaded since it was taken: a put()
// would take other content for new, and leave a payload that nobody frees. The question itself is SQL (proved_content).
#include "postgres.hpp"

namespace objectlink {

namespace {

Oid proved_content() {
  const Oid types[] = {NAMEOID, TEXTOID, BYTEAOID};
  return LookupFuncName(list_make2(makeString(pstrdup("objectlink")), makeString(pstrdup("proved_content"))), 3, types,
                        false);
}

}  // namespace

OBJECTLINK_FUNCTION(is_proved) {
  const Oid question = proved_content();
  // It is STABLE, so its statements look with this snapshot. An error on the way takes it off again.
  PushActiveSnapshot(GetLatestSnapshot());
  const Datum answer =
      OidFunctionCall3Coll(question, PG_GET_COLLATION(), PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2));
  PopActiveSnapshot();
  return answer;
}

}  // namespace objectlink
