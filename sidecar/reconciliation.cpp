#include "reconciliation.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "log.hpp"
#include "retry.hpp"
#include "s3_xml_text.hpp"
#include "work.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds look_interval{1};     // for a run, while the store is busy anyway
constexpr unsigned page_tries_max = 5;  // of one page, before the run fails
constexpr Backoff page_backoff{milliseconds{200}, seconds{10}};
// Looks at objects leave the store room for its real work.
constexpr std::size_t looks_under_way_max = 16;
// Between the whole seconds of two of the store's clocks: what was written so shortly before a listing proves nothing of it.
constexpr seconds listing_slack{5};

// The store was not reached at all, which its health deals with.
bool is_outage(const S3Error& error) { return error.status == 0 && error.klass == ErrorClass::store; }

std::string text_of(const nlohmann::json& item, const char* name) {
  const auto& value = item.at(name);
  return value.is_null() ? std::string() : value.get<std::string>();
}

}  // namespace

void Reconciliation::keep_looking(Time now) {
  if (next_look_ == Time::max()) next_look_ = std::max(now, last_look_ + look_interval);
}

void Reconciliation::drop_page() {
  page_.reset();
  step_ = Step::idle;
  run_.reset();  // the database says whether it goes on
  tries_ = 0;
  look_now();
}

std::optional<Reconciliation::Time> Reconciliation::next_turn() const {
  if (step_ == Step::to_list) return not_before_;
  if (step_ == Step::listed || (step_ == Step::looking && page_->under_way == 0)) return Time{};
  if (step_ == Step::idle && next_look_ != Time::max() && last_look_ != Time{}) return next_look_;
  return std::nullopt;
}

bool Reconciliation::waits_to_ask(Time now) const {
  if (step_ == Step::looking) return page_->under_way == 0 && page_->next_look < page_->looks.size();
  return step_ == Step::to_list && now >= not_before_;
}

bool Reconciliation::look_for_run(Time now) {
  if (is_active() || now < last_look_ + look_interval) return false;
  look_now();
  return true;
}

// Somebody's open transaction decides about this run, or about one of its findings: no reason to give up the session.
bool Reconciliation::turn(Database& database, Time now, bool may_ask) {
  try {
    return step(database, now, may_ask);
  } catch (const DatabaseError& error) {
    if (!is_passing(error)) throw;
    log::warning("reconcile.waits", error.what(), {{"store", name_}, {"sqlstate", error.sqlstate()}});
    page_.reset();
    run_.reset();
    step_ = Step::idle;
    last_look_ = now;
    next_look_ = now + look_interval;
    return false;
  }
}

bool Reconciliation::step(Database& database, Time now, bool may_ask) {
  switch (step_) {
    case Step::idle: return now >= next_look_ && load(database, now);
    case Step::to_list:
      if (!may_ask || now < not_before_) return false;
      list(now);
      return true;
    case Step::listing: return false;
    case Step::listed: return compare(database, now);
    case Step::looking: return go_on_looking(database, now, may_ask);
  }
  return false;
}

bool Reconciliation::load(Database& database, Time now) {
  last_look_ = now;
  next_look_ = Time::max();
  const Rows rows =
      database.query("SELECT id, prefix, after_key, page_size FROM objectlink.next_run($1, $2)", store_, epoch_);
  if (rows.is_null(0, 0)) return false;
  run_.emplace();
  run_->id = rows.integer(0, 0);
  run_->prefix = rows.string(0, 1);
  run_->after = rows.string(0, 2);
  run_->page_size = static_cast<int>(rows.integer(0, 3));
  log::info("reconcile.started", run_->after.empty() ? "compares the store" : "goes on comparing the store",
            {{"store", name_}, {"run", run_->id}, {"prefix", run_->prefix}, {"after", run_->after}});
  tries_ = 0;
  not_before_ = now;
  step_ = Step::to_list;
  return true;
}

void Reconciliation::list(Time now) {
  step_ = Step::listing;
  ++requests_;
  page_ = std::make_shared<Page>();
  page_->asked_at = now;
  errand_.send(
      false,
      [prefix = run_->prefix, after = run_->after, size = run_->page_size](S3RequestBuilder& builder,
                                                                           const Signing& signing) {
        ListObjects list;
        list.prefix = prefix;
        list.start_after = after;
        list.max_keys = size;
        return builder.list_objects_v2(signing, list);
      },
      [this, page = page_, prefix = run_->prefix, after = run_->after](const HttpReply& reply) {
        if (page != page_) return;
        auto listed = read_listed_page(reply, prefix, after);
        page->store_time = store_time(reply);
        if (listed.ok()) {
          errand_.store_answered();
          page->listed = std::move(listed.value());
        } else {
          page->error = listed.error();
        }
        step_ = Step::listed;
      });
}

