// Has somebody asked this process to stop? SIGTERM or SIGINT: finish what is in flight. A second one: exit at once.
// A process that has not ended some seconds after its drain timeout is ended too (exit_code::work_left).
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "wake_up.hpp"

namespace objectlink {

class StopSignal {
 public:
  // Blocks SIGTERM and SIGINT in the calling thread, ignores SIGPIPE, starts the thread that waits for them.
  // Construct one, before any other thread, or that thread would die of the signals.
  explicit StopSignal(std::chrono::milliseconds drain_timeout);
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  bool requested() const noexcept { return requested_.load(std::memory_order_acquire); }

  // When work still in flight has to be given up; far in the future while no stop is requested.
  std::chrono::steady_clock::time_point deadline() const noexcept;

  // Rung when a stop is requested, and by whoever else wants the loop to look around. The loop takes the ring.
  WakeUp& wake_up() noexcept { return wake_up_; }

  void request() noexcept;  // any thread; as SIGTERM does

 private:
  void watch();

  const std::chrono::milliseconds drain_timeout_;
  std::atomic<bool> requested_{false};
  std::atomic<std::chrono::steady_clock::rep> requested_at_{0};
  WakeUp wake_up_;
  WakeUp finished_;
  int signal_fd_ = -1;
  std::thread watcher_;
};

}  // namespace objectlink
