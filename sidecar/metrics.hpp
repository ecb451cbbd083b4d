// How many, how fast, how far behind? The numbers of this process for Prometheus (names in docs/daemon.md).
// A number that was never given is not shown. Thread-safe. Labels are few and bounded: store, operation, outcome, class; never keys or tenants.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace objectlink {

enum class Phase { apply, fetch, settle };

class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Finished work on objects. operation: upload, verify, delete, ...; outcome: ok, failed, retried, unknown, ...
  void count_operation(std::string_view store, std::string_view operation, std::string_view outcome,
                       std::uint64_t count = 1);
  void count_error(std::string_view store, std::string_view error_class, std::uint64_t count = 1);
  void count_outbox_rows(std::uint64_t count);
  void count_uploaded_bytes(std::string_view store, std::uint64_t bytes);

  void observe_request(std::string_view store, std::string_view operation, double seconds);  // one HTTP request
  void observe_phase(Phase phase, double seconds);

  void set_in_flight(std::string_view store, double requests);
  void set_queue(std::string_view store, double objects);  // fetched, not yet sent
  // state: active, waiting, paused, broken, fenced, released, ...: the current one is 1, earlier ones 0.
  void set_store_state(std::string_view store, std::string_view state);
  void set_breaker(std::string_view store, std::string_view state);  // closed, open, half_open
  void set_concurrency(std::string_view store, double requests);     // how many requests may run at once
  // What objectlink.look_after() counts: stuck (by state), dead (by operation), trouble (by state), oldest (seconds), finding (by
  // kind), to_delete, rows (by what was to be done), run (by state).
  void set_watched(std::string_view store, std::string_view what, std::string_view label, double number);
  void count_scrubbed_bytes(std::string_view store, std::uint64_t bytes);
  // The time since when everything has been proved at least once, in seconds since 1970.
  void set_scrubbed_since(std::string_view store, double seconds);
  void forget_scrub(std::string_view store);
  void count_reconcile_rest(std::string_view store, double seconds);
  void count_requeued(std::string_view store, std::uint64_t count);
  void count_repeat(std::string_view store, std::string_view error_class);
  void count_skipped_repeat(std::string_view store);  // the quota was used up
  void set_connected(bool connected);                 // once a session: from false to true is counted as a session
  void forget_store(std::string_view store);          // its gauges go; counters stay, as Prometheus wants

  std::string exposition() const;  // Prometheus text format 0.0.4, process_* included

 private:
  struct Series;
  std::unique_ptr<Series> series_;
};

}  // namespace objectlink
