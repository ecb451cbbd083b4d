// What is done for a store beside its objects that are due: runs, and what has been decided about their findings.
// One per owned store; loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "confirmed_deletion.hpp"
#include "quarantine.hpp"
#include "reconciliation.hpp"
#include "stray_removal.hpp"

namespace objectlink {

class StoreUpkeep {
 public:
  using Time = std::chrono::steady_clock::time_point;

  StoreUpkeep(Errand& errand, Metrics& metrics, int store, std::int64_t epoch, const std::string& name,
              std::uint64_t seed)
      : reconciliation_(errand, metrics, store, epoch, name, seed),
        confirmed_(errand, store, epoch),
        quarantine_(errand, store, epoch),
        strays_(errand, store, epoch) {}

  struct Leave {
    std::size_t run_requests = 0;  // that a run may have under way
    bool may_ask = false;
    bool may_copy = false;    // as may_ask, and the place is certainly ours
    bool may_delete = false;  // within the lease of the marker
  };
  // True if something happened. Throws DatabaseError.
  bool turn(Database& database, Time now, const Leave& leave);

  // Something is said to wait for one of the stores. False: this one has just looked for its own.
  bool look(Time now);
  // Nobody looks for this store: it has to do so itself, now and then.
  void keep_looking(Time now);
  // The store's settings were changed: what was seen may have been another place.
  void drop();

  bool is_active() const { return is_looking() || quarantine_.is_active() || strays_.is_active(); }
  // A run is under way, or objects are looked at.
  bool is_looking() const { return reconciliation_.is_active() || confirmed_.is_active(); }
  bool waits_to_ask(Time now) const { return reconciliation_.waits_to_ask(now); }
  bool waits_to_delete() const { return quarantine_.waits_to_delete() || strays_.waits_to_delete(); }
  std::optional<Time> next_turn() const;

 private:
  Reconciliation reconciliation_;
  ConfirmedDeletion confirmed_;
  Quarantine quarantine_;
  StrayRemoval strays_;
};

}  // namespace objectlink
