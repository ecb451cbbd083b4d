// Is this store usable right now? Pauses a store that answers nobody, so that its objects keep their attempts and
// other stores their speed. Pure: time and randomness come from outside. Knows no object.
#pragma once

#include <chrono>
#include <optional>
#include <random>

#include "retry.hpp"
#include "s3_error.hpp"

namespace objectlink {

class StoreHealth {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr Backoff pause{std::chrono::milliseconds{250}, std::chrono::seconds{15}};
  // Failures in a row, of any object, after which a store without a clear fault counts as down.
  static constexpr unsigned failures_max = 16;

  explicit StoreHealth(std::uint64_t seed) : rng_(seed) {}

  // True: the store was paused until now.
  bool succeeded();

  // A failure of class store or credentials pauses at once, others after failures_max in a row. What was sent before the
  // pause began tells nothing new and does not lengthen it. True: the store was well until now.
  bool failed(const S3Error& error, Time now);

  bool is_paused() const { return paused_until_.has_value(); }
  // How many requests may be started: none while paused, one to probe when the pause is over, any number when well.
  std::size_t allowance(Time now, std::size_t in_flight, std::size_t wanted) const;
  std::optional<Time> paused_until() const { return paused_until_; }

  // When an object that failed for the store's reasons is looked at again.
  std::chrono::milliseconds retry_delay(const S3Error& error, Time now);

 private:
  std::mt19937_64 rng_;
  unsigned failures_ = 0;  // in a row
  unsigned pauses_ = 0;    // in a row
  std::optional<Time> paused_until_;
};

}  // namespace objectlink
