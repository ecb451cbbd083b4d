#include "compared_range.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "log.hpp"
#include "s3_xml_text.hpp"
#include "work.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// Looks at objects leave the store room for its real work.
constexpr std::size_t looks_under_way_max = 16;
// Between the whole seconds of two of the store's clocks: what was written so shortly before a listing proves nothing of it.
constexpr seconds listing_slack{5};
// An inventory need not have what was written shortly before it: "Amazon S3 Inventory consistency" in the user's guide
// (docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html) promises no more than that it will be in a later one.
constexpr std::chrono::hours inventory_slack{24};

std::string text_of(const nlohmann::json& item, const char* name) {
  const auto& value = item.at(name);
  return value.is_null() ? std::string() : value.get<std::string>();
}

}  // namespace

bool ComparedRange::wants_page(Time now) const {
  if (done_ || next_ || now < not_before_ || (page_ && !page_->listed)) return false;
  return !page_ || !page_->listed->last;
}

bool ComparedRange::waits_to_ask(Time now) const {
  return wants_page(now) || (is_looking() && page_->under_way == 0 && page_->next_look < page_->looks.size());
}

std::optional<ComparedRange::Time> ComparedRange::next_turn() const {
  if (done_) return Time{};
  if (is_looking()) {
    const bool waits = page_->under_way > 0 ||
                       (page_->next_look < page_->looks.size() && run_->looks_under_way >= looks_under_way_max);
    return waits ? std::nullopt : std::optional(Time{});
  }
  if (page_ || (next_ && next_->arrived)) return Time{};
  return next_ ? std::nullopt : std::optional(not_before_);
}

void ComparedRange::ask_for_page(Database& database, Time now) {
  begun_ = true;
  if (run_->collected)
    read_collected(database, now);
  else
    list(now);
}

void ComparedRange::list(Time now) {
  ++run_->requests;
  auto page = std::make_shared<Page>();
  next_ = page;
  page->asked_at = now;
  page->range_end = bounds_.up_to;
  const std::string after = page_ ? page_->listed->up_to : bounds_.after;
  errand_.send_and_read(
      [prefix = run_->prefix, after, size = run_->page_size](S3RequestBuilder& builder, const Signing& signing) {
        ListObjects list;
        list.prefix = prefix;
        list.start_after = after;
        list.max_keys = size;
        return builder.list_objects_v2(signing, list);
      },
      [page, after, prefix = run_->prefix, store_prefix = run_->store_prefix, seed = run_->seed](HttpReply& reply) {
        page->listed.reset();
        page->error.reset();
        auto listed = read_listed_page(reply, prefix, after);
        page->store_time = store_time(reply);
        if (!listed.ok()) {
          page->error = listed.error();
          return;
        }
        page->listed = std::move(listed.value());
        cut_page(*page->listed, page->range_end);
        page->blocks = sum_blocks(*page->listed, store_prefix, seed);
        std::string().swap(reply.body);
      },
      [self = shared_from_this(), page](const HttpReply& reply) {
        if (page != self->next_) return;
        page->arrived = true;
        if (!page->listed && !page->error) page->error = classify(reply);
        if (page->listed) self->errand_.store_answered();
      });
}

void ComparedRange::read_collected(Database& database, Time now) {
  auto page = std::make_shared<Page>();
  const std::string after = page_ ? page_->listed->up_to : bounds_.after;
  const Rows rows = database.query(
      "SELECT key, size, etag, age_ms, since_ms, store_time_ms FROM objectlink.collected_page($1, $2, $3, $4, $5)",
      run_->store, run_->epoch, run_->id, after, run_->page_size);
  if (rows.is_null(0, 4)) {
    run_->is_over = true;
    return;
  }
  const milliseconds since{rows.integer(0, 4)};
  page->asked_at = now - since;
  if (const auto time = rows.optional_integer(0, 5))
    page->store_time = std::chrono::system_clock::time_point(milliseconds{*time} + since);
  ListedPage listed;
  for (std::size_t row = 1; row < rows.size(); ++row) {
    std::optional<milliseconds> age;
    if (const auto ms = rows.optional_integer(row, 3)) age = milliseconds{*ms};
    listed.keys.push_back({rows.string(row, 0), rows.integer(row, 1), rows.string(row, 2), age});
  }
  listed.last = listed.keys.size() < static_cast<std::size_t>(run_->page_size);
  if (!listed.last) listed.up_to = listed.keys.back().key;
  cut_page(listed, bounds_.up_to);
  page->blocks = sum_blocks(listed, run_->store_prefix, run_->seed);
  page->listed = std::move(listed);
  page->range_end = bounds_.up_to;
  page->arrived = true;
  next_ = page;
}

