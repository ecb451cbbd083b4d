// The SQL function ask_as_owner: runs a question about a user's table with the rights of that table's owner.
//
// Planning a query runs functions that the owner of the table wrote (in the predicate of an index, in statistics on an
// expression). As the extension's owner, mostly a superuser, they could do anything; as their own author, within a
// security-restricted operation, nothing new. FORCE ROW LEVEL SECURITY is left out of account, as PostgreSQL does for
// its own foreign key checks: a row that its owner may not see still links its object.
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
std::optional<Datum> ask(const char* question, Oid type, Datum argument) {
  if (SPI_connect() != SPI_OK_CONNECT) ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("SPI is not available"));
  // Not read-only: that would look with the caller's snapshot, and what was committed meanwhile must be seen.
  const int status = SPI_execute_with_args(question, 1, &type, &argument, nullptr, false, 1);
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

}  // namespace

OBJECTLINK_FUNCTION(ask_as_owner) {
  const Oid owner = owner_of(PG_GETARG_OID(0));
  const char* const question = text_to_cstring(PG_GETARG_TEXT_PP(1));
  const Oid type = get_fn_expr_argtype(fcinfo->flinfo, 2);

  // An error on the way needs no cleaning up: the end of the (sub)transaction restores user and settings.
  Oid caller = InvalidOid;
  int context = 0;
  GetUserIdAndSecContext(&caller, &context);
  SetUserIdAndSecContext(owner, context | restrictions);
  const int settings = NewGUCNestLevel();
  const std::optional<Datum> answer = ask(question, type, PG_GETARG_DATUM(2));
  AtEOXact_GUC(false, settings);
  SetUserIdAndSecContext(caller, context);

  if (!answer) PG_RETURN_NULL();
  PG_RETURN_DATUM(*answer);
}

}  // namespace objectlink
