// How long does a run rest after it has worked, so that users of the database hardly notice it? Not at all while nobody else is at work
// there; beside others so long that it works but a share of its time (objectlink.run_share()); beside somebody who is at work only now and
// then something between the two, as often as looks have seen him. Pure: time and share come from outside.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

namespace objectlink {

class RunRest {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Duration = Time::duration;

  // The share is asked for after so much work: one look is cheap, but not for nothing.
  static constexpr std::chrono::milliseconds work_between_looks{20};
  // One look sees one moment. What counts is the average of about so many, the latest most.
  static constexpr int looks_averaged = 10;
  // A client has gaps between its statements: whom so large a part of the looks has seen is always at work.
  static constexpr double always_at_work = 0.5;
  static constexpr std::chrono::seconds rest_max{2};

  bool is_resting(Time now) const { return now < until_; }
  Time until() const { return until_; }

  void worked(Duration time) {
    unlooked_ += time;
    rest_due_ += time;
  }
  bool wants_look() const { return unlooked_ >= work_between_looks; }
  // share: from objectlink.run_share(), 1 if nobody else is at work.
  void looked(double share) {
    unlooked_ = {};
    const bool seen = share < 1;
    if (seen) share_ = share;
    looks_ = std::min(looks_ + 1, looks_averaged);
    seen_ += ((seen ? 1.0 : 0.0) - seen_) / looks_;
  }
  // After work, and after the look at its share. Returns how long the rest is.
  Duration rest(Time now) {
    const Duration work = std::exchange(rest_due_, {});
    const double at_work = std::min(seen_ / always_at_work, 1.0);
    const auto rest =
        std::min<Duration>(std::chrono::duration_cast<Duration>(work * (at_work * (1 / share_ - 1))), rest_max);
    until_ = now + rest;
    return rest;
  }

 private:
  Duration unlooked_{work_between_looks};  // a new run looks at once
  Duration rest_due_{};
  double share_ = 1;
  double seen_ = 0;  // the part of the looks in which somebody was at work
  int looks_ = 0;    // that the average is made of
  Time until_{};
};

}  // namespace objectlink
