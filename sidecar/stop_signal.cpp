#include "stop_signal.hpp"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "exit_code.hpp"
#include "log.hpp"
#include "service_notify.hpp"

namespace objectlink {

namespace {

// What a shutdown may take beyond the drain timeout: settling, releasing stores, closing connections.
constexpr std::chrono::seconds shutdown_grace{10};

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

}  // namespace

StopSignal::StopSignal(std::chrono::milliseconds drain_timeout) : drain_timeout_(drain_timeout) {
  const sigset_t signals = stop_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // NOLINT: a closed connection is an error value, not a reason to die
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (signal_fd_ < 0) throw std::system_error(errno, std::generic_category(), "signalfd");
  watcher_ = std::thread([this] { watch(); });
}

StopSignal::~StopSignal() {
  finished_.ring();
  watcher_.join();
  close(signal_fd_);
}

void StopSignal::request() noexcept {
  if (!requested_.load(std::memory_order_acquire)) {
    requested_at_.store(std::chrono::steady_clock::now().time_since_epoch().count(), std::memory_order_release);
    requested_.store(true, std::memory_order_release);
  }
  wake_up_.ring();
}

std::chrono::steady_clock::time_point StopSignal::deadline() const noexcept {
  if (!requested()) return std::chrono::steady_clock::time_point::max();
  return std::chrono::steady_clock::time_point{
             std::chrono::steady_clock::duration{requested_at_.load(std::memory_order_acquire)}} +
         drain_timeout_;
}

void StopSignal::watch() {
  for (;;) {
    int timeout_ms = -1;
    if (requested()) {
      const auto left = deadline() + shutdown_grace - std::chrono::steady_clock::now();
      if (left <= left.zero()) {
        log::error("daemon.killed", "work did not end within the drain timeout; it is taken up at the next start");
        _exit(exit_code::work_left);
      }
      timeout_ms = static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count());
    }
    pollfd watched[] = {{signal_fd_, POLLIN, 0}, {finished_.fd(), POLLIN, 0}};
    poll(watched, 2, timeout_ms);
    if (finished_.take()) return;
    signalfd_siginfo received{};
    if (::read(signal_fd_, &received, sizeof received) != sizeof received) continue;
    const int number = static_cast<int>(received.ssi_signo);
    if (requested()) {
      log::warning("daemon.killed", "second signal: exit without draining", {{"signal", number}});
      _exit(128 + number);
    }
    service_notify::stopping();
    log::info("daemon.stopping", "stop requested: no new work, waiting for what is in flight",
              {{"signal", number}, {"drain_timeout_ms", drain_timeout_.count()}});
    request();
  }
}

}  // namespace objectlink
