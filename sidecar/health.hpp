// Is this daemon doing its work? What the loop reports, and what /healthz, /readyz and /livez answer from it.
// Thread-safe: the loop writes, the HTTP server reads.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace objectlink {

struct HealthReport {
  bool alive = false;    // the loop comes round: a restart would not help
  bool ready = false;    // alive and connected to the database
  bool healthy = false;  // ready, and no store is broken
  std::string json;  // {"status":"ok"|"failing","reasons":[{"kind":...,"reason":...}],"seconds_since_heartbeat":0.1}
};

class Health {
 public:
  using Clock = std::chrono::steady_clock;

  // A loop that has not beaten for this long is stalled. Longer than the longest single step (statement_timeout, 60 s).
  static constexpr std::chrono::seconds stall_limit{90};

  // on_heartbeat: called by heartbeat(), in the caller's thread (systemd's watchdog).
  explicit Health(std::function<void()> on_heartbeat = {});

  void heartbeat();  // once a turn of the loop, and while waiting for a server
  void set_database_connected();
  void set_database_down(const std::string& reason);  // for people; no secrets
  void set_store_broken(const std::string& store, const std::string& reason);
  void set_store_well(const std::string& store);  // also when the store is gone or another daemon's

  HealthReport report(Clock::time_point now = Clock::now()) const;

 private:
  mutable std::mutex mutex_;
  std::function<void()> on_heartbeat_;
  Clock::time_point last_beat_ = Clock::now();
  bool connected_ = false;
  std::string database_reason_ = "not connected yet";
  std::map<std::string, std::string> broken_stores_;
};

}  // namespace objectlink
