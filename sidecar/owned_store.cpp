#include "owned_store.hpp"

#include <algorithm>
#include <random>
#include <utility>

#include "log.hpp"
#include "phase_timer.hpp"
#include "s3_reply.hpp"
#include "verify.hpp"
#include "witness.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

// A full pass over what is due finds what the low-water mark hides; it is spaced at this many times its own duration.
constexpr int full_fetch_spacing = 20;
constexpr milliseconds full_fetch_interval_min{1000};
constexpr milliseconds paused_fetch_interval{500};
constexpr milliseconds idle_fetch_interval{50};  // due times pass without anybody telling
constexpr std::size_t settle_batch = 500;
constexpr milliseconds settle_delay_max{20};
constexpr milliseconds barrier_look_interval{5};
constexpr seconds brake_look_interval{2};  // while a store is braked: whether somebody has released it
constexpr seconds bucket_memory{60};       // how long an answer of the store proves that the bucket exists
constexpr std::int64_t content_piece_bytes = 1 << 20;
constexpr Backoff absent_backoff{milliseconds{200}, seconds{30}};  // a link whose object may still be on its way
constexpr seconds witness_interval{10};
constexpr seconds look_after_interval{15};
constexpr std::size_t failed_among_others_max = 10'000;
constexpr Backoff refused_backoff{milliseconds{200}, seconds{30}};  // nobody knows yet whether it is only this object
constexpr Backoff undeleted_backoff{seconds{1}, std::chrono::minutes{10}};

StoreConnection connection_of(const StoreOptions& options, const Capabilities& capabilities) {
  StoreConnection connection;
  connection.endpoint.endpoint = options.endpoint;
  connection.endpoint.bucket = options.bucket;
  connection.endpoint.region = options.region;
  connection.endpoint.path_style = options.path_style;
  connection.endpoint.connect_timeout = options.connect_timeout;
  connection.endpoint.request_timeout = options.request_timeout;
  connection.endpoint.ca_file = options.ca_file;
  connection.endpoint.checksums = capabilities.checksums == Support::yes;
  connection.profile = options.credentials;
  connection.concurrency = options.concurrency;
  return connection;
}

std::mt19937_64& session_rng() {
  static std::mt19937_64 rng{std::random_device{}()};
  return rng;
}

}  // namespace

OwnedStore::OwnedStore(SessionContext& context, StoreIdentity identity, const StoreOptions& options, Time usable_at)
    : context_(context),
      identity_(std::move(identity)),
      options_(options),
      usable_at_(usable_at),
      health_(session_rng()()),
      uploads_(*this, context.content_bytes_free),
      requests_(*this, context.transport, context.metrics, identity_.id, identity_.name, session_rng()()),
      removal_(*this, identity_.id, identity_.epoch),
      known_(*this, identity_.id, identity_.epoch, identity_.name),
      ownership_(*this, context.database, identity_.id, identity_.name, identity_.epoch),
      upkeep_(*this, context.metrics, identity_.id, identity_.epoch, identity_.name, session_rng()()),
      scrub_(*this, context.metrics, identity_.id, identity_.epoch, identity_.name) {
  take_over_status();
  set_options(options);
}

// A store that was paused when a daemon ended is no better for that: whoever begins finds out by a probe.
void OwnedStore::take_over_status() {
  const Rows rows = context_.database.query("SELECT * FROM objectlink.store_status($1)", identity_.id);
  if (rows.string(0, 0) != "paused") return;
  health_.begin_paused(steady_clock::now());
  last_failure_.emplace();
  last_failure_->klass = error_class_named(rows.string(0, 1));
  last_failure_->code = rows.string(0, 2);
  last_failure_->message = rows.string(0, 3);
  status_changed_ = false;
}

OwnedStore::~OwnedStore() {
  context_.health.set_store_well(identity_.name);
  context_.metrics.forget_store(identity_.name);
}

void OwnedStore::set_options(const StoreOptions& options) {
  retired_ = false;
  options_ = options;
  requests_.set_concurrency_max(options.concurrency);
  bucket_seen_.reset();
  health_.probe_now(steady_clock::now());
  upkeep_.drop();
  // --once ends when nothing is due, and scrubbing never does.
  scrub_.configure(options.scrub_interval.count() > 0 && !context_.config.once, options.scrub_rate);
  reload_ownership();  // first: nothing that was meant for the old place may go to the new one
  known_.set_options(options);
  known_.take_checksums_changed();
  region_learned_.clear();
  connect();
}

