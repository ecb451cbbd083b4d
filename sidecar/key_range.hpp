// What have the ranges of a run's listing in common, whether keys are compared in them (compared_range.hpp) or versions listed
// (aside_listing.hpp)? Where they begin and end, how far they are, and where they can be split. Loop's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include "database.hpp"

namespace objectlink {

class ComparedRange;

struct RangeBounds {
  int number = 0;
  std::string after;
  std::string item;                  // of uploads: with `after`, the one up to which they are listed
  std::optional<std::string> up_to;  // none: there is no end
};

class KeyRange {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Outcome {
    nothing,
    progress,
    stopped
  };  // stopped: the database says that the run does not go on as it was

  virtual ~KeyRange() = default;

  const RangeBounds& bounds() const { return bounds_; }
  bool is_begun() const { return begun_; }
  bool is_done() const { return done_; }
  // Something can be done that needs no reply; none: nothing, or a reply is waited for.
  virtual std::optional<Time> next_turn() const = 0;
  // It wants to ask the store for something.
  virtual bool waits_to_ask(Time now) const { return wants_page(now); }

  // Listings. Throws DatabaseError.
  virtual bool wants_page(Time now) const = 0;
  virtual void ask_for_page(Database& database, Time now) = 0;
  virtual std::size_t listings_under_way() const = 0;

  // What follows from replies. Throws DatabaseError.
  virtual Outcome turn(Database& database, Time now, bool may_ask) = 0;
  // None: no page of it waits to be compared by its sums.
  virtual ComparedRange* awaiting_sums() { return nullptr; }

  // Splitting: what lies behind this key may become another range. None: nothing may.
  virtual std::optional<std::string> position() const = 0;
  const std::string& first_key() const { return first_key_; }
  unsigned pages_since_split() const { return pages_since_split_; }
  void set_end(std::string up_to) {
    bounds_.up_to = std::move(up_to);
    begin_anew();
  }
  void begin_anew() { pages_since_split_ = 0; }

 protected:
  explicit KeyRange(RangeBounds bounds) : bounds_(std::move(bounds)) {}

  RangeBounds bounds_;  // `after`, `item`: as in the database
  bool begun_ = false;
  bool done_ = false;
  std::string first_key_;
  unsigned pages_since_split_ = 0;
};

}  // namespace objectlink
