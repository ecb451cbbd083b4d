// What time is it?
// An interface, so that tests move time by hand. `now` is for stamps and signatures, `steady` for waits and leases.
#pragma once

#include <chrono>

namespace objectlink {

struct Clock {
  virtual ~Clock() = default;
  virtual std::chrono::system_clock::time_point now() const = 0;
  virtual std::chrono::steady_clock::time_point steady() const = 0;
};

// Thread-safe.
class SystemClock final : public Clock {
 public:
  std::chrono::system_clock::time_point now() const override { return std::chrono::system_clock::now(); }
  std::chrono::steady_clock::time_point steady() const override { return std::chrono::steady_clock::now(); }
};

// Stands still until moved. For tests; one thread.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(std::chrono::system_clock::time_point start =
                           std::chrono::system_clock::time_point{std::chrono::seconds{1'700'000'000}})
      : now_(start), steady_(std::chrono::hours{1}) {}

  std::chrono::system_clock::time_point now() const override { return now_; }
  std::chrono::steady_clock::time_point steady() const override { return steady_; }

  void advance(std::chrono::nanoseconds by) {
    now_ += std::chrono::duration_cast<std::chrono::system_clock::duration>(by);
    steady_ += std::chrono::duration_cast<std::chrono::steady_clock::duration>(by);
  }
  // As when an administrator sets the clock: wall time jumps, the steady clock does not.
  void set_wall(std::chrono::system_clock::time_point to) { now_ = to; }

 private:
  std::chrono::system_clock::time_point now_;
  std::chrono::steady_clock::time_point steady_;
};

}  // namespace objectlink
