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
#include "key_range.hpp"
#include "listed_page.hpp"
#include "page_sums.hpp"
#include "run_in_hand.hpp"
#include "sighting.hpp"

namespace objectlink {

class ComparedRange : public KeyRange, public std::enable_shared_from_this<ComparedRange> {
 public:
  ComparedRange(Errand& errand, std::shared_ptr<RunInHand> run, RangeBounds bounds, std::uint64_t seed)
      : KeyRange(std::move(bounds)), errand_(errand), run_(std::move(run)), tries_(seed) {}

  // It wants to ask for a page, or to look at objects.
  bool waits_to_ask(Time now) const override;
  std::optional<Time> next_turn() const override;

  bool wants_page(Time now) const override;
  // From the store, or from the database, where the listing was collected.
  void ask_for_page(Database& database, Time now) override;
  std::size_t listings_under_way() const override { return next_ && !next_->arrived ? 1 : 0; }

  // What does not need a comparison of sums: a page that failed, one whose sums differ, looks.
  Outcome turn(Database& database, Time now, bool may_ask) override;

  ComparedRange* awaiting_sums() override { return awaits_sums() ? this : nullptr; }
  const ListedPage& listed() const { return *page_->listed; }
  const std::vector<KeyBlock>& blocks() const { return page_->blocks; }
  // The last key that a block covers; none: there is no end.
  std::optional<std::string> block_bound(std::size_t block) const;
  // Which of them agree, '1' or '0' each, as objectlink.compare_sums() says.
  void set_agreement(const std::string& agree, Time now);

  std::optional<std::string> position() const override;

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
    std::int64_t listed_count = 0, listed_bytes = 0, compared_count = 0, undecided_count = 0;
    std::vector<Look> looks;
    std::size_t next_look = 0;
    std::size_t under_way = 0;
  };

  void list(Time now);
  void read_collected(Database& database, Time now);
  bool awaits_sums() const { return page_ && page_->listed && page_->agree.empty(); }
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
  std::shared_ptr<Page> page_;  // that is compared
  std::shared_ptr<Page> next_;  // that is listed meanwhile
  PageTries tries_;
  Time not_before_{};
};

}  // namespace objectlink
