#include "role_credentials.hpp"

#include <algorithm>
#include <utility>

#include "log.hpp"
#include "retry.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::system_clock;

namespace {
constexpr Backoff failed_backoff{std::chrono::seconds{1}, std::chrono::seconds{60}};
}  // namespace

CredentialsResult RoleCredentials::get() {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  if (!std::exchange(waited_, true)) changed_.wait_for(lock, first_wait_, [this] { return latest_.has_value(); });
  if (!latest_) {
    CredentialsResult none;
    none.error = "the role's keys are being asked for";
    return none;
  }
  CredentialsResult result = *latest_;
  if (result && result.credentials->expires_at && *result.credentials->expires_at <= system_clock::now()) {
    result.credentials.reset();
    result.error = result.origin + ": the keys have expired" + (error_.empty() ? "" : "; " + error_);
  }
  return result;
}

void RoleCredentials::renew() {
  const std::lock_guard lock(mutex_);
  renew_now_ = true;
  changed_.notify_all();
}

milliseconds RoleCredentials::renewal_after(const Credentials& keys, Time now) {
  if (!keys.expires_at) return renewal_interval_max;
  const auto left = std::chrono::duration_cast<milliseconds>(*keys.expires_at - now) - renewed_before_expiry;
  return std::clamp<milliseconds>(left, renewal_interval_min, renewal_interval_max);
}

void RoleCredentials::run(const std::stop_token& stop) {
  while (true) {
    CredentialsResult answer = fetch_(stop);
    if (stop.stop_requested()) return;
    const milliseconds pause = take(std::move(answer));
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, pause, [this] { return renew_now_; });
    renew_now_ = false;
  }
}

// Keys that have not expired are better than an error. Returns how long to wait before the next question.
milliseconds RoleCredentials::take(CredentialsResult result) {
  const std::lock_guard lock(mutex_);
  if (result) {
    const bool other = !latest_ || !*latest_ || !same_keys(*latest_->credentials, *result.credentials);
    if (other || !error_.empty()) log::info("credentials.role", "has the keys of a role", {{"origin", result.origin}});
    const milliseconds pause = renewal_after(*result.credentials, system_clock::now());
    failures_ = 0;
    error_.clear();
    latest_ = std::move(result);
    changed_.notify_all();
    return pause;
  }
  if (error_ != result.error)
    log::warning("credentials.role_failed", "a role gives no keys", {{"reason", result.error}});
  error_ = result.error;
  if (!latest_ || !*latest_) latest_ = std::move(result);
  changed_.notify_all();
  return full_jitter(failed_backoff, failures_++, rng_);
}

}  // namespace objectlink
