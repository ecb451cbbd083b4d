// Advisory locks that nobody but objectlink can take. They are of a kind, the last field of the lock's tag, that no function of
// PostgreSQL's makes: 1 are the locks of one key, 2 those of two. Whoever may log in may take those, and could keep every daemon
// out, or keep events from being deleted, by numbers that are known to all.
#include "postgres.hpp"

namespace objectlink {

namespace {

constexpr std::uint16_t own_kind = 3;

LOCKTAG tag_of(FunctionCallInfo fcinfo) {
  LOCKTAG tag;
  SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, static_cast<std::uint32_t>(PG_GETARG_INT32(0)),
                       static_cast<std::uint32_t>(PG_GETARG_INT32(1)), own_kind);
  return tag;
}

}  // namespace

OBJECTLINK_FUNCTION(own_lock_kind) { return Int32GetDatum(own_kind); }

OBJECTLINK_FUNCTION(take_lock) {
  const LOCKTAG tag = tag_of(fcinfo);
  const LOCKMODE mode = PG_GETARG_BOOL(2) ? ShareLock : ExclusiveLock;
  const bool for_session = PG_GETARG_BOOL(3);
  const bool at_once = PG_GETARG_BOOL(4);
  return BoolGetDatum(LockAcquire(&tag, mode, for_session, at_once) != LOCKACQUIRE_NOT_AVAIL);
}

OBJECTLINK_FUNCTION(give_lock_back) {
  const LOCKTAG tag = tag_of(fcinfo);
  return BoolGetDatum(LockRelease(&tag, ExclusiveLock, true));
}

}  // namespace objectlink
