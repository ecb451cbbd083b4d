#include "reconciliation.hpp"

#include <algorithm>
#include <utility>

#include "aside_listing.hpp"
#include "compared_range.hpp"
#include "log.hpp"

namespace objectlink {

using std::chrono::seconds;

namespace {

constexpr seconds look_interval{1};  // for a run, while the store is busy anyway
constexpr std::size_t ranges_at_once_max = 8;
// Each range ends within a page that the next one asks for again.
constexpr std::int64_t range_pages_min = 50;
// Where there are no more ranges than can be under way at once, a few pages listed twice are nothing beside the time they save.
constexpr std::int64_t few_ranges_pages_min = 10;
constexpr std::size_t ranges_at_first_max = 256;
// A sample is drawn from so many: as the keys that cut them come from 200 pages of the registry, more would be of very different size.
constexpr std::int64_t sampled_ranges_max = 200;
// Pages of a range nobody knows the length of, until it counts as long.
constexpr unsigned pages_before_split = 32;

std::size_t parts_of(std::int64_t pages) {
  const auto few = std::min<std::int64_t>(pages / few_ranges_pages_min, ranges_at_once_max);
  return static_cast<std::size_t>(
      std::clamp<std::int64_t>(pages / range_pages_min, std::max<std::int64_t>(few, 1), ranges_at_first_max));
}

std::size_t sampled_parts(std::int64_t pages) {
  return static_cast<std::size_t>(std::clamp<std::int64_t>(pages, 1, sampled_ranges_max));
}

}  // namespace

void Reconciliation::keep_looking(Time now) {
  if (next_look_ == Time::max()) next_look_ = std::max(now, last_look_ + look_interval);
}

void Reconciliation::drop_page() { finish(); }  // the database says whether it goes on

std::optional<Reconciliation::Time> Reconciliation::next_turn() const {
  if (!run_) {
    if (next_look_ != Time::max() && last_look_ != Time{}) return next_look_;
    return std::nullopt;
  }
  std::optional<Time> next = reading_      ? reading_->next_turn()
                             : collecting_ ? collecting_->next_turn()
                                           : next_turn_of_ranges();
  if (next) next = std::max(*next, rest_.until());
  return next;
}

std::optional<Reconciliation::Time> Reconciliation::next_turn_of_ranges() const {
  std::optional<Time> next;
  bool reply_comes = false;
  for (const auto& range : ranges_) reply_comes |= range->listings_under_way() > 0;
  for (const auto& range : ranges_) {
    if (!range->is_begun() && reply_comes) continue;  // there may be no room for it yet
    if (const auto turn = range->next_turn()) next = next ? std::min(*next, *turn) : *turn;
  }
  return next;
}

bool Reconciliation::waits_to_ask(Time now) const {
  if (collecting_) return collecting_->wants_page(now);
  if (reading_) return reading_->wants_piece(now);
  return run_ && std::ranges::any_of(ranges_, [now](const auto& range) { return range->waits_to_ask(now); });
}

bool Reconciliation::look_for_run(Time now) {
  if (is_active() || now < last_look_ + look_interval) return false;
  look_now();
  return true;
}

// Somebody's open transaction decides about this run, or about one of its findings: no reason to give up the session.
bool Reconciliation::turn(Database& database, Time now, std::size_t requests_max) {
  try {
    if (!run_) return now >= next_look_ && load(database, now);
    if (rest_.is_resting(now)) return false;
    const Time begun = std::chrono::steady_clock::now();
    const bool may_ask = requests_max > 0;
    const bool progress = reading_      ? read_inventory(database, now, may_ask)
                          : collecting_ ? collect(database, now, may_ask)
                                        : go_on(database, now, requests_max);
    if (progress) rest(database, begun);
    return progress;
  } catch (const DatabaseError& error) {
    if (!is_passing(error)) throw;
    log::warning("reconcile.waits", error.what(), {{"store", name_}, {"sqlstate", error.sqlstate()}});
    finish();
    last_look_ = now;
    next_look_ = now + look_interval;
    return false;
  }
}

void Reconciliation::rest(Database& database, Time begun) {
  rest_.worked(std::chrono::steady_clock::now() - begun);
  if (rest_.wants_look()) {
    const double share = database.query("SELECT objectlink.run_share()").real(0, 0);
    rest_.looked(share);
  }
  const auto rest = rest_.rest(std::chrono::steady_clock::now());
  metrics_.count_reconcile_rest(name_, std::chrono::duration<double>(rest).count());
}

bool Reconciliation::load(Database& database, Time now) {
  last_look_ = now;
  next_look_ = Time::max();
  const Rows rows = database.query(
      "SELECT id, prefix, store_prefix, page_size, listing, inventory, sampled, aside FROM "
      "objectlink.next_run($1, $2)",
      store_, epoch_);
  if (rows.is_null(0, 0)) return false;
  run_ = std::make_shared<RunInHand>();
  run_->id = rows.integer(0, 0);
  run_->store = store_;
  run_->epoch = epoch_;
  run_->store_name = name_;
  run_->prefix = rows.string(0, 1);
  run_->store_prefix = rows.string(0, 2);
  run_->page_size = static_cast<int>(rows.integer(0, 3));
  run_->seed = rng_();
  if (!rows.is_null(0, 7)) {
    run_->aside = rows.string(0, 7);
    begin_ranges(database);
    return true;
  }
  const std::string listing = rows.string(0, 4);
  run_->collected = listing == "collected";
  run_->from_inventory = !rows.is_null(0, 5);
  run_->sampled = rows.boolean(0, 6);
  if (listing == "collecting" && run_->from_inventory) {
    reading_ = std::make_shared<InventoryListing>(errand_, run_, rows.string(0, 5), rng_());
    return true;
  }
  if (listing == "ordered" && errand_.traits().capabilities.list_order == Support::no) {
    begin_collecting(database);
    return true;
  }
  if (listing == "collecting") {
    const Rows token = database.query("SELECT objectlink.collection_token($1, $2, $3)", store_, epoch_, run_->id);
    collecting_ = std::make_shared<CollectedListing>(errand_, run_, token.string(0, 0), rng_());
    log::info("reconcile.collecting", "collects the listing, which is not in the order of bytes",
              {{"store", name_}, {"run", run_->id}});
    return true;
  }
  begin_ranges(database);
  return true;
}

void Reconciliation::begin_ranges(Database& database) {
  load_ranges(database);
  if (ranges_.empty()) {  // somebody has ended or paused it in this very moment
    finish();
    return;
  }
  const std::string& after = ranges_.front()->bounds().after;
  const bool is_new = ranges_.size() == 1 && after.empty();
  const std::string what = run_->aside.empty() ? "compares the store" : "lists " + run_->aside;
  log::info(
      "reconcile.started", is_new ? what : "goes on: " + what,
      {{"store", name_}, {"run", run_->id}, {"prefix", run_->prefix}, {"after", after}, {"ranges", ranges_.size()}});
  // What is listed aside is split when it turns out that there may be anything.
  if (is_new && run_->aside.empty()) cut_first_range(database);
}

const KeySpread& Reconciliation::spread(Database& database) {
  if (spread_) return *spread_;
  const Rows sample =
      database.query("SELECT unnest(keys), expected FROM objectlink.sample_keys($1, $2, $3)", store_, epoch_, run_->id);
  std::vector<std::string> keys;
  for (std::size_t row = 0; row < sample.size(); ++row) keys.push_back(sample.string(row, 0));
  return spread_.emplace(std::move(keys), sample.empty() ? 0 : sample.integer(0, 1));
}

// What is known already stays as it is; ranges that are not in the database any more are done.
void Reconciliation::load_ranges(Database& database) {
  const Rows rows = database.query("SELECT number, after_key, after_item, up_to FROM objectlink.run_ranges($1, $2, $3)",
                                   store_, epoch_, run_->id);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    RangeBounds bounds{static_cast<int>(rows.integer(row, 0)), rows.string(row, 1), rows.string(row, 2), std::nullopt};
    if (!rows.is_null(row, 3)) bounds.up_to = rows.string(row, 3);
    const auto known =
        std::ranges::find_if(ranges_, [&bounds](const auto& range) { return range->bounds().number == bounds.number; });
    if (known == ranges_.end())
      ranges_.push_back(make_range(std::move(bounds)));
    else if (bounds.up_to && (*known)->bounds().up_to != bounds.up_to)
      (*known)->set_end(*bounds.up_to);
  }
}

