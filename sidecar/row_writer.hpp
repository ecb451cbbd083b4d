// When are users' rows brought in line with the state of their objects? After what was applied and settled, a few at a
// time, in statements of their own. Whatever a user's table does in them, triggers and locks included, the other work goes
// on: they get a share of the loop's time, no more. For the owner of the outbox. Loop's thread only.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "database.hpp"

namespace objectlink {

class RowWriter {
 public:
  using Time = std::chrono::steady_clock::time_point;

  RowWriter(Database& database, std::int64_t epoch) : database_(database), epoch_(epoch) {}

  // True if rows were written. Throws DatabaseError when the session has ended.
  bool turn(Time now);

  // Something was applied or settled, here or elsewhere: there may be rows to write.
  void look_soon(Time now);

  // When there is something to do, as far as it is known.
  std::optional<Time> next_turn() const;

 private:
  Database& database_;
  const std::int64_t epoch_;
  // What is due for the first time, and what has failed before. Each waits while it is the others' turn.
  struct Due {
    std::optional<Time> at = Time{};
    Time not_before{};
    std::optional<Time> next() const { return at ? std::optional(std::max(*at, not_before)) : std::nullopt; }
  };
  Due first_;
  Due again_;
  Time last_turn_{};
};

}  // namespace objectlink
