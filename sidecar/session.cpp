#include "session.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "exit_code.hpp"
#include "log.hpp"
#include "process_identity.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr int outbox_resource = 0;
constexpr seconds lease{10};  // objectlink.lease(): the successor counts on it
constexpr seconds refresh_interval{5};
constexpr seconds refresh_interval_max{60};
constexpr milliseconds settings_check_interval{100};
constexpr milliseconds idle_wait_min{10};
constexpr milliseconds soon{1000};  // --once waits for what is due within this
constexpr const char* channel = "objectlink";

// Options as text, whatever JSON type they came in.
std::variant<StoreOptions, OptionProblem> read_options(const std::string& json) {
  const auto parsed = nlohmann::json::parse(json);
  std::vector<std::pair<std::string, std::string>> texts;
  for (const auto& [name, value] : parsed.items()) texts.emplace_back(name, value.get<std::string>());
  std::vector<OptionText> options;
  for (const auto& [name, value] : texts) options.push_back({name, value});
  auto result = parse_store_options(options);
  if (const auto* read = std::get_if<StoreOptions>(&result)) {
    if (auto missing = find_missing_option(*read)) return *missing;
  }
  return result;
}

}  // namespace

Session::Session(const Config& config, Database& database, Transport& transport, Metrics& metrics, Health& health,
                 StopSignal& stop)
    : context_{config, database, transport, metrics, health, static_cast<std::int64_t>(config.payload_memory_bytes)},
      health_(health),
      stop_(stop) {}

int Session::run() {
  Database& database = context_.database;
  database.listen(channel);
  worker_ = database
                .query("SELECT objectlink.register_worker($1, $2, $3)", context_.config.name, OBJECTLINK_VERSION,
                       own_process_identity())
                .integer(0, 0);
  log::info("session.started", "connected and at work",
            {{"worker", worker_}, {"server", database.server_description()}});
  bool done = false;  // --once, and nothing is left to do: it stops as after a signal
  while (true) {
    const Time now = steady_clock::now();
    const bool stopping = done || stop_.requested();
    health_.heartbeat();
    context_.transport.set_lease(database.last_round_trip_start() + lease);
    if (now >= next_refresh_) {
      if (stopping)
        keep_alive(now);
      else
        refresh(now);
    }
    if (turn(now, stopping)) {
      idle_wait_ = milliseconds{0};
      nothing_due_ = false;
      continue;
    }
    if (stopping && (is_quiet() || now >= stop_.deadline())) break;
    done = context_.config.once && nothing_due_ && is_quiet() && !rows_due_before(now + soon) && !probe_is_due();
    if (!done) wait(now);
  }
  const bool quiet = is_quiet();
  const bool stuck = std::any_of(stores_.begin(), stores_.end(), [](const auto& store) {
    return store.second->is_blocked() || store.second->is_braked();
  });
  if (quiet) release_all();
  log::info("session.ended", quiet ? "stopped with nothing under way" : "stopped with requests under way",
            {{"worker", worker_}});
  return quiet && !(context_.config.once && stuck) ? exit_code::ok : exit_code::work_left;
}

bool Session::turn(Time now, bool stopping) {
  bool progress = context_.transport.take_replies() > 0;
  if (!is_quiet()) {  // then nobody looks into the database for what else there is: see look()
    if (drainer_) drainer_->keep_looking();
    for (auto& [id, store] : stores_) store->keep_fetching();
  }
  if (drainer_ && !stopping && drainer_->turn(now)) {
    progress = true;
    // What was applied may have been committed after a store's settings were changed: they must hold for it.
    if (now >= next_settings_check_) check_settings(now);
    for (auto& [id, store] : stores_) store->fetch_now();
  }
  const auto mood = stopping                            ? OwnedStore::Mood::stopping
                    : drainer_ && drainer_->is_behind() ? OwnedStore::Mood::behind
                                                        : OwnedStore::Mood::normal;
  for (auto& [id, store] : stores_) progress |= store->turn(now, mood);
  if (row_writer_ && progress) row_writer_->look_soon(now);
  if (row_writer_ && !stopping) progress |= row_writer_->turn(now);
  return progress;
}

bool Session::rows_due_before(Time time) const {
  const auto next = row_writer_ ? row_writer_->next_turn() : std::nullopt;
  return next && *next <= time;
}

