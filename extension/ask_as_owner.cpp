// The SQL functions ask_as_owner, ask_by_snapshot and write_as_owner: run a statement about a user's table with the rights of
// that table's owner. And lock_to_ask, which comes before several questions are put with one snapshot.
//
// Planning a query runs functions that the owner of the table wrote (in the predicate of an index, in statistics on an
// expression). As the extension's owner, mostly a superuser, they could do anything; as their own author, within a
// security-restricted operation, nothing new. FORCE ROW LEVEL SECURITY is left out of account, as PostgreSQL does for
// its own foreign key checks: a row that its owner may not see still links its object.
//
// A statement that writes also fires the table's triggers, which are the owner's as well, and may take any time: so it has
// a limit of its own, because the daemon's session has other things to do.
#include "postgres.hpp"

namespace objectlink {

namespace {

constexpr int restrictions = SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION | SECURITY_NOFORCE_RLS;

Oid owner_of(Oid relation) {
  HeapTuple const tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
  if (!HeapTupleIsValid(tuple))
    ereport(ERROR, errcode(ERRCODE_UNDEFINED_TABLE), errmsg("relation with OID %u does not exist", relation));
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(tuple))->relowner;
  ReleaseSysCache(tuple);
  return owner;
}

// The one value of the one row that the question gives; NULL and no row are the same. In the caller's memory.
std::optional<Datum> ask(const char* question, Oid type, Datum argument, bool by_snapshot) {
  if (SPI_connect() != SPI_OK_CONNECT) ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("SPI is not available"));
  // What is called read-only here looks with the caller's snapshot; otherwise what was committed meanwhile is seen as well.
  const int status = SPI_execute_with_args(question, 1, &type, &argument, nullptr, by_snapshot, 1);
  if (status != SPI_OK_SELECT || SPI_tuptable->tupdesc->natts != 1 || SPI_gettypeid(SPI_tuptable->tupdesc, 1) != type)
    ereport(ERROR, errcode(ERRCODE_DATATYPE_MISMATCH),
            errmsg("the question must be a SELECT of one value of its argument's type"));
  std::optional<Datum> answer;
  if (SPI_processed > 0) {
    bool is_null = true;
    const Datum value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &is_null);
    if (!is_null) answer = SPI_datumTransfer(value, false, -1);
  }
  SPI_finish();
  return answer;
}

std::optional<Datum> ask_as(Oid owner, const char* question, Oid type, Datum argument, bool by_snapshot = false) {
  // An error on the way needs no cleaning up: the end of the (sub)transaction restores user and settings.
  Oid caller = InvalidOid;
  int context = 0;
  GetUserIdAndSecContext(&caller, &context);
  SetUserIdAndSecContext(owner, context | restrictions);
  const int settings = NewGUCNestLevel();
  const std::optional<Datum> answer = ask(question, type, argument, by_snapshot);
  AtEOXact_GUC(false, settings);
  SetUserIdAndSecContext(caller, context);
  return answer;
}

// The timer of the statement that called us, which goes on as if nothing had been.
struct StatementTimer {
  bool active;
  TimestampTz end;
};

StatementTimer shorten_statement(int limit_ms) {
  const bool active = get_timeout_active(STATEMENT_TIMEOUT);
  const StatementTimer before{active, active ? get_timeout_finish_time(STATEMENT_TIMEOUT) : 0};
  if (!active || before.end > TimestampTzPlusMilliseconds(GetCurrentTimestamp(), limit_ms))
    enable_timeout_after(STATEMENT_TIMEOUT, limit_ms);
  return before;
}

void restore_statement(const StatementTimer& before) {
  disable_timeout(STATEMENT_TIMEOUT, false);
  if (before.active) enable_timeout_at(STATEMENT_TIMEOUT, before.end);
}

}  // namespace

OBJECTLINK_FUNCTION(ask_as_owner) {
  const std::optional<Datum> answer = ask_as(owner_of(PG_GETARG_OID(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
                                             get_fn_expr_argtype(fcinfo->flinfo, 2), PG_GETARG_DATUM(2));
  if (!answer) PG_RETURN_NULL();
  PG_RETURN_DATUM(*answer);
}

OBJECTLINK_FUNCTION(ask_by_snapshot) {
  const std::optional<Datum> answer = ask_as(owner_of(PG_GETARG_OID(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)),
                                             get_fn_expr_argtype(fcinfo->flinfo, 2), PG_GETARG_DATUM(2), true);
  if (!answer) PG_RETURN_NULL();
  PG_RETURN_DATUM(*answer);
}

// Until the transaction ends nobody empties the table, or a part of it, or takes a part out: that would not show in a snapshot
// which was taken before.
OBJECTLINK_FUNCTION(lock_to_ask) {
  const Oid relation = PG_GETARG_OID(0);
  LockRelationOid(relation, AccessShareLock);
  find_all_inheritors(relation, AccessShareLock, nullptr);
  PG_RETURN_VOID();
}

OBJECTLINK_FUNCTION(write_as_owner) {
  const Oid owner = owner_of(PG_GETARG_OID(0));
  const char* const statement = text_to_cstring(PG_GETARG_TEXT_PP(1));
  const Oid type = get_fn_expr_argtype(fcinfo->flinfo, 2);
  const Datum argument = PG_GETARG_DATUM(2);
  const StatementTimer before = shorten_statement(PG_GETARG_INT32(3));
  Datum value{0};
  bool is_null = true;
  PG_TRY();
  {
    if (const std::optional<Datum> answer = ask_as(owner, statement, type, argument)) {
      value = *answer;
      is_null = false;
    }
  }
  PG_FINALLY();
  { restore_statement(before); }
  PG_END_TRY();
  // The time may have run out between the end of the statement and of its timer: an error of this statement, of no later one.
  CHECK_FOR_INTERRUPTS();
  if (is_null) PG_RETURN_NULL();
  PG_RETURN_DATUM(value);
}

}  // namespace objectlink