// The page whose turn it is, as far as the range still goes.
void ComparedRange::take_next(Time now) {
  page_ = std::exchange(next_, nullptr);
  if (!page_->listed) return;
  if (page_->range_end != bounds_.up_to) {
    cut_page(*page_->listed, bounds_.up_to);
    page_->blocks = sum_blocks(*page_->listed, run_->store_prefix, run_->seed);
  }
  const ListedPage& listed = *page_->listed;
  ++pages_since_split_;
  if (first_key_.empty() && !listed.keys.empty()) first_key_ = listed.keys.front().key;
  if (listed.foreign_keys > 0)
    log::warning(
        "reconcile.foreign_keys", "the listing shows keys that the database cannot hold, which are left alone",
        {{"store", run_->store_name}, {"run", run_->id}, {"count", listed.foreign_keys}, {"up_to", listed.up_to}});
  not_before_ = now;
}

ComparedRange::Outcome ComparedRange::turn(Database& database, Time now, bool may_ask) {
  if (!page_ && next_ && next_->arrived) take_next(now);
  if (!page_ || awaits_sums()) return Outcome::nothing;
  if (is_looking()) return go_on_looking(database, now, may_ask);
  if (page_->error) return page_failed(database, now, *page_->error);
  return page_->agree[page_->block] == '1' ? pass_agreeing(database, now) : compare(database, now);
}

std::optional<std::string> ComparedRange::block_bound(std::size_t block) const {
  const ListedPage& listed = *page_->listed;
  if (block + 1 < page_->blocks.size()) return listed.keys[page_->blocks[block].end - 1].key;
  return listed.last ? bounds_.up_to : std::optional(listed.up_to);
}

void ComparedRange::set_agreement(const std::string& agree, Time now) {
  page_->agree = agree;
  if (agree.find('0') == std::string::npos) {
    page_->reached = block_bound(page_->blocks.size() - 1).value_or(std::string());
    end_page(now);
  }
}

ComparedRange::Outcome ComparedRange::pass_agreeing(Database& database, Time now) {
  const std::size_t end = std::min(page_->agree.find('0', page_->block), page_->blocks.size());
  std::int64_t ours = 0, bytes = 0;
  for (std::size_t block = page_->block; block < end; ++block) {
    ours += static_cast<std::int64_t>(page_->blocks[block].ours);
    bytes += page_->blocks[block].bytes;
  }
  const auto bound = block_bound(end - 1);
  const Rows rows = database.query("SELECT objectlink.pass_blocks($1, $2, $3, $4, $5, $6, $7, $8)", run_->store,
                                   run_->epoch, run_->id, bounds_.number, bounds_.after, bound, ours, bytes);
  return advance(rows.string(0, 0), bound.value_or(std::string()), !bound, now);
}

ComparedRange::Outcome ComparedRange::compare(Database& database, Time now) {
  const ListedPage& listed = *page_->listed;
  const std::size_t end_block = std::min(page_->agree.find('1', page_->block), page_->blocks.size());
  std::vector<std::string_view> keys;
  std::vector<std::int64_t> sizes;
  std::vector<std::string_view> etags;
  std::vector<std::optional<std::string>> ages;
  for (std::size_t i = page_->begin; i < page_->blocks[end_block - 1].end; ++i) {
    const ListedKey& key = listed.keys[i];
    keys.push_back(key.key);
    sizes.push_back(key.size);
    etags.push_back(key.etag);
    ages.push_back(key.age ? std::optional(std::to_string(key.age->count())) : std::nullopt);
  }
  const auto since = std::chrono::ceil<milliseconds>(std::chrono::steady_clock::now() - page_->asked_at);
  const Rows rows = database.query(
      "SELECT objectlink.compare_page($1, $2, $3, $4, $5, $6, $7::text[], $8::bigint[], $9::text[], "
      "$10::bigint[], $11, $12)",
      run_->store, run_->epoch, run_->id, bounds_.number, bounds_.after, block_bound(end_block - 1), text_array(keys),
      int_array(sizes), text_array(etags), text_array(ages), since.count(), std::exchange(run_->requests, 0));
  const auto reply = nlohmann::json::parse(rows.text(0, 0));
  if (reply.at("state") == "stopped") return Outcome::stopped;
  page_->reached = text_of(reply, "reached");
  page_->last = reply.at("reached").is_null();
  if (reply.at("looks").empty()) return advance(reply.at("state").get<std::string>(), page_->reached, page_->last, now);
  page_->listed_count = reply.at("listed").get<std::int64_t>();
  page_->listed_bytes = reply.at("bytes").get<std::int64_t>();
  page_->compared_count = reply.at("compared").get<std::int64_t>();
  page_->undecided_count = reply.at("undecided").get<std::int64_t>();
  page_->next_look = 0;
  for (const auto& item : reply.at("looks")) {
    Look look;
    look.key = text_of(item, "key");
    look.reason = text_of(item, "reason");
    look.state = text_of(item, "state");
    look.since = text_of(item, "since");
    look.evidence = item.at("evidence").dump();
    if (!item.at("size").is_null()) look.proved.size = item.at("size").get<std::int64_t>();
    look.proved.etag = text_of(item, "etag");
    look.proved.sha256 = sha256_from_hex(text_of(item, "sha256"));
    page_->looks.push_back(std::move(look));
  }
  return Outcome::progress;
}

