// Claim: read the marker, decide, look for others above and below, count the epoch up (committed), write if it is still the one
// that was read, read it back, confirm. See ownership.hpp and docs/architecture.md, "Ownership".
#include "ownership.hpp"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "log.hpp"
#include "s3_etag.hpp"
#include "s3_reply.hpp"
#include "s3_time.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// How long ago it was written, by the store's own clock: ours may differ.
std::optional<milliseconds> age_of(const HttpReply& reply, const HeadReply& head) {
  const std::string* const date = reply.header("date");
  const auto now = date ? parse_http_date(*date) : std::nullopt;
  if (!now || !head.last_modified) return std::nullopt;
  return std::max(milliseconds{0}, std::chrono::duration_cast<milliseconds>(*now - *head.last_modified));
}

MarkerSighting sighting(const HttpReply& reply, const HeadReply& head) {
  MarkerSighting seen;
  seen.etag = head.etag;
  seen.age = age_of(reply, head);
  const auto marker = parse_marker(reply.body);
  seen.kind = marker ? MarkerSighting::Kind::marker : MarkerSighting::Kind::unreadable;
  if (marker) seen.marker = *marker;
  return seen;
}

// Only the marker is refused, not the store: uploads and looks may well be allowed.
bool concerns_marker_only(const S3Error& error) {
  return error.status != 0 &&
         (error.code == "AccessDenied" || error.klass == ErrorClass::object || error.klass == ErrorClass::conflict ||
          error.klass == ErrorClass::not_found || error.code == "MethodNotAllowed" || error.code == "NotImplemented");
}

S3Error fault(std::string code, std::string message, const HttpReply* reply = nullptr) {
  S3Error error;
  error.klass = ErrorClass::conflict;
  error.code = std::move(code);
  error.message = std::move(message);
  error.status = reply ? reply->status : 1;
  return error;
}

// A restore, a promotion, another host or another start of it.
bool differs(const DatabaseIdentity& now, const DatabaseIdentity& before) {
  return now.timeline != before.timeline || now.boot != before.boot || !same_seat(now, before);
}

std::string describe(const DatabaseIdentity& who) {
  return "database " + who.name + " (system " + who.system + ", oid " + std::to_string(who.database) + ", timeline " +
         std::to_string(who.timeline) + ", store " + who.store + ") on " +
         (who.host.empty() ? "unknown host" : who.host) + ":" + std::to_string(who.port) + who.directory;
}

}  // namespace

Ownership::Ownership(Errand& errand, Database& database, int store, std::string name, std::int64_t epoch,
                     std::optional<bool> conditional)
    : errand_(errand),
      database_(database),
      store_(store),
      name_(std::move(name)),
      epoch_(epoch),
      conditional_(conditional),
      rng_(std::random_device{}()) {}

void Ownership::reload(std::string prefix, bool seat_check) {
  const bool first = key_.empty();
  const bool moved = !first && prefix != prefix_;
  prefix_ = std::move(prefix);
  seat_check_ = seat_check;
  key_ = marker_key(prefix_);
  const bool was_fenced = is_fenced();
  state_ = parse_marker_state(database_.query("SELECT objectlink.marker_state($1, $2)", store_, epoch_).text(0, 0));
  if (first) suspect_ = state_.confirmed && differs(state_.ours, state_.recorded);
  if (moved || is_fenced() || was_fenced) {
    known_.reset();
    lease_until_ = {};
    retry_at_ = {};
    failures_ = 0;
  }
  if (is_fenced()) {
    fence_text_ =
        database_.query("SELECT objectlink.fence_text($1) || ' ' || objectlink.fence_advice($1)", state_.fence)
            .string(0, 0);
    if (!was_fenced)
      log::error("store.fenced", fence_text_,
                 {{"store", name_}, {"reason", state_.fence}, {"ours", describe(state_.ours)}});
  } else if (const auto alone = fence_alone(state_, seat_check_); !alone.empty() && state_.accepted.empty()) {
    fence(alone, {});
  } else if (was_fenced) {
    log::info("store.adopted", "store is no longer fenced", {{"store", name_}, {"ours", describe(state_.ours)}});
  }
}

bool Ownership::needs_lease(Time now, bool wanted, bool in_use) const {
  if (wanted) return now >= lease_begun_ + renew_after || now >= lease_until_;
  // After a restore or a promotion nobody should have to find out by his first deletion what the marker says of it.
  return suspect_ || (in_use && !state_.confirmed);
}

