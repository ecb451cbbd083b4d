// A try has failed: is it the object's own fault, so that it costs one of its attempts and may end as a dead letter?
// Pure: time comes from outside. One per owned store; knows keys, and nothing of requests.
//
// What an error says by itself decides wherever it can. Two kinds say nothing by themselves: a refusal (403), which may mean
// the account or this very key, and a failure without a reason (500, a timeout), which may be an outage or this very object.
// These are the object's own fault only if the store did the same kind of work for others between two failures of this one.
#pragma once

#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "s3_error.hpp"

namespace objectlink {

enum class WorkKind { look, upload, removal };
WorkKind kind_of(std::string_view cause);  // as in Result: verify, upload, delete

enum class ErrorWeight {
  final,    // of the object, and no try will change it
  counted,  // of the object
  refused,  // of the account or of this key: evidence decides
  unclear,  // of the store or of this object: evidence decides, and not before it has failed several times in a row
  store,    // never the object's: it costs no attempt, however often it comes
};
ErrorWeight weight_of(const S3Error& error);

// After how many attempts an error of the object ends it, given how many it has.
int attempts_max(const S3Error& error, int max_attempts);

class Blame {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr int unclear_failures_min = 3;  // in a row, before evidence is asked for
  static constexpr std::size_t suspects_max =
      10'000;  // more at once are an outage, not objects with a fault of their own

  enum class Verdict {
    store,   // costs nothing
    object,  // costs an attempt
    ask,     // costs nothing, and nobody knows whether the store would do this for another object
  };

  // The store has done this kind of work for some object, or for one of our own that was tried in its place.
  void succeeded(WorkKind kind, Time now) { last_success_[static_cast<std::size_t>(kind)] = now; }

  // Errors of weight refused and unclear; others are decided by their weight.
  Verdict failed(const std::string& key, WorkKind kind, ErrorWeight weight, Time now);

  // It has succeeded, was given up, or is no longer this store's work.
  void forget(const std::string& key) { suspects_.erase(key); }

  // Of its failures in a row that evidence decides about.
  int failures_of(const std::string& key) const {
    const auto found = suspects_.find(key);
    return found == suspects_.end() ? 0 : found->second.failures;
  }

  std::size_t suspects() const { return suspects_.size(); }

 private:
  struct Suspect {
    Time last_failure;
    int failures = 0;  // in a row
  };

  std::array<std::optional<Time>, 3> last_success_;
  std::unordered_map<std::string, Suspect> suspects_;
};

}  // namespace objectlink