std::shared_ptr<KeyRange> Reconciliation::make_range(RangeBounds bounds) {
  if (run_->aside.empty()) return std::make_shared<ComparedRange>(errand_, run_, std::move(bounds), rng_());
  return std::make_shared<AsideListing>(errand_, run_, std::move(bounds), rng_());
}

void Reconciliation::cut_first_range(Database& database) {
  const RangeBounds& bounds = ranges_.front()->bounds();
  const std::int64_t pages = spread(database).expected(bounds.after, bounds.up_to) / run_->page_size;
  const auto keys =
      spread(database).cut(bounds.after, bounds.up_to, run_->sampled ? sampled_parts(pages) : parts_of(pages));
  if (keys.empty()) return;
  // In one statement; the function says why.
  const char* const cut =
      run_->sampled ? "SELECT objectlink.split_range($1, $2, $3, $4, $5::text[]), objectlink.keep_sample($1, $2, $3)"
                    : "SELECT objectlink.split_range($1, $2, $3, $4, $5::text[])";
  database.query(cut, store_, epoch_, run_->id, bounds.number, text_array(keys));
  if (run_->sampled) ranges_.clear();
  load_ranges(database);
}

bool Reconciliation::collect(Database& database, Time now, bool may_ask) {
  bool asked = false;
  if (may_ask && collecting_->wants_page(now)) {
    collecting_->list(now);
    asked = true;
  }
  const auto outcome = collecting_->turn(database, now);
  if (outcome == CollectedListing::Outcome::over) finish();
  return asked || outcome != CollectedListing::Outcome::nothing;
}

