// How many requests may a store have at once? Halved when it throttles, and one more after each window of successes (AIMD), so
// that it settles where the store stops complaining. Pure: time comes from outside.
#pragma once

#include <algorithm>
#include <chrono>

namespace objectlink {

class Pace {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // What was under way when the first was throttled is throttled too: that is one reason to slow down, not thirty.
  static constexpr std::chrono::seconds lowered_at_most_every{1};

  explicit Pace(unsigned max) : max_(std::max(max, 1u)), limit_(max_) {}

  // As its option says; what was learned stays if it still fits.
  void set_max(unsigned max) {
    const bool unbraked = limit_ >= max_;
    max_ = std::max(max, 1u);
    limit_ = unbraked ? max_ : std::min<double>(limit_, max_);
  }

  void throttled(Time now) {
    if (now < next_lowering_) return;
    next_lowering_ = now + lowered_at_most_every;
    limit_ = std::max(1.0, limit_ / 2);
  }

  void succeeded() { limit_ = std::min<double>(max_, limit_ + 1 / limit_); }

  unsigned limit() const { return static_cast<unsigned>(limit_); }

 private:
  unsigned max_;
  double limit_;
  Time next_lowering_ = Time::min();
};

}  // namespace objectlink
