#include "scrub.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "log.hpp"
#include "s3_error.hpp"
#include "work.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr seconds look_interval{60};            // for something to do, where the database names no time
constexpr milliseconds round_pause_min{1000};   // between two rounds, however short the interval is
constexpr milliseconds empty_batch_pause{100};  // of a range of keys that holds nothing to look at

std::string text_of(const nlohmann::json& item, const char* name) {
  const auto& value = item.at(name);
  return value.is_null() ? std::string() : value.get<std::string>();
}

}  // namespace

void Scrub::configure(bool on, double requests_per_second) {
  on_ = on;
  rate_.set(requests_per_second);
  batch_.reset();
  next_look_ = {};
  if (!on_) metrics_.forget_scrub(name_);
}

// Somebody's open transaction has locked one of the objects: no reason to give up the session.
bool Scrub::turn(Database& database, Time now, bool idle, std::size_t requests) {
  if (!on_) return false;
  try {
    if (!batch_) return idle && now >= next_look_ && load(database, now);
    const bool asked = idle && ask(now, requests);
    const auto done = [](const Item& item) { return item.examination->is_done(); };
    if (!std::ranges::all_of(batch_->items, done)) return asked;
    conclude(database, now);
    return true;
  } catch (const DatabaseError& error) {
    if (!is_passing(error)) throw;
    log::warning("scrub.waits", error.what(), {{"store", name_}, {"sqlstate", error.sqlstate()}});
    batch_.reset();
    next_look_ = now + round_pause_min;
    return false;
  }
}

bool Scrub::waits_to_ask(Time now) {
  const auto may_ask = [now](const Item& item) { return item.examination->may_ask(now); };
  return on_ && batch_ && rate_.allowance(now) > 0 && std::ranges::any_of(batch_->items, may_ask);
}

std::optional<Scrub::Time> Scrub::next_turn() const {
  if (!on_) return std::nullopt;
  if (!batch_) return next_look_;
  std::optional<Time> next;
  std::size_t under_way = 0;
  for (const Item& item : batch_->items) {
    const Examination& examination = *item.examination;
    if (examination.is_asking()) ++under_way;
    if (examination.is_done() || examination.is_asking()) continue;
    next = next ? std::min(*next, examination.not_before()) : examination.not_before();
  }
  if (under_way >= requests_max) return std::nullopt;
  if (next) return std::max(*next, rate_.next());
  return under_way > 0 ? std::nullopt : std::optional(Time{});
}

bool Scrub::load(Database& database, Time now) {
  const Rows rows = database.query(
      "SELECT round, after_key, reached, wait_ms, objects, proved_since FROM objectlink.next_scrub($1, $2)", store_,
      epoch_);
  show_round(rows);
  if (rows.is_null(0, 0)) {
    const auto wait = rows.optional_integer(0, 3);
    next_look_ = now + (wait ? std::clamp<milliseconds>(milliseconds{*wait}, round_pause_min, look_interval)
                             : milliseconds{look_interval});
    return false;
  }
  batch_ = Batch{};
  Batch& batch = *batch_;
  batch.round = rows.integer(0, 0);
  batch.after = rows.string(0, 1);
  if (!rows.is_null(0, 2)) batch.reached = rows.string(0, 2);
  if (batch.after.empty())
    log::info("scrub.round", "proves the store's objects anew", {{"store", name_}, {"round", batch.round}});
  for (const auto& object : nlohmann::json::parse(rows.text(0, 4))) {
    ProvedContent proved;
    if (!object.at("size").is_null()) proved.size = object.at("size").get<std::int64_t>();
    proved.etag = text_of(object, "etag");
    proved.sha256 = sha256_from_hex(text_of(object, "sha256"));
    batch.items.push_back({std::make_shared<Examination>(errand_, text_of(object, "key"), std::move(proved),
                                                         object.at("read").get<bool>()),
                           text_of(object, "state"), text_of(object, "since")});
  }
  return true;
}

bool Scrub::ask(Time now, std::size_t requests) {
  const auto asking = [](const Item& item) { return item.examination->is_asking(); };
  std::size_t under_way = static_cast<std::size_t>(std::ranges::count_if(batch_->items, asking));
  std::size_t allowed = std::min(requests, rate_.allowance(now));
  bool asked = false;
  for (Item& item : batch_->items) {
    if (under_way >= requests_max || allowed == 0) break;
    if (!item.examination->may_ask(now)) continue;
    item.examination->ask();
    rate_.take(1);
    --allowed;
    ++under_way;
    asked = true;
  }
  return asked;
}

void Scrub::conclude(Database& database, Time now) {
  auto looks = nlohmann::json::array();
  for (const Item& item : batch_->items) {
    const Examination& seen = *item.examination;
    const char* const sighting = seen.sighting() ? to_string(*seen.sighting()) : "unknown";
    metrics_.count_operation(name_, "scrub", sighting);
    metrics_.count_scrubbed_bytes(name_, static_cast<std::uint64_t>(seen.read_bytes()));
    nlohmann::json look{{"key", seen.key()},
                        {"state", item.state},
                        {"since", item.since},
                        {"sighting", sighting},
                        {"read_bytes", seen.read_bytes()},
                        {"request_id", presentable(seen.request_id())}};
    if (seen.sighting() && *seen.sighting() != Sighting::absent) {
      look["size"] = seen.head().size;
      look["etag"] = presentable(seen.head().etag);
      look["version_id"] = presentable(seen.head().version_id);
      if (seen.digest()) look["sha256"] = hex(*seen.digest());
      look["content_differs"] = seen.content_differs();
    }
    if (seen.error()) {
      look["error_code"] = presentable(seen.error()->code);
      look["message"] = presentable(message_of(*seen.error()));
    }
    if (seen.sighting() && *seen.sighting() != Sighting::same)
      log::warning("scrub.differs", "an object is not what was proved of it",
                   {{"store", name_}, {"round", batch_->round}, {"seen", sighting}, {"request_id", seen.request_id()}});
    looks.push_back(std::move(look));
  }
  database.query("SELECT objectlink.conclude_scrub($1, $2, $3, $4, $5, $6::json)", store_, epoch_, batch_->round,
                 batch_->after, batch_->reached, looks.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  next_look_ = batch_->items.empty() ? now + empty_batch_pause : now;
  batch_.reset();
}

void Scrub::show_round(const Rows& rows) {
  if (!rows.is_null(0, 5)) metrics_.set_scrubbed_since(name_, rows.real(0, 5));
}

}  // namespace objectlink
