// The SQL function put: the door to hand_over(), which writes objectlink's own tables as their owner. What counts for the
// privilege on the store is who calls put: the owner of a SECURITY DEFINER function around it, not whose session it is.
#include "put.hpp"

#include "postgres.hpp"

#include "own_tables.hpp"
#include "transaction_scope.hpp"

namespace objectlink {

namespace {

constexpr int put_arguments = 5;

// The caller of the put that is under way. An error leaves it behind: then it is of a transaction that is over, or is
// set anew by the next put before anybody asks.
Oid caller = InvalidOid;
std::uint64_t caller_transaction = 0;

FmgrInfo* hand_over(FunctionCallInfo fcinfo) {
  if (fcinfo->flinfo->fn_extra == nullptr) {
    const Oid types[put_arguments] = {NAMEOID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID};
    const Oid function =
        LookupFuncName(list_make2(makeString(get_namespace_name(own_schema())), makeString(pstrdup("hand_over"))),
                       put_arguments, types, false);
    auto* const found = static_cast<FmgrInfo*>(MemoryContextAlloc(fcinfo->flinfo->fn_mcxt, sizeof(FmgrInfo)));
    fmgr_info_cxt(function, found, fcinfo->flinfo->fn_mcxt);
    fcinfo->flinfo->fn_extra = found;
  }
  return static_cast<FmgrInfo*>(fcinfo->flinfo->fn_extra);
}

}  // namespace

Oid put_caller() { return OidIsValid(caller) && caller_transaction == transaction_number() ? caller : GetUserId(); }

OBJECTLINK_FUNCTION(put) {
  FmgrInfo* const function = hand_over(fcinfo);
  LOCAL_FCINFO(call, put_arguments);
  InitFunctionCallInfoData(*call, function, put_arguments, InvalidOid, nullptr, nullptr);
  for (int i = 0; i < put_arguments; ++i) call->args[i] = fcinfo->args[i];
  caller = GetUserId();
  caller_transaction = transaction_number();
  const Datum ref = FunctionCallInvoke(call);
  caller = InvalidOid;
  fcinfo->isnull = call->isnull;
  return ref;
}

}  // namespace objectlink
