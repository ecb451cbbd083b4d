// How is a store compared with the registry? Page by page of its listing: each is asked for, compared by the database
// (objectlink.compare_page()), what differs is looked at, and what the looks show is committed with the page's progress. One
// page is held at a time, so a store of any size costs the same memory; no request is under way inside of a transaction.
// One per owned store; loop's thread. Whoever owns the store next goes on behind the last page.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "database.hpp"
#include "errand.hpp"
#include "listed_page.hpp"
#include "sighting.hpp"

namespace objectlink {

class Reconciliation {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Reconciliation(Errand& errand, int store, std::int64_t epoch, std::string name, std::uint64_t seed)
      : errand_(errand), store_(store), epoch_(epoch), name_(std::move(name)), rng_(seed) {}

  // One step, if there is one to take. may_ask: the store may be sent a request now. True if something happened. Throws
  // DatabaseError.
  bool turn(Database& database, Time now, bool may_ask);

  // A run is said to wait: the next turn looks. False: it has just looked.
  bool look_for_run(Time now);
  // Nobody looks for this store: it has to do so itself, now and then.
  void keep_looking(Time now);

  // The store's settings were changed: what was listed may have been another place.
  void drop_page();

  // The next step is a request.
  bool waits_to_ask(Time now) const;
  // There is a run in hand.
  bool is_active() const { return run_.has_value(); }
  // Something is to be done that needs no reply; none: nothing, or a reply is waited for.
  std::optional<Time> next_turn() const;

 private:
  void look_now() { next_look_ = {}; }

  struct Run {
    std::int64_t id = 0;
    std::string prefix;
    std::string after;
    int page_size = 1000;
  };

  // An object that the listing and the registry disagree about.
  struct Look {
    std::string key;
    std::string reason;  // absent, changed, back
    std::string state;   // of the registry, and since when: handed back as they are
    std::string since;
    std::string evidence;  // JSON, handed back
    ProvedContent proved;
    std::optional<Sighting> sighting;  // none: not looked at yet, or not answered
    HeadReply head;
    std::string request_id;
    std::optional<S3Error> error;
  };

  // A page under way. Completions hold it, and do nothing once it is no longer the current one.
  struct Page {
    std::optional<ListedPage> listed;
    std::optional<S3Error> error;
    Time asked_at{};
    std::optional<std::chrono::system_clock::time_point> store_time;
    std::size_t begin = 0;  // keys before it are compared
    std::string reached;
    bool last = false;  // with these looks everything is compared
    std::int64_t listed_count = 0, compared_count = 0, undecided_count = 0;
    std::vector<Look> looks;
    std::size_t next_look = 0;
    std::size_t under_way = 0;
  };

  enum class Step { idle, to_list, listing, listed, looking };

  bool step(Database& database, Time now, bool may_ask);
  bool load(Database& database, Time now);
  void list(Time now);
  bool compare(Database& database, Time now);
  bool go_on_looking(Database& database, Time now, bool may_ask);
  void start_look(const std::shared_ptr<Page>& page, Look& look);
  bool conclude(Database& database, Time now);
  void advance(const std::string& reached, bool done, Time now);
  bool page_failed(Database& database, Time now, const S3Error& error);
  void tell_health(const S3Error& error);
  void finish();
  const Look* hidden_from_listing() const;

  Errand& errand_;
  const int store_;
  const std::int64_t epoch_;
  const std::string name_;
  std::mt19937_64 rng_;

  std::optional<Run> run_;
  Step step_ = Step::idle;
  std::shared_ptr<Page> page_;
  unsigned tries_ = 0;  // of this page, that failed
  int requests_ = 0;    // listings asked for and not yet counted
  Time not_before_{};
  Time next_look_{};  // for a run
  Time last_look_{};
};

}  // namespace objectlink