bool Ownership::turn(Time now, bool wanted, bool in_use) {
  if (busy_) return false;
  lease_used_ |= wanted;
  const bool due = now >= retry_at_;
  if (is_fenced()) {
    if (state_.looked || !due) return false;
    look();
    return true;
  }
  if (unsettled_) {
    if (!due) return false;
    unsettled_ = false;
    busy_ = true;
    read_back();
    return true;
  }
  if (needs_lease(now, wanted, in_use)) {
    if (!due) return false;
    start();
    return true;
  }
  if (!wanted && lease_used_ && now >= lease_begun_ + release_after && known_) {
    release();
    return true;
  }
  return false;
}

bool Ownership::close() {
  if (busy_ || is_fenced() || !lease_used_ || !known_) return false;
  release();
  return true;
}

// A store that refuses no late write would let us overwrite a successor: there only a lease that has not run out says that
// nobody has come in between.
bool Ownership::may_write_over_known(Time now) const { return known_ && (conditional_ != false || now < lease_until_); }

std::optional<Ownership::Time> Ownership::next_turn(Time now, bool wanted, bool in_use) const {
  if (busy_) return std::nullopt;  // a reply ends the wait
  if (is_fenced()) return state_.looked ? std::nullopt : std::optional(retry_at_);
  if (unsettled_ || needs_lease(now, wanted, in_use)) return retry_at_;
  if (wanted) return lease_begun_ + renew_after;
  if (lease_used_ && known_) return lease_begun_ + release_after;
  return std::nullopt;
}

void Ownership::start() {
  busy_ = true;
  claim_ = {};
  if (may_write_over_known(steady_clock::now())) {
    // Renewed: whoever came in between makes the write fail.
    claim_.seen = *known_;
    claim_.checked = true;
    begin();
    return write();
  }
  read(key_, [this](const MarkerSighting& seen) { on_seen(seen); });
}

// What is there is shown to whoever decides about the fence.
void Ownership::look() {
  busy_ = true;
  read(key_, [this](const MarkerSighting& seen) {
    fence(std::string(state_.fence), to_found_json(seen, key_));
    finish();
  });
}

// Deletions are over: written once more, so that a database restored to a moment before any of them has a smaller epoch, and
// whoever takes over has not to wait.
void Ownership::release() {
  const bool may_write = may_write_over_known(steady_clock::now());
  lease_used_ = false;
  lease_until_ = {};
  if (!may_write) return known_.reset();
  busy_ = true;
  claim_ = {};
  claim_.seen = *known_;
  known_.reset();
  begin(true);
  put(key_, claim_.seen, [this](const HttpReply& reply) {
    const auto put = parse_put_object(reply);
    // If it did not succeed, the next claim reads what is there.
    if (put.ok()) errand_.store_answered();
    busy_ = false;
  });
}

void Ownership::read(const std::string& key, Seen then) {
  errand_.send(
      false,
      [key](S3RequestBuilder& builder, const Signing& signing) {
        return builder.get_object(signing, key, {}, {}, marker_bytes_max);
      },
      [this, then = std::move(then)](const HttpReply& reply) {
        const auto got = parse_get_object(reply);
        if (got.ok()) {
          errand_.store_answered();
          return then(sighting(reply, got.value()));
        }
        if (got.error().klass == ErrorClass::not_found) {
          errand_.store_answered();
          return then(MarkerSighting{});
        }
        failed(got.error());
      });
}

void Ownership::on_seen(const MarkerSighting& seen) {
  if (++claim_.rounds > rounds_max)
    return failed(fault("MarkerChanges", "the ownership marker is being changed again and again"));
  const MarkerVerdict verdict = decide(state_, seen, seat_check_);
  if (verdict.action == MarkerVerdict::Action::fence) {
    fence(verdict.fence, to_found_json(seen, key_));
    return finish();
  }
  suspect_ = false;
  if (verdict.action == MarkerVerdict::Action::wait) {
    log::info("store.waits", "waits until the last owner of the place can have nothing under way",
              {{"store", name_}, {"wait_ms", verdict.wait.count()}});
    return wait_until(steady_clock::now() + verdict.wait);
  }
  claim_.seen = seen;
  claim_.checked =
      false;  // what was looked at before a refused write may have changed, and nothing of ours is written yet
  claim_.created = seen.kind == MarkerSighting::Kind::absent;
  claim_.other_form = false;
  claim_.overlapping.clear();
  claim_.next = 0;
  list({}, 1);
}

