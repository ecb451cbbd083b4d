// How does the outbox reach the registry? Batch by batch, by physical position: each batch begins behind the one before,
// because skipping what was deleted costs more than reading what is left. Rows that a transaction committed late, or that
// took the place of deleted ones, lie before it: full passes find them, spaced at a multiple of their own duration.
// One per database. Loop's thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "database.hpp"
#include "metrics.hpp"

namespace objectlink {

class Drainer {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Drainer(Database& database, Metrics& metrics, std::int64_t epoch, int batch_size)
      : database_(database), metrics_(metrics), epoch_(epoch), batch_size_(batch_size) {}

  // Applies a batch, or makes a step of a walk when there is none. After a batch that found nothing the outbox is left alone
  // until told to look. True if something happened. Throws DatabaseError.
  bool turn(Time now);
  void look_now() {
    curious_ = true;
    next_apply_ = {};
  }
  void keep_looking() { curious_ = true; }  // now and then

  // Before this time no turn does anything: a table that rows depend on can't be asked now.
  Time postponed_until() const { return postponed_until_; }

  // The last batch was full: there is more, and what is known of a key may be outdated.
  bool is_behind() const { return behind_; }

  // Ready to sleep: the triggers ring from now on. False: it was awake until now, so somebody may have looked before
  // and not rung; look once more.
  bool fall_asleep();

  // Where a look for new rows has to begin.
  std::string position(Time now) const { return full_pass_due(now) ? std::string(start) : low_; }

 private:
  static constexpr const char* start = "(0,0)";

  bool apply(Time now);
  bool full_pass_due(Time now) const { return now >= next_full_pass_; }
  void stay_awake(std::int64_t taken);

  Database& database_;
  Metrics& metrics_;
  const std::int64_t epoch_;
  const int batch_size_;
  std::string low_ = start;
  Time next_full_pass_{};
  bool in_full_pass_ = false;
  std::chrono::steady_clock::duration full_cost_{};  // of the last query that began at the start
  bool curious_ = true;                              // there may be something; false: not before somebody says so
  Time next_apply_{};
  Time postponed_until_{};
  bool behind_ = false;
  Time next_release_{};
  int busy_turns_ = 0;
  bool asleep_ = false;
};

}  // namespace objectlink
