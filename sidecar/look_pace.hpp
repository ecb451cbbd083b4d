// When does the owner of a store look into the database for work of a kind that is rare? When an idle daemon's look says
// that some waits, and now and then while the store is busy, as nobody looks for it then.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace objectlink {

class LookPace {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::seconds interval{1};  // while the store is busy anyway
  static constexpr std::chrono::seconds retry_interval{
      5};  // after looks that told nothing, or a transaction in the way

  bool is_due(Time now) const { return now >= next_; }
  void looked(Time now) {
    last_ = now;
    next_ = Time::max();
  }
  // Some is said to wait: the next turn looks. False: it has just looked, or waits to try again.
  bool look_now(Time now) {
    if (now < last_ + interval || (next_ != Time::max() && next_ > now)) return false;
    next_ = {};
    return true;
  }
  void look_at_once() { next_ = {}; }
  void try_again(Time now) { next_ = now + retry_interval; }
  void keep_looking(Time now) {
    if (next_ == Time::max()) next_ = std::max(now, last_ + interval);
  }
  // None: only when it is told to.
  std::optional<Time> next() const {
    return next_ == Time::max() || last_ == Time{} ? std::nullopt : std::optional(next_);
  }

 private:
  Time next_{};
  Time last_{};
};

}  // namespace objectlink
