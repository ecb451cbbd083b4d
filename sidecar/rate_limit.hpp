// How many requests may be begun now, if it is to be so many a second? A token bucket, which holds a quarter of a second's
// worth: so what was not used does not come all at once later. Pure: time comes from outside.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace objectlink {

class RateLimit {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Seconds = std::chrono::duration<double>;

  explicit RateLimit(double per_second) { set(per_second); }

  void set(double per_second) {
    per_second_ = std::max(per_second, 0.001);
    capacity_ = std::max(1.0, per_second_ / 4);
    tokens_ = std::min(tokens_, capacity_);
  }

  // At first as many as the bucket holds.
  std::size_t allowance(Time now) {
    if (!filled_) tokens_ = capacity_;
    if (filled_ && now > filled_at_)
      tokens_ = std::min(capacity_, tokens_ + Seconds(now - filled_at_).count() * per_second_);
    if (!filled_ || now > filled_at_) filled_at_ = now;
    filled_ = true;
    // What the sum of many small steps falls short of is no reason to wait once more.
    return static_cast<std::size_t>(tokens_ + 1e-6);
  }

  void take(std::size_t requests) { tokens_ = std::max(0.0, tokens_ - static_cast<double>(requests)); }

  // When the next ones are allowed: several at once where it is many a second, because every time costs the loop a turn.
  Time next() const {
    const double wanted = std::clamp(per_second_ / 16, 1.0, capacity_);
    if (!filled_ || tokens_ >= wanted) return filled_at_;
    return filled_at_ + std::chrono::ceil<Time::duration>(Seconds((wanted - tokens_) / per_second_));
  }

 private:
  double per_second_ = 1;
  double capacity_ = 1;
  double tokens_ = 0;
  bool filled_ = false;
  Time filled_at_{};
};

}  // namespace objectlink
