// Somebody has decided that the object of a finding goes. Is it still the one that was found? Looks at a few of them together,
// and hands over what it saw: the database has those deleted in the way of every unlinked object.
// Sends nothing that changes the store. One per owned store; loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "database.hpp"
#include "errand.hpp"
#include "look_pace.hpp"
#include "sighting.hpp"

namespace objectlink {

class ConfirmedDeletion {
 public:
  using Time = std::chrono::steady_clock::time_point;

  ConfirmedDeletion(Errand& errand, int store, std::int64_t epoch) : errand_(errand), store_(store), epoch_(epoch) {}

  // True if something happened. may_ask: the store may be sent requests now. Throws DatabaseError.
  bool turn(Database& database, Time now, bool may_ask);

  // One is said to wait: the next turn looks. False: it has just looked.
  bool look_for_one(Time now);
  // Nobody looks for this store: it has to do so itself, now and then.
  void keep_looking(Time now);
  // The store's settings were changed: what was seen may have been another place.
  void drop();
  // Some are in hand.
  bool is_active() const { return batch_ != nullptr; }
  std::optional<Time> next_turn() const;

 private:
  struct Look {
    std::int64_t finding = 0;
    std::string key;
    ProvedContent found;
    std::optional<Sighting> sighting;  // none: it could not be told
    std::string refused;               // why, if the store has refused to tell
    HeadReply head;
  };
  struct Batch {
    std::vector<Look> looks;
    std::size_t under_way = 0;
  };

  bool load(Database& database, Time now);
  void start(const std::shared_ptr<Batch>& batch, Look& look);
  void hand_over(Database& database, Time now);

  Errand& errand_;
  const int store_;
  const std::int64_t epoch_;
  std::shared_ptr<Batch> batch_;
  LookPace pace_;
};

}  // namespace objectlink
