// How is a store compared with the registry? What lies beside its keys is listed first (aside_listing.hpp), then the keys are compared
// (compared_range.hpp): both in ranges of keys, several at once, in the order in which pages of their listings come. Pages that have come are compared together, by their sums (objectlink.compare_sums()): most of them are as they
// should be, and nothing but the sums reaches the database. Where the ranges lie follows from the keys that the registry knows
// (key_spread.hpp); one that turns out long is split when there is room for another.
// A store that lists in another order than that of bytes has its listing collected first (collected_listing.hpp); an inventory that is
// compared instead of a listing as well (inventory_listing.hpp).
// Beside other sessions of the database a run rests most of its time (run_rest.hpp).
// Memory is bounded by the pages of the ranges at work; no request is under way inside of a transaction.
// One per owned store; loop's thread. Whoever owns the store next goes on behind the last pages.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "collected_listing.hpp"
#include "database.hpp"
#include "errand.hpp"
#include "inventory_listing.hpp"
#include "key_range.hpp"
#include "key_spread.hpp"
#include "metrics.hpp"
#include "run_rest.hpp"

namespace objectlink {

class Reconciliation {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Reconciliation(Errand& errand, Metrics& metrics, int store, std::int64_t epoch, std::string name, std::uint64_t seed)
      : errand_(errand), metrics_(metrics), store_(store), epoch_(epoch), name_(std::move(name)), rng_(seed) {}

  // One step, if there is one to take. requests_max: so many listings may be under way now; 0: the store may not be asked anything. True
  // if something happened. Throws DatabaseError.
  bool turn(Database& database, Time now, std::size_t requests_max);

  // A run is said to wait: the next turn looks. False: it has just looked.
  bool look_for_run(Time now);
  // Nobody looks for this store: it has to do so itself, now and then.
  void keep_looking(Time now);

  // The store's settings were changed: what was listed may have been another place.
  void drop_page();

  // The next step is a request.
  bool waits_to_ask(Time now) const;
  // There is a run in hand.
  bool is_active() const { return run_ != nullptr; }
  // Something is to be done that needs no reply; none: nothing, or a reply is waited for.
  std::optional<Time> next_turn() const;

 private:
  void look_now() { next_look_ = {}; }

  std::optional<Time> next_turn_of_ranges() const;
  bool load(Database& database, Time now);
  void begin_ranges(Database& database);
  void load_ranges(Database& database);
  std::shared_ptr<KeyRange> make_range(RangeBounds bounds);
  const KeySpread& spread(Database& database);
  void cut_first_range(Database& database);
  bool collect(Database& database, Time now, bool may_ask);
  bool read_inventory(Database& database, Time now, bool may_ask);
  bool go_on(Database& database, Time now, std::size_t requests_max);
  bool ask(Database& database, Time now, std::size_t requests_max);
  bool split_longest(Database& database);
  KeyRange::Outcome compare_sums(Database& database, Time now);
  void begin_collecting(Database& database);
  void rest(Database& database, Time begun);
  void finish();

  Errand& errand_;
  Metrics& metrics_;
  const int store_;
  const std::int64_t epoch_;
  const std::string name_;
  std::mt19937_64 rng_;

  std::shared_ptr<RunInHand> run_;
  std::vector<std::shared_ptr<KeyRange>> ranges_;  // not done
  std::shared_ptr<CollectedListing> collecting_;   // instead of ranges
  std::shared_ptr<InventoryListing> reading_;      // instead of both
  std::optional<KeySpread> spread_;                // none: not asked for yet
  std::size_t next_range_ = 0;                     // whose turn it is
  RunRest rest_;
  Time next_look_{};  // for a run
  Time last_look_{};
};

}  // namespace objectlink