// Which markers could be about places above or below ours?
void Ownership::list(const std::string& token, int page) {
  if (page > list_pages_max)
    return failed(fault("TooManyMarkers", "the bucket has more ownership markers than can be looked at"));
  errand_.send(
      false,
      [token](S3RequestBuilder& builder, const Signing& signing) {
        return builder.list_objects_v2(signing, {.prefix = marker_folder, .continuation_token = token});
      },
      [this, page](const HttpReply& reply) {
        const auto listed = parse_list_objects_v2(reply);
        if (!listed.ok()) return failed(listed.error());
        errand_.store_answered();
        for (const ListedObject& object : listed->objects) {
          if (object.key != key_ && may_overlap(object.key, prefix_)) claim_.overlapping.push_back(object.key);
        }
        if (claim_.overlapping.size() > overlapping_max) {
          return failed(
              fault("TooManyMarkers", "more ownership markers lie above or below the prefix than can be looked at"));
        }
        if (listed->truncated) return list(listed->next_token, page + 1);
        check_next();
      });
}

void Ownership::check_next() {
  if (claim_.next == claim_.overlapping.size()) {
    if (claim_.checked) return confirm();  // this was the second look, after the marker was created
    claim_.checked = true;
    begin();
    return write();
  }
  const std::string key = claim_.overlapping[claim_.next];
  read(key, [this, key](const MarkerSighting& seen) {
    ++claim_.next;
    if (!overlaps(seen, key, prefix_)) return check_next();
    const MarkerVerdict verdict = decide_overlap(state_, seen);
    if (verdict.action == MarkerVerdict::Action::fence) {
      fence(verdict.fence, to_found_json(seen, key));
      return finish();
    }
    if (verdict.action == MarkerVerdict::Action::wait) return wait_until(steady_clock::now() + verdict.wait);
    const bool foreign = seen.kind == MarkerSighting::Kind::unreadable ||
                         (seen.kind == MarkerSighting::Kind::marker && !same_database(seen.marker.owner, state_.ours));
    if (foreign) return take_overlapping(key, seen);
    check_next();
  });
}

// Adopted: its owner must lose it, not only we come beside it.
void Ownership::take_overlapping(const std::string& key, const MarkerSighting& seen) {
  begin();
  put(key, seen, [this](const HttpReply& reply) {
    const auto put = parse_put_object(reply);
    if (!put.ok()) {
      // Perhaps for the form of the ETag only: the next try uses the other one.
      if (put.error().klass == ErrorClass::conflict) quoted_ = !quoted_;
      return failed(put.error());
    }
    errand_.store_answered();
    check_next();
  });
}

void Ownership::begin(bool releasing) {
  claim_.begun = steady_clock::now();
  claim_.body =
      database_.query("SELECT objectlink.begin_marker($1, $2, $3)", store_, epoch_, releasing ? "true" : "false")
          .string(0, 0);
  const auto marker = parse_marker(claim_.body);
  claim_.nonce = marker ? marker->nonce : std::string();
  state_.epoch = marker ? marker->epoch : state_.epoch;
  state_.nonces.push_back(claim_.nonce);
  if (state_.nonces.size() > nonces_max) state_.nonces.erase(state_.nonces.begin());
}

// Writes what begin() has made, if what is there is still what was seen.
void Ownership::put(const std::string& key, const MarkerSighting& over, Transport::Done done) {
  const bool absent = over.kind == MarkerSighting::Kind::absent;
  // RGW compares If-Match with the bare ETag; the standard wants quotes. Whichever is refused is tried in the other form.
  std::string condition(bare_etag(over.etag));
  if (quoted_) condition = '"' + condition + '"';
  if (absent || conditional_ == false) condition.clear();
  // By value: the request may outlive this object.
  errand_.send(
      true,
      [key, condition, if_none_match = absent && conditional_ != false,
       body = std::make_shared<const std::string>(claim_.body)](S3RequestBuilder& builder, const Signing& signing) {
        PutObject put;
        put.key = key;
        put.body = body;
        put.content_type = "application/json";
        put.if_none_match = if_none_match;
        put.if_match = condition;
        return builder.put_object(signing, put);
      },
      std::move(done));
}

void Ownership::write() {
  put(key_, claim_.seen, [this](const HttpReply& reply) {
    const auto put = parse_put_object(reply);
    if (put.ok()) {
      errand_.store_answered();
      if (!conditional_) return prove_conditions();
      if (*conditional_) return read_back();
      unsettled_ = true;
      return wait_until(steady_clock::now() + settle_time);
    }
    const S3Error& error = put.error();
    if (error.code == "NotImplemented" && conditional_ != false) {
      conditional_ = false;
      return write();
    }
    if (error.klass == ErrorClass::conflict) return on_refused_write();
    // It may have been written: then it is ours, and the next claim finds that out.
    known_.reset();
    failed(error);
  });
}