bool Reconciliation::read_inventory(Database& database, Time now, bool may_ask) {
  bool asked = false;
  if (may_ask && reading_->wants_piece(now)) {
    reading_->ask(now);
    asked = true;
  }
  const auto outcome = reading_->turn(database, now);
  if (outcome == InventoryListing::Outcome::over) finish();
  return asked || outcome != InventoryListing::Outcome::nothing;
}

// The run begins anew, and is loaded as one that collects.
void Reconciliation::begin_collecting(Database& database) {
  log::warning("reconcile.out_of_order",
               "the store does not list in the order of bytes: all of it is listed before it is compared",
               {{"store", name_}, {"run", run_->id}});
  database.query("SELECT objectlink.collect_run($1, $2, $3)", store_, epoch_, run_->id);
  finish();
}

bool Reconciliation::go_on(Database& database, Time now, std::size_t requests_max) {
  bool progress = ask(database, now, requests_max);
  if (run_->is_over) {
    finish();
    return true;
  }
  auto outcome = compare_sums(database, now);
  // One range a turn: each may take a transaction of its own, and others wait for the session too.
  for (std::size_t i = 0; i < ranges_.size() && outcome == KeyRange::Outcome::nothing; ++i) {
    next_range_ = (next_range_ + 1) % ranges_.size();
    outcome = ranges_[next_range_]->turn(database, now, requests_max > 0);
  }
  if (outcome != KeyRange::Outcome::stopped &&
      std::erase_if(ranges_, [](const auto& range) { return range->is_done(); }) > 0) {
    progress = true;
    if (ranges_.empty()) {
      if (run_->aside.empty())
        log::info("reconcile.done", "the store is compared", {{"store", name_}, {"run", run_->id}});
      outcome = KeyRange::Outcome::stopped;
    }
  }
  if (outcome == KeyRange::Outcome::stopped && run_->has_to_collect)
    begin_collecting(database);
  else if (outcome == KeyRange::Outcome::stopped)
    finish();
  return progress || outcome != KeyRange::Outcome::nothing;
}

// Ranges that are begun go first, so that few are under way at once.
bool Reconciliation::ask(Database& database, Time now, std::size_t requests_max) {
  const std::size_t at_once = std::min(requests_max, ranges_at_once_max);
  std::size_t begun = 0, under_way = 0;
  for (const auto& range : ranges_) {
    begun += range->is_begun();
    under_way += range->listings_under_way();
  }
  bool asked = false;
  for (const bool fresh : {false, true}) {
    for (const auto& range : ranges_) {
      if (under_way >= at_once) return asked;
      if (range->is_begun() == fresh || !range->wants_page(now) || (fresh && begun >= at_once)) continue;
      range->ask_for_page(database, now);
      begun += fresh;
      ++under_way;
      asked = true;
    }
  }
  // There is room for another one.
  if (begun == ranges_.size() && begun < at_once) asked |= split_longest(database);
  return asked;
}

