// How does the daemon get its session back? Tries for ever, with full-jitter backoff, until told to stop.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "database.hpp"
#include "retry.hpp"
#include "stop_signal.hpp"

namespace objectlink {

inline constexpr Backoff reconnect_backoff{std::chrono::milliseconds{100}, std::chrono::seconds{10}};

// Logs a change of outcome at once and an unchanged one once a minute. on_attempt is called after every failed attempt
// (for Health). Null when a stop was requested.
std::unique_ptr<Database> connect_until_stopped(const std::string& dsn, StopSignal& stop,
                                                const std::function<void(const Connected&)>& on_attempt);

}  // namespace objectlink
