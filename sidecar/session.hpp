// What does the daemon do while its database session lives? Owns what it can get (stores, the outbox), and turns it until
// told to stop. When the session is lost, everything in here is gone with it: the next session finds the work in the
// database again.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "config.hpp"
#include "database.hpp"
#include "drainer.hpp"
#include "health.hpp"
#include "metrics.hpp"
#include "owned_store.hpp"
#include "row_writer.hpp"
#include "stop_signal.hpp"
#include "transport.hpp"

namespace objectlink {

class Session {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Session(const Config& config, Database& database, Transport& transport, Metrics& metrics, Health& health,
          StopSignal& stop);

  // Runs until a stop is requested and what is under way has ended (or its deadline passed), or, with --once, until
  // nothing is due. Returns an exit code. Throws DatabaseError when the session ends.
  int run();

 private:
  struct Acquired {
    std::int64_t epoch;
    std::chrono::milliseconds wait;
  };

  void keep_alive(Time now);
  void refresh(Time now);
  std::size_t refresh_stores(Time now);  // how many can be used, ours or not
  bool refresh_store(int id, const std::string& name, const std::string& options_text, Time now);
  void release_unusable(const std::set<int>& usable);
  void check_settings(Time now);
  std::optional<Acquired> acquire(int resource);
  bool turn(Time now, bool stopping);
  void wait(Time now);
  std::optional<std::chrono::milliseconds> look(Time now);
  bool rows_due_before(Time time) const;
  bool probe_is_due();
  bool is_quiet() const;
  void release_all();

  SessionContext context_;
  Health& health_;
  StopSignal& stop_;
  std::int64_t worker_ = 0;
  std::unique_ptr<Drainer> drainer_;
  std::unique_ptr<RowWriter> row_writer_;  // with the drainer
  std::int64_t drainer_epoch_ = 0;
  std::map<int, std::unique_ptr<OwnedStore>> stores_;
  std::map<int, std::string> options_of_;  // as last read, by store
  std::string settings_;                   // digest of the stores' options as last read
  std::map<int, std::string> unusable_;    // names of stores whose options do not do
  Time next_refresh_{};
  Time next_settings_check_{};
  std::chrono::milliseconds idle_wait_{0};
  bool nothing_due_ = false;
};

}  // namespace objectlink