void OwnedStore::connect() {
  StoreConnection connection = connection_of(options_, traits().capabilities);
  if (!region_learned_.empty()) connection.endpoint.region = region_learned_;
  context_.transport.configure(identity_.id, std::move(connection));
  requests_.show_pace();
}

// What the store can do is found out when there is something to delete, or an upload has shown that it works; not before. A run that
// changes nothing goes by what is recorded.
bool OwnedStore::find_out(Time now) {
  const bool wanted = wants_to_delete() || std::exchange(upload_proved_, false);
  const bool has_use = wanted || upkeep_.is_looking();
  const bool ready = !has_use || known_.ready(context_.database, now, wanted && !health_.is_paused());
  if (known_.take_checksums_changed()) connect();
  return ready;
}

void OwnedStore::reload_ownership() {
  ownership_.reload(options_.prefix, options_.seat_check);
  set_bounds();
  show_state();
}

// Scrubbing comes after everything else. A store that is never idle is not scrubbed, which view scrub_progress shows.
bool OwnedStore::has_nothing_else_to_do(Mood mood) const {
  return mood == Mood::normal && taken_.empty() && results_.empty() && !requests_.next_repeat() &&
         !upkeep_.is_looking() && !ownership_.is_fenced() && !ownership_.is_suspect();
}

bool OwnedStore::turn(Time now, Mood mood) {
  may_scrub_ = false;
  bool progress = requests_.send_again(now, mood == Mood::stopping || retired_ || health_.is_paused());
  progress |= settle_results(now);
  if (status_changed_) record_status();
  known_.record(context_.database);
  if (mood == Mood::stopping && is_quiet() && !health_.is_paused()) progress |= ownership_.close();
  if (mood == Mood::stopping || retired_ || now < usable_at_) return progress;
  // While the store is paused only a probe may ask it anything; who comes first may be the marker's.
  if (!health_.is_paused() || now >= *health_.paused_until())
    progress |= ownership_.turn(now, wants_to_delete(), in_use_);
  progress |= follow_ownership(now);
  const bool found_out = !ownership_.is_fenced() && find_out(now);
  if (found_out && (mood == Mood::normal || removal_.at_barrier())) {
    progress |= removal_.turn(context_.database, now, ownership_.may_delete(now));
  }
  for (const std::string& key : removal_.take_returned()) taken_.erase(key);
  if (removal_.take_refused() || now >= next_brake_check_) check_brake(now);
  progress |= start_uploads();
  progress |= fetch(now);
  progress |= upkeep_.turn(context_.database, now, leave_for_upkeep(now, found_out));
  may_scrub_ = has_nothing_else_to_do(mood);
  std::size_t looks = Scrub::requests_max;
  if (health_.is_paused())
    looks =
        may_scrub_ && scrub_.waits_to_ask(now) ? health_.allowance(now, taken_.size() + requests_.under_way(), 1) : 0;
  progress |= scrub_.turn(context_.database, now, may_scrub_, looks);
  look_after(now);
  context_.metrics.set_in_flight(identity_.name, static_cast<double>(requests_.under_way()));
  context_.metrics.set_queue(identity_.name, static_cast<double>(taken_.size()));
  if (breaker_shown_ != health_.breaker()) {
    breaker_shown_ = health_.breaker();
    context_.metrics.set_breaker(identity_.name, breaker_shown_);
    record_status();
  }
  return progress;
}

StoreUpkeep::Leave OwnedStore::leave_for_upkeep(Time now, bool found_out) {
  StoreUpkeep::Leave leave;
  leave.may_ask = !health_.is_paused();
  leave.may_copy = leave.may_ask && !ownership_.is_suspect();
  leave.may_delete = found_out && ownership_.may_delete(now);
  // Of a paused store only a probe may ask anything.
  const bool may_probe = health_.is_paused() && upkeep_.waits_to_ask(now) &&
                         health_.allowance(now, taken_.size() + requests_.under_way(), 1) > 0;
  if (leave.may_ask || may_probe) leave.run_requests = requests_for_run();
  return leave;
}

// A run takes half of what the store bears, and leaves most of that to objects that wait. A probe is one request.
std::size_t OwnedStore::requests_for_run() const {
  if (health_.is_paused()) return 1;
  return std::max<std::size_t>(1, requests_.at_once() / (taken_.empty() ? 2 : 8));
}

