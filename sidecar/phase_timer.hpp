// How long did a phase of the loop take? Reports to the metrics when it goes out of scope.
#pragma once

#include <chrono>

#include "metrics.hpp"

namespace objectlink {

class PhaseTimer {
 public:
  PhaseTimer(Metrics& metrics, Phase phase) : metrics_(metrics), phase_(phase) {}
  ~PhaseTimer() { metrics_.observe_phase(phase_, std::chrono::duration<double>(elapsed()).count()); }
  PhaseTimer(const PhaseTimer&) = delete;
  PhaseTimer& operator=(const PhaseTimer&) = delete;

  std::chrono::steady_clock::duration elapsed() const { return std::chrono::steady_clock::now() - since_; }

 private:
  Metrics& metrics_;
  const Phase phase_;
  const std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

}  // namespace objectlink
