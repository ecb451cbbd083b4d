#include "service_notify.hpp"

#include <systemd/sd-daemon.h>

#include <atomic>
#include <chrono>
#include <cstdint>

namespace objectlink::service_notify {

namespace {

// Zero: nobody watches.
std::chrono::microseconds watchdog_interval() {
  static const std::chrono::microseconds interval = [] {
    std::uint64_t limit_us = 0;
    return std::chrono::microseconds{sd_watchdog_enabled(0, &limit_us) > 0 ? limit_us / 2 : 0};
  }();
  return interval;
}

}  // namespace

void ready() { sd_notify(0, "READY=1"); }

void stopping() { sd_notify(0, "STOPPING=1"); }

void status(const std::string& text) { sd_notify(0, ("STATUS=" + text).c_str()); }

void watchdog() {
  if (watchdog_interval().count() == 0) return;
  static std::atomic<std::chrono::steady_clock::rep> last_sent{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  if (now - std::chrono::steady_clock::duration{last_sent.load()} < watchdog_interval()) return;
  last_sent = now.count();
  sd_notify(0, "WATCHDOG=1");
}

}  // namespace objectlink::service_notify
