#include "drainer.hpp"

#include <algorithm>
#include <utility>

#include "phase_timer.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr int full_pass_spacing = 20;
constexpr milliseconds apply_interval{10};
constexpr milliseconds postpone_interval{500};
constexpr milliseconds cheap_pass{5};  // a full pass that is this short needs no spacing
constexpr seconds pass_time_max{10};   // a pass that new rows keep from ending begins again after this
constexpr int busy_turns_max = 3;      // busier than this, and notifications are not worth their cost
constexpr std::int64_t busy_rows = 100;
constexpr seconds release_interval{15};
constexpr milliseconds stuck_walk_interval{100};

}  // namespace

bool Drainer::turn(Time now) {
  if (now >= next_release_) {
    next_release_ = now + release_interval;
    database_.query("SELECT objectlink.release_condemned($1)", epoch_);
  }
  if (!curious_ || now < std::max(next_apply_, postponed_until_)) return false;
  if (apply(now)) return true;
  const std::int64_t steps = database_.query("SELECT objectlink.scan_step($1, $2)", epoch_, batch_size_).integer(0, 0);
  // 0: a walk is finished, or it can't go on now (a locked table).
  if (steps == 0) postponed_until_ = now + stuck_walk_interval;
  curious_ = steps >= 0;
  return steps > 0;
}

bool Drainer::apply(Time now) {
  const PhaseTimer timer(metrics_, Phase::apply);
  const bool full = now >= next_full_pass_;
  if (full) {
    low_ = start;
    next_full_pass_ = now + pass_time_max;  // unless it ends before
    in_full_pass_ = true;
  }
  const Rows rows = database_.query("SELECT taken, high, postponed FROM objectlink.apply_outbox($1, $2::tid, $3)",
                                    epoch_, low_, batch_size_);
  if (full) full_cost_ = timer.elapsed();
  const std::int64_t taken = rows.integer(0, 0);
  if (taken > 0) {
    low_ = rows.string(0, 1);
    metrics_.count_outbox_rows(static_cast<std::uint64_t>(taken));
    stay_awake(taken);
  }
  // Only the end of a full pass sets the time of the next one: the short looks in between come more often than that.
  if (taken < batch_size_ && std::exchange(in_full_pass_, false)) {
    next_full_pass_ = full_cost_ <= cheap_pass ? Time{} : steady_clock::now() + full_cost_ * full_pass_spacing;
  }
  behind_ = taken == batch_size_;
  // Mostly put back: asking the same question again at once would only keep the processor busy.
  const std::int64_t postponed = rows.integer(0, 2);
  if (postponed * 2 > taken) postponed_until_ = steady_clock::now() + postpone_interval;
  if (taken == 0) {
    busy_turns_ = 0;
    next_apply_ = steady_clock::now() + apply_interval;
  }
  return taken > 0;
}

void Drainer::stay_awake(std::int64_t taken) {
  ++busy_turns_;
  if (!asleep_ || (busy_turns_ < busy_turns_max && taken < busy_rows)) return;
  database_.query("SELECT objectlink.set_asleep(false)");
  asleep_ = false;
}

bool Drainer::fall_asleep() {
  if (asleep_) return true;
  database_.query("SELECT objectlink.set_asleep(true)");
  asleep_ = true;
  return false;
}

}  // namespace objectlink
