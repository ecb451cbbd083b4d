#include "reconnect.hpp"

#include "log.hpp"

namespace objectlink {

namespace {

constexpr std::chrono::minutes repeat_log_after{1};

std::string_view event_of(ConnectOutcome outcome) {
  switch (outcome) {
    case ConnectOutcome::connected: return "database.connected";
    case ConnectOutcome::standby: return "database.standby";
    case ConnectOutcome::pooler: return "database.pooler";
    case ConnectOutcome::no_extension: return "database.no_extension";
    case ConnectOutcome::version_mismatch: return "database.version_mismatch";
    case ConnectOutcome::unreachable: break;
  }
  return "database.unreachable";
}

}  // namespace

std::unique_ptr<Database> connect_until_stopped(const std::string& dsn, StopSignal& stop,
                                                const std::function<void(const Connected&)>& on_attempt) {
  std::mt19937_64 rng(std::random_device{}());
  std::string logged_message;
  std::chrono::steady_clock::time_point logged_at{};
  for (unsigned attempt = 0; !stop.requested(); ++attempt) {
    Connected connected = Database::connect(dsn);
    if (connected.outcome == ConnectOutcome::connected) {
      log::info("database.connected", "session established",
                {{"server", connected.message},
                 {"extension_version", connected.database->extension_version()},
                 {"backend_pid", connected.database->backend_pid()},
                 {"attempts", attempt + 1}});
      return std::move(connected.database);
    }
    const auto now = std::chrono::steady_clock::now();
    const auto delay = full_jitter(reconnect_backoff, attempt, rng);
    if (connected.message != logged_message || now - logged_at >= repeat_log_after) {
      logged_message = connected.message;
      logged_at = now;
      log::warning(event_of(connected.outcome), connected.message, {{"attempts", attempt + 1}});
    }
    if (on_attempt) on_attempt(connected);
    const auto wake_at = now + delay;
    while (!stop.requested() && std::chrono::steady_clock::now() < wake_at) {
      stop.wake_up().wait(std::chrono::ceil<std::chrono::milliseconds>(wake_at - std::chrono::steady_clock::now()));
    }
  }
  return nullptr;
}

}  // namespace objectlink
