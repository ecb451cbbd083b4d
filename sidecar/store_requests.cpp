#include "store_requests.hpp"

#include <algorithm>
#include <utility>

#include "log.hpp"
#include "repeat.hpp"
#include "s3_error.hpp"

namespace objectlink {

using std::chrono::steady_clock;

namespace {

constexpr unsigned failing_replies_max = 8;  // in a row; then nothing is repeated at once

bool succeeded(const HttpReply& reply) { return reply.outcome == HttpReply::Outcome::replied && reply.status < 300; }

}  // namespace

StoreRequests::StoreRequests(Owner& owner, Transport& transport, Metrics& metrics, int store, std::string name,
                             std::uint64_t seed)
    : owner_(owner), transport_(transport), metrics_(metrics), store_(store), name_(std::move(name)), rng_(seed) {}

void StoreRequests::send(Kind kind, Transport::Build build, Transport::Done done, Transport::Read read) {
  ++under_way_;
  transmit(std::make_shared<Sending>(Sending{kind, std::move(build), std::move(done), std::move(read)}));
}

void StoreRequests::transmit(const std::shared_ptr<Sending>& sending) {
  transport_.submit(
      store_, sending->kind != Kind::looks, sending->build,
      [this, sending](const HttpReply& reply) {
        metrics_.observe_request(name_, reply.method, reply.seconds);
        if (reply.renewed) metrics_.count_repeat(name_, "credentials");
        owner_.before_completion();
        owner_.reply_came(reply);
        adapt_pace(reply);
        if (repeat_later(sending, reply)) return;
        --under_way_;
        sending->done(reply);
      },
      sending->kind == Kind::destroys, sending->read);
}

// A store that is paused is asked by probes alone, and one that fails much has used up its quota.
bool StoreRequests::repeat_later(const std::shared_ptr<Sending>& sending, const HttpReply& reply) {
  const Repeat repeat = repeat_of(reply, sending->kind != Kind::looks);
  if (repeat == Repeat::no) {
    if (succeeded(reply)) quota_.refund(std::max(sending->tokens, RetryQuota::success_refund));
    return false;
  }
  if (sending->tries >= request_tries_max || !owner_.may_repeat()) return false;
  if (failing_replies_ >= failing_replies_max) return false;  // an outage, by all appearance
  const bool throttled = repeat == Repeat::throttled;
  const unsigned cost = throttled ? RetryQuota::throttled_cost : RetryQuota::transient_cost;
  if (!quota_.take(cost)) {
    metrics_.count_skipped_repeat(name_);
    return false;
  }
  metrics_.count_repeat(name_, throttled ? "throttled" : "transient");
  const auto delay = retry_delay(throttled ? throttled_backoff : transient_backoff, sending->tries - 1,
                                 classify(reply).retry_after, rng_);
  sending->tokens += cost;
  ++sending->tries;
  sending->last_reply = reply;
  sending->again_at = steady_clock::now() + delay;
  again_.push_back(sending);
  return true;
}

bool StoreRequests::send_again(Time now, bool give_up) {
  std::vector<std::shared_ptr<Sending>> due;
  // A completion may send, and so add to what waits: it is taken out before any is called.
  for (auto& sending : std::exchange(again_, {})) {
    const bool waits = !give_up && sending->again_at > now;
    (waits ? again_ : due).push_back(std::move(sending));
  }
  for (const auto& sending : due) {
    if (!give_up) {
      transmit(sending);
      continue;
    }
    --under_way_;
    owner_.before_completion();
    sending->done(sending->last_reply);
  }
  return !due.empty();
}

std::optional<StoreRequests::Time> StoreRequests::next_repeat() const {
  const auto first = std::min_element(again_.begin(), again_.end(),
                                      [](const auto& a, const auto& b) { return a->again_at < b->again_at; });
  if (first == again_.end()) return std::nullopt;
  return (*first)->again_at;
}

void StoreRequests::adapt_pace(const HttpReply& reply) {
  if (succeeded(reply)) {
    pace_.succeeded();
    failing_replies_ = 0;
  } else {
    if (repeat_of(reply, false) != Repeat::no) failing_replies_ = std::min(failing_replies_ + 1, failing_replies_max);
    if (classify(reply).klass == ErrorClass::throttled) pace_.throttled(steady_clock::now());
  }
  if (pace_.limit() == pace_known_) return;
  if (pace_.limit() < pace_known_)
    log::info("store.throttled", "the store throttles, so fewer requests run at once",
              {{"store", name_}, {"requests", pace_.limit()}});
  show_pace();
}

void StoreRequests::show_pace() {
  pace_known_ = pace_.limit();
  transport_.set_concurrency(store_, pace_known_);
  metrics_.set_concurrency(name_, pace_known_);
}

}  // namespace objectlink