std::optional<OwnedStore::Time> OwnedStore::next_turn() const {
  const auto work = next_work();
  auto run = upkeep_.next_turn();
  if (const auto scrub = may_scrub_ ? scrub_.next_turn() : std::nullopt) run = run ? std::min(*run, *scrub) : *scrub;
  if (!run) return work;
  // While the probe of somebody else is under way there is nothing to do but wait for it.
  if (const auto paused_until = health_.paused_until())
    run = std::max({*run, *paused_until, steady_clock::now() + paused_fetch_interval});
  run = std::max(*run, usable_at_);
  return work ? std::min(*work, *run) : *run;
}

std::optional<OwnedStore::Time> OwnedStore::next_work() const {
  const Time now = steady_clock::now();
  if (now < usable_at_) return usable_at_;
  if (!results_.empty()) return results_since_ + settle_delay_max;
  if (const auto repeat = requests_.next_repeat())
    return std::min(*repeat, now + barrier_look_interval * (removal_.at_barrier() ? 1 : 10));
  if (removal_.at_barrier()) return now + barrier_look_interval;
  const auto marker = ownership_.next_turn(now, wants_to_delete(), in_use_);
  if (health_.is_paused()) {
    // What was taken before waits for its marker's probe; otherwise the probe is fetched.
    const Time probe = taken_.empty() ? next_fetch_ : marker.value_or(now + paused_fetch_interval);
    return std::max({now, *health_.paused_until(), probe});
  }
  if (taken_.empty() && !ownership_.is_fenced()) return marker ? std::optional(std::max(now, *marker)) : std::nullopt;
  return std::max(now, std::min(next_fetch_, marker.value_or(Time::max())));
}

// Fenced: what would delete or upload goes back, and stays due. No longer fenced: it is fetched again.
bool OwnedStore::follow_ownership(Time now) {
  set_bounds();
  if (ownership_.refusal() != refusal_shown_) {
    refusal_shown_ = ownership_.refusal();
    show_state();
  }
  if (ownership_.is_fenced() == fence_followed_) return false;
  fence_followed_ = ownership_.is_fenced();
  if (fence_followed_) {
    removal_.give_up(context_.database, "the store is fenced");
    for (const std::string& key : uploads_.drop()) taken_.erase(key);
  }
  next_full_fetch_ = {};
  next_fetch_ = now;
  show_state();
  return true;
}

void OwnedStore::set_bounds() {
  const Time destroys = ownership_.lease_until();
  if (bound_ == destroys) return;
  bound_ = destroys;
  Transport::Bounds bounds;
  bounds.destroys = destroys;
  if (ownership_.is_fenced()) bounds.changes = Time::min();
  context_.transport.set_bounds(identity_.id, bounds);
}

void OwnedStore::show_state() {
  const bool fenced = ownership_.is_fenced();
  const bool paused = health_.is_paused();
  std::string broken;
  if (fenced)
    broken = "fenced: " + ownership_.fence_text();
  else if (paused)
    broken = last_failure_ ? last_failure_->describe() : "paused";
  else if (!ownership_.refusal().empty())
    broken = "ownership marker: " + ownership_.refusal();
  else if (brake_reason_)
    broken = "deletions are braked: " + *brake_reason_;
  if (broken.empty())
    context_.health.set_store_well(identity_.name);
  else
    context_.health.set_store_broken(identity_.name, broken);
  context_.metrics.set_store_state(identity_.name, fenced          ? "fenced"
                                                   : paused        ? "paused"
                                                   : brake_reason_ ? "braked"
                                                                   : "active");
}

