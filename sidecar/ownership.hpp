// Does the place of a store in its bucket belong to this database, and may it delete there right now? Reads and writes the
// ownership marker, keeps its lease while something is to be deleted, and fences the store when the marker says that somebody
// else may be at work. What a marker means is decided in marker.hpp. One per owned store, loop's thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "database.hpp"
#include "errand.hpp"
#include "marker.hpp"
#include "retry.hpp"

namespace objectlink {

class Ownership {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // A third of the lease: a renewal can fail a few times before deletions have to stop.
  static constexpr std::chrono::seconds renew_after{20};
  // Nothing was deleted for so long: the marker is written once more and says so.
  static constexpr std::chrono::seconds release_after{30};
  // What is begun needs some time until it is sent.
  static constexpr std::chrono::seconds lease_margin{2};
  // On a store that refuses no late write, another one's write must have arrived before ours is read back.
  static constexpr std::chrono::seconds settle_time{10};
  static constexpr Backoff retry{std::chrono::milliseconds{250}, std::chrono::seconds{15}};
  static constexpr Backoff refused_retry{std::chrono::seconds{5}, std::chrono::minutes{10}};
  static constexpr int list_pages_max = 100;
  static constexpr std::size_t overlapping_max = 1000;
  static constexpr std::size_t nonces_max = 100;  // remembered in memory; the database keeps fewer
  static constexpr int rounds_max = 5;            // of one claim: each begins with a marker that has changed

  // conditional: whether the store is known to honour If-Match and If-None-Match; if it is not known, a claim finds out.
  Ownership(Errand& errand, Database& database, int store, std::string name, std::int64_t epoch,
            std::optional<bool> conditional = std::nullopt);

  // Reads the database's side: at first, when the server was changed, and when a fence was set or lifted. Throws DatabaseError.
  void reload(std::string prefix, bool seat_check);

  // Claims or renews where it is needed. wanted: something is to be deleted. in_use: the store has work of any kind, so its
  // place is claimed once. By itself only where the database is another one than before. True if something was begun. Throws DatabaseError.
  bool turn(Time now, bool wanted, bool in_use);
  // The daemon stops, and nothing is under way: as after a time without deletions. True if something was begun. Throws DatabaseError.
  bool close();
  // When it has something to do by itself; given the same needs.
  std::optional<Time> next_turn(Time now, bool wanted, bool in_use) const;

  bool is_fenced() const { return !state_.fence.empty(); }
  // Something about the database has changed since it last owned the place: nothing is uploaded before the marker was read.
  bool is_suspect() const { return suspect_ && !is_fenced(); }
  const std::string& fence_text() const { return fence_text_; }  // what has happened, and what to do
  bool may_delete(Time now) const { return !is_fenced() && now + lease_margin < lease_until_; }
  Time lease_until() const { return is_fenced() ? Time::min() : lease_until_; }
  // The marker cannot be read or written, for a reason that does not pass by itself. Empty: it can, as far as is known.
  const std::string& refusal() const { return refusal_; }

 private:
  struct Claim {
    MarkerSighting seen;                   // what is there now, and is replaced only if it still is
    std::vector<std::string> overlapping;  // keys of markers to look at
    std::size_t next = 0;
    bool checked = false;     // no other database has a place above or below, before the marker was written
    bool created = false;     // there was none, so somebody may have come at the same time: they are listed again
    bool other_form = false;  // the ETag was sent in its other form as well
    int rounds = 0;
    std::string body;
    std::string nonce;
    std::string etag;
    Time begun{};
  };
  using Seen = std::function<void(const MarkerSighting&)>;

  bool needs_lease(Time now, bool wanted, bool in_use) const;
  bool may_write_over_known(Time now) const;
  void start();
  void look();
  void release();
  void read(const std::string& key, Seen then);
  void on_seen(const MarkerSighting& seen);
  void list(const std::string& token, int page);
  void check_next();
  void take_overlapping(const std::string& key, const MarkerSighting& seen);
  void begin(bool releasing = false);
  void put(const std::string& key, const MarkerSighting& over, Transport::Done done);
  void write();
  void on_refused_write();
  void take_for_weak();
  void prove_conditions();
  void read_back();
  void confirm();
  void fence(std::string_view why, const std::string& found);
  void wait_until(Time when);
  void failed(const S3Error& error);
  void finish();

  Errand& errand_;
  Database& database_;
  const int store_;
  const std::string name_;
  const std::int64_t epoch_;
  std::optional<bool> conditional_;
  std::mt19937_64 rng_;

  std::string prefix_;
  std::string key_;
  bool seat_check_ = true;
  MarkerState state_;
  std::string fence_text_;
  std::string refusal_;

  Claim claim_;
  bool suspect_ = false;
  bool busy_ = false;                    // a request is under way
  bool unsettled_ = false;               // written, to be read back at retry_at_
  bool quoted_ = false;                  // the form of ETag that the store takes in If-Match
  std::optional<MarkerSighting> known_;  // as confirmed: the next write needs no look before
  Time lease_begun_{};
  Time lease_until_{};
  bool lease_used_ = false;
  Time retry_at_{};
  unsigned failures_ = 0;
};

}  // namespace objectlink
