// Delays and the quota of retries: see retry.hpp.
#include "retry.hpp"

#include <algorithm>

namespace objectlink {
namespace {

constexpr std::chrono::milliseconds server_wish_excess_max{5'000};

}  // namespace

std::chrono::milliseconds backoff_ceiling(const Backoff& backoff, unsigned attempt) {
  std::chrono::milliseconds delay = std::min(backoff.base, backoff.cap);
  // Bounded: after 40 doublings of a millisecond any cap is reached.
  for (unsigned i = 0; i < std::min(attempt, 40u) && delay < backoff.cap; ++i) delay = std::min(delay * 2, backoff.cap);
  return delay;
}

std::chrono::milliseconds full_jitter(const Backoff& backoff, unsigned attempt, std::mt19937_64& rng) {
  std::uniform_int_distribution<std::chrono::milliseconds::rep> uniform(0, backoff_ceiling(backoff, attempt).count());
  return std::chrono::milliseconds{uniform(rng)};
}

std::chrono::milliseconds retry_delay(const Backoff& backoff, unsigned attempt,
                                      std::optional<std::chrono::milliseconds> retry_after, std::mt19937_64& rng) {
  const std::chrono::milliseconds own = full_jitter(backoff, attempt, rng);
  return retry_after ? std::clamp(*retry_after, own, own + server_wish_excess_max) : own;
}

bool RetryQuota::take(unsigned cost) {
  if (cost > tokens_) return false;
  tokens_ -= cost;
  return true;
}

void RetryQuota::refund(unsigned cost) { tokens_ = std::min(capacity, tokens_ + std::min(cost, capacity)); }

}  // namespace objectlink
