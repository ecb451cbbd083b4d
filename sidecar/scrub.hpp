// How is everything in a store proved again, now and then? A walk over the registry in the order of keys, a batch of
// objects at a time, at most so many requests a second, while there is nothing else to do (objectlink.next_scrub() says
// what is next, conclude_scrub() takes what was seen, with the walk's progress). Each object is looked at by itself
// (examination.hpp). One batch is held at a time; whoever owns the store next goes on behind the last one.
// One per owned store; loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "database.hpp"
#include "errand.hpp"
#include "examination.hpp"
#include "metrics.hpp"
#include "rate_limit.hpp"

namespace objectlink {

class Scrub {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // At once: leaves the store room for its real work, which may come at any moment.
  static constexpr std::size_t requests_max = 8;

  Scrub(Errand& errand, Metrics& metrics, int store, std::int64_t epoch, std::string name)
      : errand_(errand), metrics_(metrics), store_(store), epoch_(epoch), name_(std::move(name)) {}

  // As the store's options say. What was seen is dropped: it may have been another place.
  void configure(bool on, double requests_per_second);

  // One step, if there is one. idle: nothing else is to be done; requests: so many may be sent. True if something happened.
  // Throws DatabaseError.
  bool turn(Database& database, Time now, bool idle, std::size_t requests);

  // The next step is a request.
  bool waits_to_ask(Time now);

  // When the next step can be taken, provided that it may ask; none: a reply is waited for, or it is off.
  std::optional<Time> next_turn() const;

 private:
  struct Item {
    std::shared_ptr<Examination> examination;
    std::string state;  // of the registry, and since when: handed back as they are
    std::string since;
  };
  struct Batch {
    std::int64_t round = 0;
    std::string after;
    std::optional<std::string> reached;  // none: the round ends with it
    std::vector<Item> items;
  };

  bool load(Database& database, Time now);
  bool ask(Time now, std::size_t requests);
  void conclude(Database& database, Time now);
  void show_round(const Rows& rows);

  Errand& errand_;
  Metrics& metrics_;
  const int store_;
  const std::int64_t epoch_;
  const std::string name_;

  bool on_ = false;
  RateLimit rate_{1};
  std::optional<Batch> batch_;
  Time next_look_{};  // for a batch
};

}  // namespace objectlink