// Of a store that the daemon before has left paused, what is due soon finds out whether that is over.
bool Session::probe_is_due() {
  std::vector<std::int64_t> ids;
  for (const auto& [id, store] : stores_) {
    if (store->is_untried()) ids.push_back(id);
  }
  if (ids.empty()) return false;
  const auto due = context_.database.query("SELECT due_in_ms FROM objectlink.look($1::int[], '(0,0)')", int_array(ids))
                       .optional_integer(0, 0);
  return due && *due <= soon.count();
}

bool Session::is_quiet() const {
  return std::all_of(stores_.begin(), stores_.end(), [](const auto& store) { return store.second->is_quiet(); });
}

// Nothing to do right now: looks (at growing intervals, because a writer may have looked for a sleeper just before there
// was one) and waits for a notification, a reply, or a stop.
void Session::wait(Time now) {
  Time until = now + context_.config.poll_interval;
  if (drainer_ && !drainer_->fall_asleep()) return;
  for (const auto& [id, store] : stores_) {
    if (const auto next = store->next_turn()) until = std::min(until, *next);
  }
  idle_wait_ = std::clamp(idle_wait_ * 2, idle_wait_min, context_.config.poll_interval);
  if (row_writer_ && !stop_.requested()) until = std::min(until, row_writer_->next_turn().value_or(until));
  until = std::min({until, now + idle_wait_, next_refresh_});
  const auto due = look(now);
  if (due) until = std::min(until, now + *due);

  const auto pause = std::chrono::ceil<milliseconds>(until - steady_clock::now());
  const bool notified = pause.count() > 0 && context_.database.wait_notification(pause, stop_.wake_up());
  if (notified) idle_wait_ = milliseconds{0};
  if (notified && drainer_) drainer_->look_now();
  if (row_writer_) row_writer_->look_soon(steady_clock::now());  // another daemon may have settled something
  if (due && *due <= pause) {
    for (auto& [id, store] : stores_) store->fetch_now();
  }
}

// In how long is something due, as far as the database knows? While requests are under way nothing is asked: their replies
// end the wait, and the turns look by themselves.
std::optional<milliseconds> Session::look(Time now) {
  nothing_due_ = false;
  if (!is_quiet()) return std::nullopt;
  std::vector<std::int64_t> ids;
  for (const auto& [id, store] : stores_) {
    if (store->is_idle(now)) ids.push_back(id);
  }
  const Rows rows =
      context_.database.query("SELECT outbox, due_in_ms, settings, runs FROM objectlink.look($1::int[], $2::tid)",
                              int_array(ids), drainer_ ? drainer_->position(now) : "(0,0)");
  if (rows.text(0, 2) != settings_) next_refresh_ = now;
  if (rows.boolean(0, 3)) {
    bool looks = false;
    for (auto& [id, store] : stores_) looks |= store->look_for_upkeep(now);
    if (looks) return milliseconds{0};
  }
  if (drainer_ && rows.boolean(0, 0)) {
    drainer_->look_now();
    return std::max(milliseconds{0}, std::chrono::ceil<milliseconds>(drainer_->postponed_until() - now));
  }
  const auto due = rows.optional_integer(0, 1);
  const bool all_idle = std::all_of(stores_.begin(), stores_.end(), [now](const auto& store) {
    return store.second->is_idle(now) || store.second->is_blocked();
  });
  nothing_due_ = all_idle && (!due || *due > soon.count());
  return due ? std::optional(milliseconds{*due}) : std::nullopt;
}

void Session::check_settings(Time now) {
  next_settings_check_ = now + settings_check_interval;
  const Rows rows = context_.database.query("SELECT settings FROM objectlink.look('{}', '(0,0)')");
  if (rows.text(0, 0) != settings_) refresh_stores(now);
}

// Nothing new is begun, but what is under way may need several requests more, and so the lease.
void Session::keep_alive(Time now) {
  next_refresh_ = now + refresh_interval;
  context_.database.ping();
}