ComparedRange::Outcome ComparedRange::go_on_looking(Database& database, Time now, bool may_ask) {
  Page& page = *page_;
  bool started = false;
  // After one that was not answered the others would fare no better; the page is asked for again.
  while (may_ask && !page.error && run_->looks_under_way < looks_under_way_max && page.next_look < page.looks.size()) {
    start_look(page_, page.looks[page.next_look++]);
    started = true;
  }
  if (started) return Outcome::progress;
  if (page.under_way > 0) return Outcome::nothing;
  if (page.next_look < page.looks.size() && !page.error) return Outcome::nothing;  // the store is paused, or busy
  // One object that cannot be looked at must not keep the others from being compared for ever: at last it counts as unknown.
  if (page.error && (is_outage(*page.error) || !tries_.is_last())) return page_failed(database, now, *page.error);
  if (page.error && page.next_look < page.looks.size()) {
    page.error.reset();
    return Outcome::progress;
  }
  if (const Look* hidden = hidden_from_listing()) {
    S3Error error;
    error.klass = ErrorClass::conflict;
    error.code = "ListingIncomplete";
    error.message = "the listing does not show an object that is there: " + hidden->key;
    error.status = 200;
    error.request_id = hidden->request_id;
    return page_failed(database, now, error);
  }
  return conclude(database, now);
}

// As look() in verify.hpp, but with the store's request id also of what is absent: the event has to name it.
void ComparedRange::start_look(const std::shared_ptr<Page>& page, Look& look) {
  ++page->under_way;
  ++run_->looks_under_way;
  errand_.send(
      false,
      [key = look.key](S3RequestBuilder& builder, const Signing& signing) { return builder.head_object(signing, key); },
      [self = shared_from_this(), page, &look](const HttpReply& reply) {
        --page->under_way;
        --self->run_->looks_under_way;
        if (page != self->page_) return;
        auto head = parse_head_object(reply);
        look.request_id = request_id_of(reply);
        if (head.ok()) {
          self->errand_.store_answered();
          look.sighting = judge_sighting(look.proved, head.value());
          look.age = age_at(store_time(reply), head.value().last_modified);
          look.head = std::move(head.value());
        } else if (head.error().klass == ErrorClass::not_found && self->errand_.bucket_is_known()) {
          self->errand_.store_answered();
          look.sighting = Sighting::absent;
        } else if (head.error().klass == ErrorClass::not_found && self->run_->collected) {
          self->ask_for_bucket(page, look);
        } else {
          tell_health(self->errand_, head.error());
          page->error = look.error = head.error();
        }
      });
}

// A page that was listed just now has shown the bucket; one that was collected has not.
void ComparedRange::ask_for_bucket(const std::shared_ptr<Page>& page, Look& look) {
  ++page->under_way;
  ++run_->looks_under_way;
  errand_.send(
      false, [](S3RequestBuilder& builder, const Signing& signing) { return builder.head_bucket(signing); },
      [self = shared_from_this(), page, &look](const HttpReply& reply) {
        --page->under_way;
        --self->run_->looks_under_way;
        if (page != self->page_) return;
        const auto bucket = parse_head_bucket(reply);
        if (bucket.ok()) {
          self->errand_.store_answered();
          look.sighting = Sighting::absent;
        } else {
          tell_health(self->errand_, bucket.error());
          page->error = look.error = bucket.error();
        }
      });
}

