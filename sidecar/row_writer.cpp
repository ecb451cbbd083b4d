#include "row_writer.hpp"

#include "log.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

constexpr int objects_max = 200;  // whose rows are written by one statement, as a rule
constexpr milliseconds look_spacing{20};
constexpr milliseconds cheap_turn{50};  // so short a turn delays nobody
constexpr int share_of_others = 2;      // after a longer one they have this many times its duration
constexpr int share_of_others_again = 9;
constexpr milliseconds refused_retry{1000};

}  // namespace

std::optional<RowWriter::Time> RowWriter::next_turn() const {
  const auto first = first_.next();
  const auto again = again_.next();
  return first && again ? std::min(first, again) : first ? first : again;
}

bool RowWriter::turn(Time now) {
  const auto next = next_turn();
  if (!next || now < *next) return false;
  const bool again = again_.next() && now >= *again_.next();
  std::int64_t written = 0;
  std::optional<std::int64_t> first_in_ms = refused_retry.count();
  std::optional<std::int64_t> again_in_ms = refused_retry.count();
  try {
    const Rows rows = database_.query("SELECT done, due_in_ms, again_in_ms FROM objectlink.work_on_rows($1, $2, $3)",
                                      epoch_, objects_max, again);
    written = rows.integer(0, 0);
    first_in_ms = rows.optional_integer(0, 1);
    again_in_ms = rows.optional_integer(0, 2);
  } catch (const DatabaseError& error) {
    // It was rolled back as a whole: nothing is half done, and no reason to give up what the session owns.
    if (error.session_ended()) throw;
    log::warning("rows.refused", error.what(), {{"sqlstate", error.sqlstate()}});
  }
  last_turn_ = steady_clock::now();
  const auto cost = last_turn_ - now;
  if (cost > cheap_turn) {
    first_.not_before = last_turn_ + cost * share_of_others;
    again_.not_before = last_turn_ + cost * share_of_others_again;
  }
  const auto from_now = [this](std::optional<std::int64_t> ms) {
    return ms ? std::optional(last_turn_ + milliseconds{*ms}) : std::nullopt;
  };
  first_.at = from_now(first_in_ms);
  again_.at = from_now(again_in_ms);
  return written > 0;
}

void RowWriter::look_soon(Time now) {
  const Time soon = std::max(now, last_turn_ + look_spacing);
  first_.at = first_.at ? std::min(*first_.at, soon) : soon;
}

}  // namespace objectlink