bool Reconciliation::split_longest(Database& database) {
  std::shared_ptr<KeyRange> longest;
  std::int64_t expected_max = 0;
  bool unknown = false;
  for (const auto& range : ranges_) {
    const auto position = range->position();
    if (!position) continue;
    const std::int64_t expected = spread(database).expected(*position, range->bounds().up_to);
    if (expected >= 2 * range_pages_min * run_->page_size && expected > expected_max) {
      longest = range;
      expected_max = expected;
    } else if (!longest && expected == 0 && range->pages_since_split() >= pages_before_split) {
      longest = range;
      unknown = true;
    }
  }
  if (!longest) return false;
  std::vector<std::string> keys;
  const std::string position = *longest->position();
  if (expected_max > 0)
    keys = spread(database).cut(position, longest->bounds().up_to, 2);
  else if (const auto ahead =
               unknown ? key_ahead(longest->first_key(), position, longest->bounds().up_to) : std::nullopt)
    keys.push_back(*ahead);
  longest->begin_anew();
  if (keys.empty()) return false;
  database.query("SELECT objectlink.split_range($1, $2, $3, $4, $5::text[])", store_, epoch_, run_->id,
                 longest->bounds().number, text_array(keys));
  const std::size_t before = ranges_.size();
  load_ranges(database);
  return ranges_.size() > before;
}

KeyRange::Outcome Reconciliation::compare_sums(Database& database, Time now) {
  std::vector<ComparedRange*> ready;
  std::vector<std::int64_t> numbers, listed, bytes, blocks, keys, contents;
  std::vector<std::string> afters;
  std::vector<std::optional<std::string>> bounds;
  for (const auto& any : ranges_) {
    ComparedRange* const range = any->awaiting_sums();
    if (!range) continue;
    ready.push_back(range);
    numbers.push_back(range->bounds().number);
    afters.push_back(range->bounds().after);
    std::int64_t ours = 0, held = 0;
    for (std::size_t i = 0; i < range->blocks().size(); ++i) {
      const KeyBlock& block = range->blocks()[i];
      ours += static_cast<std::int64_t>(block.ours);
      held += block.bytes;
      bounds.push_back(range->block_bound(i));
      keys.push_back(static_cast<std::int64_t>(block.keys));
      contents.push_back(static_cast<std::int64_t>(block.contents));
    }
    listed.push_back(ours);
    bytes.push_back(held);
    blocks.push_back(static_cast<std::int64_t>(range->blocks().size()));
  }
  if (ready.empty()) return KeyRange::Outcome::nothing;
  const Rows rows = database.query(
      "SELECT n.agree FROM unnest(objectlink.compare_sums($1, $2, $3, $4, $5, $6::int[], $7::text[], $8::int[], "
      "$9::bigint[], $10::int[], $11::text[], $12::bigint[], $13::bigint[])) WITH ORDINALITY AS n (agree, at) ORDER BY "
      "n.at",
      store_, epoch_, run_->id, std::exchange(run_->requests, 0), static_cast<std::int64_t>(run_->seed),
      int_array(numbers), text_array(afters), int_array(listed), int_array(bytes), int_array(blocks),
      text_array(bounds), int_array(keys), int_array(contents));
  if (rows.size() != ready.size()) return KeyRange::Outcome::stopped;
  for (std::size_t i = 0; i < ready.size(); ++i) {
    const std::string agree = rows.string(i, 0);
    if (agree.empty()) return KeyRange::Outcome::stopped;  // it is loaded anew
    ready[i]->set_agreement(agree, now);
  }
  return KeyRange::Outcome::progress;
}

void Reconciliation::finish() {
  spread_.reset();
  collecting_.reset();
  reading_.reset();
  ranges_.clear();
  run_.reset();
  look_now();
}

}  // namespace objectlink