bool OwnedStore::fetch(Time now) {
  const auto window = static_cast<std::size_t>(context_.config.batch_size) * 2;
  // Half a window of room before the next fetch: many small fetches would cost more than they bring.
  if (taken_.size() > window / 2) return false;
  const std::size_t room = health_.allowance(now, taken_.size(), window - taken_.size());
  if (room == 0) return false;
  if (now < next_fetch_) return false;
  const bool full = now >= next_full_fetch_ || health_.is_paused() || std::exchange(fetch_all_, false);

  const PhaseTimer timer(context_.metrics, Phase::fetch);
  // A full pass sees again what is already taken.
  const std::size_t limit = full ? room + taken_.size() : room;
  const Rows rows = context_.database.query("SELECT * FROM objectlink.due_work($1, $2::timestamptz, $3)", identity_.id,
                                            full ? std::string("-infinity") : low_, static_cast<std::int64_t>(limit));
  const Time fetched_at = last_fetch_ = steady_clock::now();
  const auto spacing = std::max<steady_clock::duration>(full_fetch_interval_min, timer.elapsed() * full_fetch_spacing);
  if (full) next_full_fetch_ = fetched_at + spacing;

  std::size_t fetched = 0;
  for (Work& work : read_work(rows)) {
    low_ = work.due_at;
    if (!taken_.insert(work.key).second) continue;
    dispatch(std::move(work));
    ++fetched;
  }
  // There may be more than this fetch was allowed to see; otherwise what falls due next falls due by time.
  if (rows.size() < limit) next_fetch_ = next_fetch_after(fetched_at);
  // All that may not be done stays due, and is passed over each time.
  if (ownership_.is_fenced()) next_fetch_ = fetched_at + spacing;
  if (!expired_.empty()) {
    context_.database.query("SELECT objectlink.expire_reserved($1, $2, $3::text[])", identity_.id, identity_.epoch,
                            text_array(expired_));
    for (const std::string& key : expired_) taken_.erase(key);
    expired_.clear();
  }
  in_use_ |= fetched > 0;
  if (fetched > 0) start_uploads();
  return fetched > 0;
}

// With nothing in hand, the session's own look says when there is something again (but not of a paused store).
OwnedStore::Time OwnedStore::next_fetch_after(Time fetched_at) const {
  if (health_.is_paused()) return fetched_at + paused_fetch_interval;
  return taken_.empty() ? Time::max() : fetched_at + idle_fetch_interval;
}

void OwnedStore::fetch_now() {
  if (next_fetch_ == Time::max()) fetch_all_ = true;
  next_fetch_ = {};
}

void OwnedStore::keep_fetching() {
  upkeep_.keep_looking(steady_clock::now());
  if (next_fetch_ == Time::max()) next_fetch_ = last_fetch_ + idle_fetch_interval;
}

void OwnedStore::dispatch(Work work) {
  if (work.state == "reserved")
    expired_.push_back(work.key);
  else if (work.state == "unlinked" || work.state == "deleting") {
    work.alone = failed_among_others_.contains(work.key);
    removal_.add(std::move(work));
  } else if (work.payload)
    uploads_.add(std::move(work));
  else
    verify(*this, std::move(work));
}

bool OwnedStore::start_uploads() {
  if (ownership_.is_suspect()) return false;
  const auto begun = uploads_.begin({static_cast<std::int64_t>(options_.multipart_threshold_bytes),
                                     static_cast<std::int64_t>(options_.part_size_bytes)});
  for (const std::string& key : begun.gone) taken_.erase(key);
  return begun.any;
}

std::string OwnedStore::read_content(const std::string& key, std::int64_t offset, std::int64_t length) {
  std::string content;
  content.reserve(static_cast<std::size_t>(length));
  while (length > 0) {
    const std::int64_t piece = std::min(length, content_piece_bytes);
    const Rows rows =
        context_.database.query("SELECT objectlink.read_payload($1, $2, $3, $4)", identity_.id, key, offset, piece);
    if (rows.empty() || rows.is_null(0, 0)) break;
    content += rows.bytes(0, 0);
    offset += piece;
    length -= piece;
  }
  return content;
}

void OwnedStore::send(bool mutating, Transport::Build build, Transport::Done done) {
  requests_.send(mutating ? StoreRequests::Kind::changes : StoreRequests::Kind::looks, std::move(build),
                 std::move(done));
}

void OwnedStore::send_and_read(Transport::Build build, Transport::Read read, Transport::Done done) {
  requests_.send(StoreRequests::Kind::looks, std::move(build), std::move(done), std::move(read));
}

void OwnedStore::destroy(Transport::Build build, Transport::Done done) {
  requests_.send(StoreRequests::Kind::destroys, std::move(build), std::move(done));
}

// What is stuck is found by whoever owns its store, and counted.
void OwnedStore::look_after(Time now) {
  if (now < next_look_after_) return;
  next_look_after_ = now + look_after_interval;
  const Rows rows = context_.database.query("SELECT what, label, number FROM objectlink.look_after($1, $2)",
                                            identity_.id, identity_.epoch);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::string what = rows.string(row, 0);
    const double number = rows.real(row, 2);
    if (what != "requeued") {
      context_.metrics.set_watched(identity_.name, what, rows.string(row, 1), number);
    } else if (number > 0) {
      context_.metrics.count_requeued(identity_.name, static_cast<std::uint64_t>(number));
      log::warning("store.stuck", "objects without a due time were found and are due again",
                   {{"store", identity_.name}, {"objects", static_cast<std::int64_t>(number)}});
      fetch_now();
    }
  }
}

