// When is a failed request tried again within its operation, and may it be at all?
// Pure: time and randomness come from outside. Does not know about durable rescheduling in the registry.
#pragma once

#include <chrono>
#include <optional>
#include <random>

namespace objectlink {

struct Backoff {
  std::chrono::milliseconds base;
  std::chrono::milliseconds cap;
};

inline constexpr Backoff transient_backoff{std::chrono::milliseconds{50}, std::chrono::seconds{20}};
inline constexpr Backoff throttled_backoff{std::chrono::seconds{1}, std::chrono::seconds{20}};
inline constexpr unsigned request_tries_max = 3;

// min(cap, base * 2^attempt); attempt 0 is the first retry.
std::chrono::milliseconds backoff_ceiling(const Backoff& backoff, unsigned attempt);

// "Full jitter": uniform in [0, ceiling].
std::chrono::milliseconds full_jitter(const Backoff& backoff, unsigned attempt, std::mt19937_64& rng);

// Full jitter, raised to what the server asked for (x-amz-retry-after, Retry-After), but by 5 seconds at most.
std::chrono::milliseconds retry_delay(const Backoff& backoff, unsigned attempt,
                                      std::optional<std::chrono::milliseconds> retry_after, std::mt19937_64& rng);

// A bucket of tokens that retries pay from, so that a failing store is not buried in retries. As in the AWS SDKs.
class RetryQuota {
 public:
  static constexpr unsigned capacity = 500;
  static constexpr unsigned transient_cost = 14;
  static constexpr unsigned throttled_cost = 5;
  static constexpr unsigned success_refund = 1;

  bool take(unsigned cost);                     // false: no retry now; nothing is taken
  void refund(unsigned cost = success_refund);  // after a success: what its retry had cost, or success_refund
  unsigned left() const { return tokens_; }

 private:
  unsigned tokens_ = capacity;
};

}  // namespace objectlink
