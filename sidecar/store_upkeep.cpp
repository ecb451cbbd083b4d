#include "store_upkeep.hpp"

#include <algorithm>

namespace objectlink {

bool StoreUpkeep::turn(Database& database, Time now, const Leave& leave) {
  bool progress = reconciliation_.turn(database, now, leave.run_requests);
  progress |= confirmed_.turn(database, now, leave.may_ask);
  progress |= quarantine_.turn(database, now, leave.may_copy, leave.may_delete);
  progress |= strays_.turn(database, now, leave.may_copy, leave.may_delete);
  return progress;
}

// Each is asked, whatever the others say.
bool StoreUpkeep::look(Time now) {
  const bool run = reconciliation_.look_for_run(now);
  const bool confirmed = confirmed_.look_for_one(now);
  const bool step = quarantine_.look_for_step(now);
  const bool stray = strays_.look_for_one(now);
  return run || confirmed || step || stray;
}

void StoreUpkeep::keep_looking(Time now) {
  reconciliation_.keep_looking(now);
  confirmed_.keep_looking(now);
  quarantine_.keep_looking(now);
  strays_.keep_looking(now);
}

void StoreUpkeep::drop() {
  reconciliation_.drop_page();
  confirmed_.drop();
  quarantine_.drop();
  strays_.drop();
}

std::optional<StoreUpkeep::Time> StoreUpkeep::next_turn() const {
  std::optional<Time> next;
  for (const auto turn :
       {reconciliation_.next_turn(), confirmed_.next_turn(), quarantine_.next_turn(), strays_.next_turn()})
    if (turn) next = next ? std::min(*next, *turn) : *turn;
  return next;
}

}  // namespace objectlink
