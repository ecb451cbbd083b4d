// The temporary keys of the role that the daemon runs as: kept, and asked for again before they expire.
// Asked for in a thread of its own, so that nobody waits for a service that does not answer; but the first time a moment.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <thread>

#include "credentials.hpp"

namespace objectlink {

class RoleCredentials {
 public:
  using Time = std::chrono::system_clock::time_point;
  // Waits for the answer; ends early when it is stopped.
  using Fetch = std::function<CredentialsResult(std::stop_token stop)>;

  static constexpr std::chrono::seconds first_wait_max{3};
  static constexpr std::chrono::minutes renewed_before_expiry{5};
  static constexpr std::chrono::seconds renewal_interval_min{10};
  static constexpr std::chrono::hours renewal_interval_max{1};  // also of keys that do not say when they expire

  explicit RoleCredentials(Fetch fetch, std::chrono::milliseconds first_wait = first_wait_max)
      : fetch_(std::move(fetch)), first_wait_(first_wait) {}
  RoleCredentials(const RoleCredentials&) = delete;
  RoleCredentials& operator=(const RoleCredentials&) = delete;

  // What there is, if it has not expired. The first call begins to ask, and waits a moment for the answer.
  CredentialsResult get();
  // A store has refused what get() gave: they are asked for again now. Whoever calls this does not do so all the time.
  void renew();

  // How long after an answer they are asked for again.
  static std::chrono::milliseconds renewal_after(const Credentials& keys, Time now);

 private:
  void run(const std::stop_token& stop);
  std::chrono::milliseconds take(CredentialsResult result);

  const Fetch fetch_;
  const std::chrono::milliseconds first_wait_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<CredentialsResult> latest_;  // the last answer that had keys, or, before there was one, the last error
  std::string error_;                        // of the last answer; empty: it had keys
  bool renew_now_ = false;
  bool waited_ = false;
  unsigned failures_ = 0;  // in a row
  std::mt19937_64 rng_{std::random_device{}()};

  std::jthread thread_;  // last: it ends before what it uses
};

}  // namespace objectlink