// A listing that leaves out what a look shows, and what was there before it, is none.
const ComparedRange::Look* ComparedRange::hidden_from_listing() const {
  if (!page_->store_time) return nullptr;
  const auto begun = *page_->store_time - (std::chrono::steady_clock::now() - page_->asked_at);
  for (const Look& look : page_->looks) {
    // Of a key that XML cannot hold as it is nobody knows in which form it was listed.
    if (look.reason != "absent" || !look.sighting || *look.sighting == Sighting::absent || !xml_safe(look.key))
      continue;
    const seconds slack = run_->from_inventory ? inventory_slack : listing_slack;
    if (look.head.last_modified && *look.head.last_modified + slack < begun) return &look;
  }
  return nullptr;
}

ComparedRange::Outcome ComparedRange::conclude(Database& database, Time now) {
  auto looks = nlohmann::json::array();
  for (const Look& look : page_->looks) {
    nlohmann::json item{{"key", look.key},
                        {"reason", look.reason},
                        {"state", look.state.empty() ? nlohmann::json() : nlohmann::json(look.state)},
                        {"since", look.since.empty() ? nlohmann::json() : nlohmann::json(look.since)},
                        {"sighting", look.sighting ? to_string(*look.sighting) : "unknown"},
                        {"evidence", nlohmann::json::parse(look.evidence)},
                        {"request_id", presentable(look.request_id)}};
    if (look.sighting && *look.sighting != Sighting::absent) {
      item["size"] = look.head.size;
      item["etag"] = presentable(look.head.etag);
      item["version_id"] = presentable(look.head.version_id);
      if (look.age) item["age_ms"] = look.age->count();
    }
    if (look.error) {
      item["error_code"] = presentable(look.error->code);
      item["message"] = presentable(message_of(*look.error));
    }
    looks.push_back(std::move(item));
  }
  const Rows rows = database.query(
      "SELECT objectlink.conclude_page($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::json)", run_->store, run_->epoch,
      run_->id, bounds_.number, bounds_.after, page_->last ? std::nullopt : std::optional(page_->reached),
      page_->listed_count, page_->listed_bytes, page_->compared_count, page_->undecided_count,
      looks.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  page_->looks.clear();
  return advance(rows.string(0, 0), page_->reached, page_->last, now);
}

ComparedRange::Outcome ComparedRange::advance(const std::string& state, const std::string& reached, bool to_the_end,
                                              Time now) {
  if (state == "stopped") return Outcome::stopped;
  tries_.succeeded();
  page_->error.reset();
  page_->reached = reached;
  const bool done = to_the_end || (bounds_.up_to && reached >= *bounds_.up_to);
  bounds_.after = reached;
  // The comparison may have covered less than these blocks: what is left of them is compared next.
  const auto& keys = page_->listed->keys;
  page_->begin = static_cast<std::size_t>(std::ranges::upper_bound(keys, reached, {}, &ListedKey::key) - keys.begin());
  while (page_->block + 1 < page_->blocks.size() && reached >= *block_bound(page_->block)) ++page_->block;
  if (done || (!page_->listed->last && reached >= page_->listed->up_to)) end_page(now);
  return state == "running" ? Outcome::progress : Outcome::stopped;
}

void ComparedRange::end_page(Time now) {
  tries_.succeeded();
  bounds_.after = page_->reached;
  done_ = page_->listed->last;
  page_.reset();
  not_before_ = now;
}

// A page out of order is no accident if the next one is too. One that leaves something out may be, unless nobody knows the order.
ComparedRange::Outcome ComparedRange::page_failed(Database& database, Time now, const S3Error& error) {
  const S3Error failure = error;  // it may stand in the page
  page_.reset();
  next_.reset();
  const bool out_of_order = failure.code == "ListingOutOfOrder" && tries_.count() > 0;
  const bool maybe = failure.code == "ListingIncomplete" && tries_.is_last() &&
                     errand_.traits().capabilities.list_order != Support::yes;
  if (!run_->collected && (out_of_order || maybe)) {
    run_->has_to_collect = true;
    return Outcome::stopped;
  }
  const auto again = tries_.failed(errand_, database, *run_, bounds_.after, failure, now);
  if (!again) return Outcome::stopped;
  not_before_ = *again;
  return Outcome::progress;
}

std::optional<std::string> ComparedRange::position() const {
  if (!begun_) return bounds_.after;
  if (done_ || (page_ && (!page_->listed || page_->listed->last))) return std::nullopt;
  if (next_ && next_->arrived)
    return next_->listed && !next_->listed->last ? std::optional(next_->listed->up_to) : std::nullopt;
  return page_ ? page_->listed->up_to : bounds_.after;
}

}  // namespace objectlink