void Session::refresh(Time now) {
  if (!drainer_) {
    if (const auto acquired = acquire(outbox_resource)) {
      drainer_epoch_ = acquired->epoch;
      drainer_ =
          std::make_unique<Drainer>(context_.database, context_.metrics, acquired->epoch, context_.config.batch_size);
      row_writer_ = std::make_unique<RowWriter>(context_.database, acquired->epoch);
      log::info("outbox.acquired", "applies the outbox from now on", {{"epoch", acquired->epoch}});
    }
  }
  const std::size_t usable = refresh_stores(now);
  // Somebody else's may become free at any time; otherwise only settings change, and every look sees that.
  const bool everything_owned = drainer_ && stores_.size() == usable;
  next_refresh_ = now + (everything_owned ? refresh_interval_max : refresh_interval);
}

std::size_t Session::refresh_stores(Time now) {
  // Before them: what is altered while they are read differs from it at the next look.
  const std::string settings =
      context_.database.query("SELECT settings FROM objectlink.look('{}', '(0,0)')").string(0, 0);
  const Rows rows = context_.database.query("SELECT store_id, store, options::text FROM objectlink.store_settings()");
  std::set<int> usable;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const int id = static_cast<int>(rows.integer(row, 0));
    if (refresh_store(id, rows.string(row, 1), rows.string(row, 2), now)) usable.insert(id);
  }
  release_unusable(usable);
  settings_ = settings;
  return usable.size();
}

// Takes over new settings, or the store itself if nobody owns it. False: it can't be used as it is set up.
bool Session::refresh_store(int id, const std::string& name, const std::string& options_text, Time now) {
  std::string& known_text = options_of_[id];
  const bool changed = known_text != options_text;
  known_text = options_text;
  const auto owned = stores_.find(id);
  if (owned != stores_.end() && !changed) {
    owned->second->reload_ownership();
    return !owned->second->is_retired();
  }

  const auto options = read_options(options_text);
  if (const auto* problem = std::get_if<OptionProblem>(&options)) {
    health_.set_store_broken(name, problem->option + ": " + problem->detail);
    unusable_[id] = name;
    if (changed) {
      log::error("store.options", "store cannot be used",
                 {{"store", name}, {"option", problem->option}, {"reason", problem->detail}});
    }
    return false;
  }
  const auto& read = std::get<StoreOptions>(options);
  if (const auto was = unusable_.extract(id)) health_.set_store_well(was.mapped());
  if (owned != stores_.end()) {
    owned->second->set_options(read);
  } else if (const auto acquired = acquire(id)) {
    stores_.emplace(id, std::make_unique<OwnedStore>(context_, StoreIdentity{id, name, acquired->epoch}, read,
                                                     now + acquired->wait));
    log::info("store.acquired", "works for this store from now on",
              {{"store", name}, {"epoch", acquired->epoch}, {"wait_ms", acquired->wait.count()}});
  }
  return true;
}

// Stores whose server was dropped, or can't be used any more: what is under way ends first.
void Session::release_unusable(const std::set<int>& usable) {
  std::erase_if(stores_, [this, &usable](const auto& entry) {
    const auto& [id, store] = entry;
    if (usable.contains(id)) return false;
    store->retire();
    if (!store->is_quiet()) return false;
    context_.database.query("SELECT objectlink.release($1, $2)", id, store->identity().epoch);
    context_.database.query("SELECT objectlink.unlock($1)", id);
    return true;
  });
  std::erase_if(unusable_, [this](const auto& entry) {
    const auto& [id, name] = entry;
    const bool dropped = context_.database.query("SELECT FROM objectlink.server WHERE name = $1", name).empty();
    if (dropped) health_.set_store_well(name);
    return dropped;
  });
}

std::optional<Session::Acquired> Session::acquire(int resource) {
  const Rows rows =
      context_.database.query("SELECT epoch, wait_ms, last_process FROM objectlink.acquire($1, $2)", resource, worker_);
  if (rows.is_null(0, 0)) return std::nullopt;
  const std::string last = rows.string(0, 2);
  // An owner that is certainly dead sends nothing any more; nor do we ourselves, after everything under way has ended.
  const bool nobody_left =
      is_certainly_dead(last) || (last == own_process_identity() && context_.transport.active() == 0);
  return Acquired{rows.integer(0, 0), milliseconds{nobody_left ? 0 : rows.integer(0, 1)}};
}

void Session::release_all() {
  for (const auto& [id, store] : stores_) {
    context_.database.query("SELECT objectlink.release($1, $2)", id, store->identity().epoch);
  }
  if (drainer_) context_.database.query("SELECT objectlink.release($1, $2)", outbox_resource, drainer_epoch_);
}

}  // namespace objectlink