// The condition did not hold, or the store does not understand it.
void Ownership::on_refused_write() {
  known_.reset();
  read(key_, [this](const MarkerSighting& seen) {
    const bool unchanged = seen.fingerprint() == claim_.seen.fingerprint() && same_etag(seen.etag, claim_.seen.etag);
    if (!unchanged) return on_seen(seen);
    if (seen.kind == MarkerSighting::Kind::absent || std::exchange(claim_.other_form, true))
      take_for_weak();
    else
      quoted_ = !quoted_;
    write();
  });
}

// It carries out a write whose condition does not hold, or refuses one whose condition does (RGW, where a bucket is versioned).
void Ownership::take_for_weak() {
  conditional_ = false;
  log::warning("store.weak",
               "the store does not refuse a late write of the ownership marker, so its protection is weaker",
               {{"store", name_}});
}

// The same write once more, under a condition that no longer holds: a store that carries it out honours none. It changes nothing.
void Ownership::prove_conditions() {
  put(key_, claim_.seen, [this](const HttpReply& reply) {
    const auto put = parse_put_object(reply);
    if (!put.ok() && put.error().klass != ErrorClass::conflict) return failed(put.error());
    errand_.store_answered();
    if (!put.ok()) {
      conditional_ = true;
      return read_back();
    }
    take_for_weak();
    unsettled_ = true;
    wait_until(steady_clock::now() + settle_time);
  });
}

void Ownership::read_back() {
  read(key_, [this](const MarkerSighting& seen) {
    if (seen.kind != MarkerSighting::Kind::marker || seen.marker.nonce != claim_.nonce) {
      known_.reset();
      return on_seen(seen);
    }
    claim_.etag = seen.etag;
    claim_.seen = seen;
    if (!std::exchange(claim_.created, false)) return confirm();
    // Two that came to a fresh place at once each wrote before this look, so at least one of them sees the other.
    claim_.overlapping.clear();
    claim_.next = 0;
    list({}, 1);
  });
}

void Ownership::confirm() {
  database_.query("SELECT objectlink.confirm_marker($1, $2, $3, $4, $5)", store_, epoch_, claim_.nonce, claim_.etag,
                  *conditional_ ? "true" : "false");
  if (!state_.confirmed || !state_.accepted.empty()) {
    log::info("store.owned", "the place in the bucket is marked as this database's",
              {{"store", name_}, {"marker", key_}, {"epoch", state_.epoch}});
  }
  state_.confirmed = true;
  state_.accepted.clear();
  state_.recorded = state_.ours;
  known_ = claim_.seen;
  lease_begun_ = claim_.begun;
  lease_until_ = claim_.begun + marker_lease;
  failures_ = 0;
  refusal_.clear();
  finish();
}

void Ownership::fence(std::string_view why, const std::string& found) {
  lease_until_ = {};
  known_.reset();
  unsettled_ = false;
  const bool news = state_.fence != why;
  state_.fence = why;
  state_.looked = !found.empty();
  fence_text_ = database_
                    .query("SELECT objectlink.fence_store($1, $2, $3, $4::jsonb)", store_, epoch_, state_.fence,
                           found.empty() ? std::nullopt : std::optional<std::string>(found))
                    .string(0, 0);
  if (news) {
    log::error("store.fenced", fence_text_,
               {{"store", name_},
                {"reason", state_.fence},
                {"ours", describe(state_.ours)},
                {"epoch", state_.epoch},
                {"theirs", found}});
  }
}

void Ownership::wait_until(Time when) {
  retry_at_ = when;
  busy_ = false;
}

void Ownership::failed(const S3Error& error) {
  const bool refused = concerns_marker_only(error);
  if (!refused) errand_.store_failed(error);
  const std::string message = error.describe();
  if (refused && refusal_ != message) {
    log::error("store.marker", "the ownership marker cannot be read or written, so nothing is deleted",
               {{"store", name_}, {"reason", message}});
  }
  if (refused) refusal_ = message;
  database_.query("SELECT objectlink.fail_marker($1, $2, $3)", store_, epoch_, message);
  const Backoff& backoff = refused ? refused_retry : retry;
  // Half of it is fixed, so that a store which answers at once is not asked without end.
  const milliseconds pause = backoff_ceiling(backoff, failures_) / 2 + full_jitter(backoff, failures_, rng_) / 2;
  failures_ = std::min(failures_ + 1, 16u);
  wait_until(steady_clock::now() + pause);
}

void Ownership::finish() {
  busy_ = false;
  retry_at_ = {};
}

}  // namespace objectlink
