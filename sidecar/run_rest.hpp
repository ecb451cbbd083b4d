// How long does a run rest after it has worked, so that users of the database hardly notice it? Not at all while nobody else is at work
// there; beside others so long that it works but a share of its time (objectlink.run_share()). Pure: time and share come
// from outside.
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
  // One look sees one moment. Whoever was at work in it counts for so long.
  static constexpr std::chrono::milliseconds believed{500};
  static constexpr std::chrono::seconds rest_max{2};

  bool is_resting(Time now) const { return now < until_; }
  Time until() const { return until_; }

  void worked(Duration time) {
    unlooked_ += time;
    rest_due_ += time;
  }
  bool wants_look() const { return unlooked_ >= work_between_looks; }
  // share: from objectlink.run_share(), 1 if nobody else is at work.
  void looked(Time now, double share) {
    unlooked_ = {};
    if (share >= 1) return;
    share_ = share;
    shared_until_ = now + believed;
  }
  // After work, and after the look at its share. Returns how long the rest is.
  Duration rest(Time now) {
    const Duration work = std::exchange(rest_due_, {});
    if (now >= shared_until_) return {};
    const auto rest = std::min<Duration>(std::chrono::duration_cast<Duration>(work * (1 / share_ - 1)), rest_max);
    until_ = now + rest;
    return rest;
  }

 private:
  Duration unlooked_{work_between_looks};  // a new run looks at once
  Duration rest_due_{};
  double share_ = 1;
  Time shared_until_{};
  Time until_{};
};

}  // namespace objectlink
