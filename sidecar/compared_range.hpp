// How is one range of a run's keys compared? Page by page of its listing: each is listed ahead of its turn, compared by its sums
// (reconciliation.hpp does that for several ranges at once), and where these differ key by key (objectlink.compare_page()); what
// differs is looked at, and what the looks show is committed with the page's progress. Two pages are held at most; no request is
// under way inside of a transaction. Loop's thread, but for reading pages. Held by the completions of its requests as well.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "database.hpp"
#include "errand.hpp"
#include "listed_page.hpp"
#include "page_sums.hpp"
#include "run_in_hand.hpp"
#include "sighting.hpp"

namespace objectlink {

struct RangeBounds {
  int number = 0;
  std::string after;
  std::optional<std::string> up_to;  // none: there is no end
};

class ComparedRange : public std::enable_shared_from_this<ComparedRange> {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Outcome {
    nothing,
    progress,
    stopped
  };  // stopped: the database says that the run does not go on as it was

  ComparedRange(Errand& errand, std::shared_ptr<RunInHand> run, RangeBounds bounds, std::uint64_t seed)
      : errand_(errand), run_(std::move(run)), bounds_(std::move(bounds)), tries_(seed) {}

  const RangeBounds& bounds() const { return bounds_; }
  bool is_begun() const { return begun_; }
  bool is_done() const { return done_; }
  // It wants to ask for a page, or to look at objects.
  bool waits_to_ask(Time now) const;
  // Something can be done that needs no reply; none: nothing, or a reply is waited for.
  std::optional<Time> next_turn() const;

  // Listings.
  bool wants_page(Time now) const;
  void list(Time now);
  // The same from the database, where the listing was collected. Throws DatabaseError.
  void read_collected(Database& database, Time now);
  std::size_t listings_under_way() const { return next_ && !next_->arrived ? 1 : 0; }

  // What does not need a comparison of sums: a page that failed, one whose sums differ, looks. Throws DatabaseError.
  Outcome turn(Database& database, Time now, bool may_ask);

  // A page waits to be compared by its sums.
  bool awaits_sums() const { return page_ && page_->listed && page_->agree.empty(); }
  const ListedPage& listed() const { return *page_->listed; }
  const std::vector<KeyBlock>& blocks() const { return page_->blocks; }
  // The last key that a block covers; none: there is no end.
  std::optional<std::string> block_bound(std::size_t block) const;
  // Which of them agree, '1' or '0' each, as objectlink.compare_sums() says.
  void set_agreement(const std::string& agree, Time now);

  // Splitting: what lies behind this key may become another range. None: nothing may.
  std::optional<std::string> position() const;
  const std::string& first_key() const { return first_key_; }
  unsigned pages_since_split() const { return pages_since_split_; }
  void set_end(std::string up_to);
  void begin_anew() { pages_since_split_ = 0; }

 private:
  // An object that the listing and the registry disagree about.
  struct Look {
    std::string key;
    std::string reason;  // absent, changed, back; of what the registry does not know, the kind of the finding
    std::string state;   // of the registry, and since when: handed back as they are; empty: it does not know it
    std::string since;
    std::string evidence;  // JSON, handed back
    ProvedContent proved;
    std::optional<Sighting> sighting;  // none: not looked at yet, or not answered
    HeadReply head;
    std::optional<std::chrono::milliseconds> age;  // by the store's clock
    std::string request_id;
    std::optional<S3Error> error;
  };

  // Completions hold it, and do nothing once the range no longer has it.
  struct Page {
    std::optional<ListedPage> listed;
    std::optional<S3Error> error;
    bool arrived = false;
    Time asked_at{};
    std::optional<std::chrono::system_clock::time_point> store_time;
    std::optional<std::string> range_end;  // as it was when the page was asked for
    std::vector<KeyBlock> blocks;
    std::string agree;      // empty: not compared yet
    std::size_t block = 0;  // blocks before it are done with
    std::size_t begin = 0;  // and so are keys before it
    std::string reached;
    bool last = false;  // with these looks everything is compared
    std::int64_t listed_count = 0, compared_count = 0, undecided_count = 0;
    std::vector<Look> looks;
    std::size_t next_look = 0;
    std::size_t under_way = 0;
  };

  bool is_looking() const { return page_ && !page_->looks.empty(); }
  void take_next(Time now);
  Outcome pass_agreeing(Database& database, Time now);
  Outcome compare(Database& database, Time now);
  Outcome go_on_looking(Database& database, Time now, bool may_ask);
  void start_look(const std::shared_ptr<Page>& page, Look& look);
  void ask_for_bucket(const std::shared_ptr<Page>& page, Look& look);
  Outcome conclude(Database& database, Time now);
  Outcome advance(const std::string& state, const std::string& reached, bool to_the_end, Time now);
  void end_page(Time now);
  Outcome page_failed(Database& database, Time now, const S3Error& error);
  const Look* hidden_from_listing() const;

  Errand& errand_;
  const std::shared_ptr<RunInHand> run_;
  RangeBounds bounds_;          // `after`: as in the database
  std::shared_ptr<Page> page_;  // that is compared
  std::shared_ptr<Page> next_;  // that is listed meanwhile
  bool begun_ = false;
  bool done_ = false;
  std::string first_key_;
  unsigned pages_since_split_ = 0;
  PageTries tries_;
  Time not_before_{};
};

}  // namespace objectlink
