// What does the daemon do, over and over? Apply the outbox, execute what is due, settle what the stores answered.
// Ends when asked to stop, or with --once when nothing is left to do.
#pragma once

#include "config.hpp"
#include "health.hpp"
#include "metrics.hpp"
#include "stop_signal.hpp"

namespace objectlink {

// Returns an exit code (exit_code.hpp).
int run_daemon(const Config& config, Metrics& metrics, Health& health, StopSignal& stop);

}  // namespace objectlink
