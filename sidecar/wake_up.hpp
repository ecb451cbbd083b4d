// How does one thread end another's wait? An eventfd that poll(2) and curl_multi_poll can watch.
#pragma once

#include <chrono>

namespace objectlink {

class WakeUp {
 public:
  WakeUp();  // throws std::system_error when there are no descriptors left
  ~WakeUp();
  WakeUp(const WakeUp&) = delete;
  WakeUp& operator=(const WakeUp&) = delete;

  int fd() const noexcept { return fd_; }  // readable while rung
  void ring() noexcept;                    // any thread, also from a signal handler
  bool take() noexcept;                    // true if it was rung since the last take()

  // Sleeps; true if it was rung (and takes the ring).
  bool wait(std::chrono::milliseconds timeout) noexcept;

 private:
  int fd_;
};

}  // namespace objectlink
