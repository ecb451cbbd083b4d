// How is an object deleted without ever hitting a live one? Condemn, barrier, ask the rows again, issue: then the request,
// and the proof that it is gone. (docs/architecture.md, "Deleting safely".) One per owned store.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "barrier.hpp"
#include "database.hpp"
#include "errand.hpp"

namespace objectlink {

class Removal {
 public:
  static constexpr std::size_t batch_max = delete_objects_keys_max;
  static constexpr std::chrono::seconds barrier_wait_max{60};
  static constexpr std::chrono::seconds retry_after_blocked{30};
  static constexpr std::chrono::seconds retry_after_doubt{2};

  Removal(Errand& errand, int store, std::int64_t epoch) : errand_(errand), store_(store), epoch_(epoch) {}

  // Takes over an object that is due: unlinked, or deleting since an earlier life of this or another daemon.
  void add(Work work);

  // Moves on: condemns what was added, looks at the barrier, issues. True if something happened. may_delete: the lease of the
  // ownership marker is held; without it nothing is begun, only taken back. Throws DatabaseError.
  bool turn(Database& database, std::chrono::steady_clock::time_point now, bool may_delete);

  // Gives everything back that was not issued, and forgets what was: it stays due. Throws DatabaseError.
  void give_up(Database& database, const std::string& reason);

  // Objects added and not yet handed to the store or back to the registry.
  std::size_t waiting() const { return added_.size() + issued_before_.size() + condemned_.size(); }
  bool at_barrier() const { return barrier_.has_value(); }

  // Whether condemning gave nothing though there was something due, since the last call: the brake may be the reason.
  bool take_refused() { return std::exchange(refused_, false); }

  // Objects that went back to the registry (linked again, blocked) since the last call: no longer this job's.
  std::vector<std::string> take_returned();

 private:
  bool condemn(Database& database, std::chrono::steady_clock::time_point now);
  void issue(Database& database);
  void take_back(Database& database, const std::string& reason);

  Errand& errand_;
  const int store_;
  const std::int64_t epoch_;
  std::vector<Work> added_;
  std::vector<Work> issued_before_;
  std::unordered_map<std::string, Work> condemned_;  // behind the barrier
  std::optional<Barrier> barrier_;
  std::chrono::steady_clock::time_point barrier_since_{};
  std::vector<std::string> returned_;
  bool refused_ = false;
};

// Sends the requests for objects whose deletion is issued, proves and settles them. One whose content waits for an upload
// (Work::payload) under a chosen key is deleted only if it has that content.
void delete_issued(Errand& errand, std::vector<Work> issued);

}  // namespace objectlink