bool Reconciliation::compare(Database& database, Time now) {
  if (page_->error) return page_failed(database, now, *page_->error);
  const ListedPage& listed = *page_->listed;
  if (listed.foreign_keys > 0 && page_->begin == 0)
    log::warning("reconcile.foreign_keys", "the listing shows keys that the database cannot hold, which are left alone",
                 {{"store", name_}, {"run", run_->id}, {"count", listed.foreign_keys}, {"up_to", listed.up_to}});
  std::vector<std::string_view> keys;
  std::vector<std::int64_t> sizes;
  std::vector<std::string_view> etags;
  std::vector<std::optional<std::string>> ages;
  for (std::size_t i = page_->begin; i < listed.keys.size(); ++i) {
    const ListedKey& key = listed.keys[i];
    keys.push_back(key.key);
    sizes.push_back(key.size);
    etags.push_back(key.etag);
    ages.push_back(key.age ? std::optional(std::to_string(key.age->count())) : std::nullopt);
  }
  const auto since = std::chrono::ceil<milliseconds>(std::chrono::steady_clock::now() - page_->asked_at);
  const Rows rows = database.query(
      "SELECT objectlink.compare_page($1, $2, $3, $4, $5, $6::text[], $7::bigint[], $8::text[], $9::bigint[], $10, "
      "$11)",
      store_, epoch_, run_->id, run_->after, listed.last ? std::nullopt : std::optional(listed.up_to), text_array(keys),
      int_array(sizes), text_array(etags), text_array(ages), since.count(), std::exchange(requests_, 0));
  const auto reply = nlohmann::json::parse(rows.text(0, 0));
  if (reply.at("state") == "stopped") {
    finish();
    return true;
  }
  page_->reached = text_of(reply, "reached");
  page_->last = reply.at("reached").is_null();
  if (reply.at("looks").empty()) {
    advance(page_->reached, page_->last, now);
    return true;
  }
  page_->listed_count = reply.at("listed").get<std::int64_t>();
  page_->compared_count = reply.at("compared").get<std::int64_t>();
  page_->undecided_count = reply.at("undecided").get<std::int64_t>();
  page_->looks.clear();
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
  step_ = Step::looking;
  return true;
}

