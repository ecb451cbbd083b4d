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
  // Failures in a row, of any object, after which the store counts as down: where it answers that something is wrong with
  // the store or the account (a single object may be all that is forbidden), and where it fails without saying why.
  static constexpr unsigned refusals_max = 3;
  static constexpr unsigned failures_max = 16;

  explicit StoreHealth(std::uint64_t seed) : rng_(seed) {}

  // True: the store was paused until now.
  bool succeeded();

  // A store that cannot be reached at all is paused at once. What was sent before the pause began tells nothing new and does
  // not lengthen it. True: the store was well until now.
  bool failed(const S3Error& error, Time now);

  // Its settings were changed: a pause ends now, and a request may find out.
  void probe_now(Time now) {
    if (paused_until_) paused_until_ = now;
  }

  // As the daemon before this one has left it: nothing but a probe is allowed at first.
  void begin_paused(Time now) {
    paused_until_ = now;
    untried_ = true;
  }
  // Paused by the one before, and nobody has asked since whether that is over.
  bool is_untried() const { return untried_; }

  bool is_paused() const { return paused_until_.has_value(); }
  // A circuit breaker: open while paused, half open while one request finds out whether that is over.
  const char* breaker() const { return !paused_until_ ? "closed" : probing_ ? "half_open" : "open"; }
  // How many requests may be started: none while paused, one to probe when the pause is over, any number when well.
  // in_flight: what was started and has not ended. Where one is allowed, the next failure counts as that of a probe.
  std::size_t allowance(Time now, std::size_t in_flight, std::size_t wanted);
  std::optional<Time> paused_until() const { return paused_until_; }

  // When an object that failed for the store's reasons is looked at again.
  std::chrono::milliseconds retry_delay(const S3Error& error, Time now);

 private:
  std::mt19937_64 rng_;
  unsigned failures_ = 0;  // in a row
  unsigned pauses_ = 0;    // in a row
  std::optional<Time> paused_until_;
  bool probing_ = false;  // paused, and what was sent before has ended
  bool untried_ = false;
};

}  // namespace objectlink
