#include "service_notify.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

// The protocol of sd_notify(3), section "Standalone Implementations": one datagram to $NOTIFY_SOCKET. libsystemd would
// bring eight more libraries and a megabyte of resident memory for it.
namespace objectlink::service_notify {

namespace {

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

void send(std::string_view message) {
  const std::string_view path = environment("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path.size() < 2 || path.size() >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@')) return;
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';  // an abstract socket
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  // Nothing to do about a failure: systemd notices by itself that it hears nothing.
  sendto(fd, message.data(), message.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length);
  close(fd);
}

template <typename Number>
Number number_in(const char* name) {
  const std::string_view text = environment(name);
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

// Zero: nobody watches. sd_watchdog_enabled(3): WATCHDOG_PID, if set, must be ours.
std::chrono::microseconds watchdog_interval() {
  static const std::chrono::microseconds interval = [] {
    const bool ours = environment("WATCHDOG_PID").empty() || number_in<pid_t>("WATCHDOG_PID") == getpid();
    return std::chrono::microseconds{ours ? number_in<std::int64_t>("WATCHDOG_USEC") / 2 : 0};
  }();
  return interval;
}

}  // namespace

void ready() { send("READY=1"); }

void stopping() { send("STOPPING=1"); }

void status(const std::string& text) { send("STATUS=" + text.substr(0, text.find('\n'))); }

void watchdog() {
  if (watchdog_interval() <= std::chrono::microseconds::zero()) return;
  static std::atomic<std::chrono::steady_clock::rep> last_sent{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  const auto last = std::chrono::steady_clock::duration{last_sent.load()};
  if (last.count() != 0 && now - last < watchdog_interval()) return;
  last_sent = now.count();
  send("WATCHDOG=1");
}

}  // namespace objectlink::service_notify