bool Reconciliation::go_on_looking(Database& database, Time now, bool may_ask) {
  Page& page = *page_;
  bool started = false;
  // After one that was not answered the others would fare no better; the page is asked for again.
  while (may_ask && !page.error && page.under_way < looks_under_way_max && page.next_look < page.looks.size()) {
    start_look(page_, page.looks[page.next_look++]);
    started = true;
  }
  if (started || page.under_way > 0) return started;
  if (page.next_look < page.looks.size() && !page.error) return false;  // the store is paused
  // One object that cannot be looked at must not keep the others from being compared for ever: at last it counts as unknown.
  if (page.error && (is_outage(*page.error) || tries_ + 1 < page_tries_max))
    return page_failed(database, now, *page.error);
  if (page.error && page.next_look < page.looks.size()) {
    page.error.reset();
    return true;
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
void Reconciliation::start_look(const std::shared_ptr<Page>& page, Look& look) {
  ++page->under_way;
  errand_.send(
      false,
      [key = look.key](S3RequestBuilder& builder, const Signing& signing) { return builder.head_object(signing, key); },
      [this, page, &look](const HttpReply& reply) {
        --page->under_way;
        if (page != page_) return;
        auto head = parse_head_object(reply);
        look.request_id = request_id_of(reply);
        if (head.ok()) {
          errand_.store_answered();
          look.sighting = judge_sighting(look.proved, head.value());
          look.head = std::move(head.value());
        } else if (head.error().klass == ErrorClass::not_found && errand_.bucket_is_known()) {
          errand_.store_answered();
          look.sighting = Sighting::absent;
        } else {
          tell_health(head.error());
          page->error = look.error = head.error();
        }
      });
}

// A listing that leaves out what a look shows, and what was there before it, is none.
const Reconciliation::Look* Reconciliation::hidden_from_listing() const {
  if (!page_->store_time) return nullptr;
  const auto begun = *page_->store_time - (std::chrono::steady_clock::now() - page_->asked_at);
  for (const Look& look : page_->looks) {
    // Of a key that XML cannot hold as it is nobody knows in which form it was listed.
    if (look.reason != "absent" || !look.sighting || *look.sighting == Sighting::absent || !xml_safe(look.key))
      continue;
    if (look.head.last_modified && *look.head.last_modified + listing_slack < begun) return &look;
  }
  return nullptr;
}

bool Reconciliation::conclude(Database& database, Time now) {
  auto looks = nlohmann::json::array();
  for (const Look& look : page_->looks) {
    nlohmann::json item{{"key", look.key},
                        {"reason", look.reason},
                        {"state", look.state},
                        {"since", look.since},
                        {"sighting", look.sighting ? to_string(*look.sighting) : "unknown"},
                        {"evidence", nlohmann::json::parse(look.evidence)},
                        {"request_id", presentable(look.request_id)}};
    if (look.sighting && *look.sighting != Sighting::absent) {
      item["size"] = look.head.size;
      item["etag"] = presentable(look.head.etag);
      item["version_id"] = presentable(look.head.version_id);
    }
    if (look.error) {
      item["error_code"] = presentable(look.error->code);
      item["message"] = presentable(message_of(*look.error));
    }
    looks.push_back(std::move(item));
  }
  const Rows rows =
      database.query("SELECT objectlink.conclude_page($1, $2, $3, $4, $5, $6, $7, $8, $9::json)", store_, epoch_,
                     run_->id, run_->after, page_->last ? std::nullopt : std::optional(page_->reached),
                     page_->listed_count, page_->compared_count, page_->undecided_count,
                     looks.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (rows.text(0, 0) == "stopped")
    finish();
  else
    advance(page_->reached, page_->last, now);
  return true;
}

void Reconciliation::advance(const std::string& reached, bool done, Time now) {
  tries_ = 0;
  if (done) {
    log::info("reconcile.done", "the store is compared", {{"store", name_}, {"run", run_->id}});
    return finish();
  }
  run_->after = reached;
  // The comparison may have covered less than the page: what is left of it is compared next.
  const auto& keys = page_->listed->keys;
  page_->begin = static_cast<std::size_t>(
      std::ranges::upper_bound(keys, reached, {}, [](const ListedKey& key) -> const std::string& { return key.key; }) -
      keys.begin());
  page_->looks.clear();
  page_->next_look = 0;
  const bool left = page_->listed->last || page_->begin < keys.size() || reached < page_->listed->up_to;
  not_before_ = now;
  step_ = left ? Step::listed : Step::to_list;
}

// A store that is down fails no run: it waits. What answers, and not with a page that can be believed, does after some tries.
bool Reconciliation::page_failed(Database& database, Time now, const S3Error& error) {
  if (is_outage(error)) {
    tell_health(error);
    not_before_ = now;
    step_ = Step::to_list;
    return true;
  }
  tell_health(error);
  log::warning("reconcile.page_failed", error.describe(),
               {{"store", name_}, {"run", run_->id}, {"after", run_->after}, {"tries", tries_ + 1}});
  if (++tries_ < page_tries_max) {
    not_before_ = now + retry_delay(page_backoff, tries_, error.retry_after, rng_);
    step_ = Step::to_list;
    return true;
  }
  database.query("SELECT objectlink.fail_run($1, $2, $3, $4, $5, $6)", store_, epoch_, run_->id, to_string(error.klass),
                 presentable(error.code), presentable(message_of(error)));
  log::error("reconcile.failed", error.describe(), {{"store", name_}, {"run", run_->id}});
  finish();
  return true;
}

// A right to list that lacks, or a listing that makes no sense, says nothing of uploads and deletions.
void Reconciliation::tell_health(const S3Error& error) {
  const bool answered = error.status != 0 && error.status < 500 && error.klass != ErrorClass::throttled &&
                        error.klass != ErrorClass::clock && error.klass != ErrorClass::redirect &&
                        error.klass != ErrorClass::credentials;
  if (!answered) errand_.store_failed(error);
}

void Reconciliation::finish() {
  page_.reset();
  run_.reset();
  step_ = Step::idle;
  look_now();
}

}  // namespace objectlink
