#include "store_health.hpp"

#include <algorithm>

namespace objectlink {

using std::chrono::milliseconds;

namespace {

constexpr std::string_view not_sent_in_time = "NotSentInTime";

unsigned failures_until_pause(const S3Error& error) {
  const bool clear_fault = error.klass == ErrorClass::store || error.klass == ErrorClass::credentials;
  if (!clear_fault) return StoreHealth::failures_max;
  return error.status == 0 ? 1 : StoreHealth::refusals_max;
}

}  // namespace

bool StoreHealth::succeeded() {
  failures_ = 0;
  pauses_ = 0;
  probing_ = false;
  untried_ = false;
  return std::exchange(paused_until_, std::nullopt).has_value();
}

bool StoreHealth::failed(const S3Error& error, Time now) {
  if (error.code == not_sent_in_time) return false;  // our own lease ran out: says nothing of the store
  untried_ = false;
  failures_ = std::min(failures_ + 1, 1'000'000u);
  if (failures_ < failures_until_pause(error) && !paused_until_) return false;
  if (paused_until_ && !probing_) return false;
  const bool was_well = !paused_until_;
  // Half of it is fixed: a pause of no length would be none.
  const milliseconds ceiling = backoff_ceiling(pause, pauses_);
  paused_until_ = now + ceiling / 2 + full_jitter(pause, pauses_, rng_) / 2;
  pauses_ = std::min(pauses_ + 1, 16u);
  probing_ = false;
  return was_well;
}

std::size_t StoreHealth::allowance(Time now, std::size_t in_flight, std::size_t wanted) {
  if (!paused_until_) return wanted;
  if (now < *paused_until_ || in_flight > 0) return 0;
  probing_ = true;
  return std::min<std::size_t>(wanted, 1);
}

milliseconds StoreHealth::retry_delay(const S3Error& error, Time now) {
  // Requests that were under way together fail together, so failures in a row are no measure of time. It is the pause that
  // spares a store which is down; this only spreads what failed before, and must not outlast the outage by much.
  const bool throttled = error.klass == ErrorClass::throttled;
  milliseconds delay = ::objectlink::retry_delay(throttled ? throttled_backoff : transient_backoff,
                                                 std::min(failures_, throttled ? 2u : 4u), error.retry_after, rng_);
  if (paused_until_ && *paused_until_ > now) {
    delay = std::max(delay, std::chrono::ceil<milliseconds>(*paused_until_ - now));
  }
  return delay;
}

}  // namespace objectlink