void OwnedStore::store_answered() {
  bucket_seen_ = steady_clock::now();
  if (!health_.succeeded()) return;
  status_changed_ = true;
  next_full_fetch_ = {};
  next_fetch_ = {};
  log::info("store.resumed", "store answers again", {{"store", identity_.name}});
  show_state();
}

// Only condemning can find that there is too much, so a store that is not braked is not asked about.
void OwnedStore::check_brake(Time now) {
  const Rows rows = context_.database.query("SELECT braked, reason FROM objectlink.brake_of($1)", identity_.id);
  const bool braked = rows.boolean(0, 0);
  next_brake_check_ = braked ? now + brake_look_interval : Time::max();
  if (braked == is_braked()) return;
  if (braked) {
    brake_reason_ = rows.string(0, 1);
    log::error("store.braked", "too much is to be deleted at once: no deletion begins until release_brake()",
               {{"store", identity_.name}, {"reason", *brake_reason_}});
  } else {
    brake_reason_.reset();
    log::info("store.released", "deletions go on", {{"store", identity_.name}});
    fetch_now();
  }
  show_state();
}

void OwnedStore::store_failed(const S3Error& error) { report_failure(error); }

bool OwnedStore::bucket_is_known() const { return bucket_seen_ && steady_clock::now() - *bucket_seen_ < bucket_memory; }

void OwnedStore::settle(Result result) {
  uploads_.ended(result.key);
  context_.metrics.count_operation(identity_.name, result.cause, to_string(result.outcome));
  if (result.outcome == Outcome::stored && std::string_view(result.cause) == "upload") {
    context_.metrics.count_uploaded_bytes(identity_.name, static_cast<std::uint64_t>(result.size.value_or(0)));
    upload_proved_ = true;
  }
  if (result.error) context_.metrics.count_error(identity_.name, to_string(result.error->klass));
  if (result.outcome == Outcome::stored || result.outcome == Outcome::gone)
    blame_.succeeded(kind_of(result.cause), steady_clock::now());
  if (result.outcome != Outcome::retry && result.outcome != Outcome::unknown) {
    blame_.forget(result.key);
    failed_among_others_.erase(result.key);
  }
  if (results_.empty()) results_since_ = steady_clock::now();
  results_.push_back(std::move(result));
}

void OwnedStore::settle_error(const Work& work, const char* cause, const S3Error& error) {
  Result result = result_for(work, cause, Outcome::retry);
  result.error = error;
  result.put_unknown = error.outcome_unknown && std::string_view(cause) == "upload";
  const bool deleting = work.state == "deleting";
  if (costs_an_attempt(work, cause, error)) {
    result.counted = true;
    if (work.attempts + 1 >= attempts_max(error, work.max_attempts)) result.outcome = Outcome::failed;
    result.retry_after =
        full_jitter(deleting ? undeleted_backoff : absent_backoff, static_cast<unsigned>(work.attempts), session_rng());
  } else {
    report_failure(error);
    result.retry_after = health_.retry_delay(error, steady_clock::now());
    if (weight_of(error) == ErrorWeight::refused)
      result.retry_after =
          std::max(result.retry_after,
                   full_jitter(refused_backoff, static_cast<unsigned>(blame_.failures_of(work.key)), session_rng()));
  }
  // It may be what makes others fail. Not when the store is in a hurry: many alone would be worse.
  if (error.of_one_key && error.klass != ErrorClass::throttled && failed_among_others_.size() < failed_among_others_max)
    failed_among_others_.insert(work.key);
  result.delete_unknown = deleting && error.outcome_unknown;
  if (result.delete_unknown && result.outcome == Outcome::retry) result.outcome = Outcome::unknown;
  settle(std::move(result));
}

bool OwnedStore::costs_an_attempt(const Work& work, const char* cause, const S3Error& error) {
  const Time now = steady_clock::now();
  const ErrorWeight weight = weight_of(error);
  const WorkKind kind = kind_of(cause);
  if (weight == ErrorWeight::final || weight == ErrorWeight::counted) {
    store_answered();
    if (error.klass == ErrorClass::not_found) blame_.succeeded(kind, now);
    return true;
  }
  const Blame::Verdict verdict = blame_.failed(work.key, kind, weight, now);
  if (verdict == Blame::Verdict::ask) consider_witness(now);
  return verdict == Blame::Verdict::object;
}

