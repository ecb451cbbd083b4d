// Which requests to a store are under way, and which wait to be repeated? Sends for the jobs of one store; repeats at once what may
// be, within a quota; adapts how many run at once to what the store takes. Loop's thread only. Knows nothing of objects.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "metrics.hpp"
#include "pace.hpp"
#include "retry.hpp"
#include "transport.hpp"

namespace objectlink {

class StoreRequests {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Whom it belongs to.
  class Owner {
   public:
    virtual ~Owner() = default;
    // With each reply, and before a completion.
    virtual void before_completion() = 0;
    // With each reply, those that lead to a repeat included.
    virtual void reply_came(const HttpReply& reply) = 0;
    // Not of a store that is paused, which only probes may ask.
    virtual bool may_repeat() const = 0;
  };

  enum class Kind { looks, changes, destroys };

  // All of these outlive it.
  StoreRequests(Owner& owner, Transport& transport, Metrics& metrics, int store, std::string name, std::uint64_t seed);

  void send(Kind kind, Transport::Build build, Transport::Done done, Transport::Read read = {});

  // Sends what has waited long enough. Where nothing more may be sent, what came last is the end of it. True if something happened.
  bool send_again(Time now, bool give_up);
  std::optional<Time> next_repeat() const;

  // Those whose completion has not come, those that wait to be repeated included.
  std::size_t under_way() const { return under_way_; }

  // How many the store bears, as far as it has shown.
  unsigned at_once() const { return pace_.limit(); }

  // As the store's options say.
  void set_concurrency_max(unsigned requests) { pace_.set_max(requests); }
  // The transport has to be told again whenever it was configured anew.
  void show_pace();

 private:
  struct Sending {
    Kind kind;
    Transport::Build build;
    Transport::Done done;
    Transport::Read read = {};
    unsigned tries = 1;
    unsigned tokens = 0;  // that its repeats have cost
    HttpReply last_reply = {};
    Time again_at = {};
  };

  void transmit(const std::shared_ptr<Sending>& sending);
  bool repeat_later(const std::shared_ptr<Sending>& sending, const HttpReply& reply);
  void adapt_pace(const HttpReply& reply);

  Owner& owner_;
  Transport& transport_;
  Metrics& metrics_;
  const int store_;
  const std::string name_;
  std::mt19937_64 rng_;
  std::size_t under_way_ = 0;
  std::vector<std::shared_ptr<Sending>> again_;  // wait to be repeated
  RetryQuota quota_;
  unsigned failing_replies_ = 0;  // in a row
  Pace pace_{1};
  unsigned pace_known_ = 0;  // to the transport
};

}  // namespace objectlink