// Nothing else has shown whether the store does this for anybody. Not of one that can't be reached, nor where nothing of ours may
// be written.
void OwnedStore::consider_witness(Time now) {
  if (witness_asked_ || now < next_witness_ || retired_ || ownership_.is_fenced() || ownership_.is_suspect()) return;
  witness_asked_ = true;
  next_witness_ = now + witness_interval;
  ask_witness(
      *this, "store-" + std::to_string(identity_.id) + "-" + std::to_string(identity_.epoch),
      [this](WorkKind kind) {
        blame_.succeeded(kind, steady_clock::now());
        store_answered();
      },
      [this] { witness_asked_ = false; });
}

void OwnedStore::report_failure(const S3Error& error) {
  // A reply that fails a thousand keys is one failure of the store.
  if (std::exchange(failure_reported_, true)) return;
  if (error.klass == ErrorClass::clock && error.server_time) {
    const auto offset = std::chrono::duration_cast<milliseconds>(*error.server_time - std::chrono::system_clock::now());
    context_.transport.set_clock_offset(identity_.id, offset);
    log::warning("store.clock", "our clock differs from the store's",
                 {{"store", identity_.name}, {"offset_ms", offset.count()}});
  } else if (error.klass == ErrorClass::redirect && !error.region.empty()) {
    region_learned_ = error.region;
    context_.transport.set_region(identity_.id, error.region);
    log::warning("store.region", "the bucket is in another region than option region says",
                 {{"store", identity_.name}, {"option", options_.region}, {"region", error.region}});
  }
  if (!health_.failed(error, steady_clock::now())) {
    return explain_pause(error);
  }
  last_failure_ = error;
  context_.transport.drop_queued(identity_.id);  // or a store that hangs would get them one timeout after the other
  status_changed_ = true;
  next_fetch_ = {};
  bucket_seen_.reset();
  log::error("store.paused", "store is not usable, waiting",
             {{"store", identity_.name},
              {"class", to_string(error.klass)},
              {"code", error.code},
              {"reason", error.describe()}});
  show_state();
  if (error.code_is_guessed) ask_why();
}

// A later failure says more than the one that began the pause, if that had no body.
void OwnedStore::explain_pause(const S3Error& error) {
  if (!health_.is_paused() || !last_failure_ || !last_failure_->code_is_guessed || error.code_is_guessed ||
      error.status == 0)
    return;
  last_failure_ = error;
  status_changed_ = true;
}

// The refusal of a HEAD does not tell a wrong key from a missing right; that of a GET does.
void OwnedStore::ask_why() {
  send(
      false,
      [prefix = options_.prefix](S3RequestBuilder& builder, const Signing& signing) {
        ListObjects list;
        list.prefix = prefix;
        list.max_keys = 1;
        return builder.list_objects_v2(signing, list);
      },
      [this](const HttpReply& reply) {
        const auto listed = parse_list_objects_v2(reply);
        if (!listed.ok()) explain_pause(listed.error());
      });
}

void OwnedStore::record_status() {
  status_changed_ = false;
  const bool paused = health_.is_paused();
  const S3Error* why = paused && last_failure_ ? &*last_failure_ : nullptr;
  const auto text = [why](const std::string& value) { return why ? std::optional<std::string>(value) : std::nullopt; };
  context_.database.query("SELECT objectlink.set_store_status($1, $2, $3, $4, $5, $6, $7)", identity_.id,
                          identity_.epoch, paused ? "paused" : "ok",
                          text(why ? std::string(to_string(why->klass)) : ""), text(why ? why->code : ""),
                          text(why ? message_of(*why) : ""), std::string_view(health_.breaker()) == "half_open");
}

// Results are settled together: one by one they would cost the database more than the store.
bool OwnedStore::settle_results(Time now) {
  if (results_.empty()) return false;
  if (requests_.under_way() > 0 && results_.size() < settle_batch && now - results_since_ < settle_delay_max)
    return false;
  const PhaseTimer timer(context_.metrics, Phase::settle);
  // In the order in which apply locks the same rows.
  std::sort(results_.begin(), results_.end(), [](const Result& a, const Result& b) { return a.key < b.key; });
  context_.database.query("SELECT objectlink.settle($1, $2, $3::json)", identity_.id, identity_.epoch,
                          to_json(results_));
  for (const Result& result : results_) taken_.erase(result.key);
  results_.clear();
  return true;
}

}  // namespace objectlink
