// What does the daemon do for one store that it owns? Fetches what is due, hands it to the jobs, settles their results.
// Lives as long as the ownership: one epoch of one session. Loop's thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "blame.hpp"
#include "config.hpp"
#include "core/store_options.hpp"
#include "database.hpp"
#include "errand.hpp"
#include "health.hpp"
#include "known_store.hpp"
#include "metrics.hpp"
#include "ownership.hpp"
#include "pending_uploads.hpp"
#include "remove.hpp"
#include "scrub.hpp"
#include "store_health.hpp"
#include "store_requests.hpp"
#include "store_upkeep.hpp"
#include "transport.hpp"

namespace objectlink {

// What all stores of a session share. References outlive the stores.
struct SessionContext {
  const Config& config;
  Database& database;
  Transport& transport;
  Metrics& metrics;
  Health& health;
  std::int64_t content_bytes_free;  // of Config::payload_memory_bytes
};

struct StoreIdentity {
  int id = 0;
  std::string name;
  std::int64_t epoch = 0;
};

class OwnedStore final : private Errand, private StoreRequests::Owner {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // usable_at: before it the owner before may still have requests under way.
  OwnedStore(SessionContext& context, StoreIdentity identity, const StoreOptions& options, Time usable_at);
  ~OwnedStore() override;
  OwnedStore(const OwnedStore&) = delete;
  OwnedStore& operator=(const OwnedStore&) = delete;

  void set_options(const StoreOptions& options);
  // Somebody may have fenced or adopted it. Throws DatabaseError.
  void reload_ownership();
  const StoreIdentity& identity() const { return identity_; }

  // One turn: settles, moves deletions on, fetches. True if something happened. Throws DatabaseError.
  enum class Mood { normal, behind, stopping };  // behind: the outbox is, so no deletion is begun; stopping: nothing is
  bool turn(Time now, Mood mood);

  // Something has become due: the next turn fetches.
  void fetch_now();
  // Nobody looks for this store: it has to do so itself, now and then.
  void keep_fetching();
  // A run of reconcile_storage(), or the object of a finding that is to be deleted, waits for one of the stores. False: this
  // one has just looked for its own.
  bool look_for_upkeep(Time now) { return upkeep_.look(now); }

  // Nothing handed to the store any more, and nothing to settle.
  bool is_quiet() const { return results_.empty() && requests_.under_way() == 0; }
  // Nothing fetched either, and ready to fetch: what is due is all in the database.
  bool is_idle(Time now) const {
    return taken_.empty() && is_quiet() && !upkeep_.is_active() && !health_.is_paused() && !ownership_.is_fenced() &&
           now >= usable_at_;
  }
  // What is due cannot be done now: paused, fenced, or not to be claimed.
  bool is_blocked() const { return health_.is_paused() || ownership_.is_fenced() || !ownership_.refusal().empty(); }
  // A pause that this daemon has not tried yet: what is due is worth a probe.
  bool is_untried() const { return health_.is_untried() && !ownership_.is_fenced() && ownership_.refusal().empty(); }
  bool is_braked() const { return brake_reason_.has_value(); }

  // Begins nothing any more, whatever the mood.
  void retire() { retired_ = true; }
  bool is_retired() const { return retired_; }

  // When it has to be turned at the latest, whatever else happens.
  std::optional<Time> next_turn() const;

 private:
  void send(bool mutating, Transport::Build build, Transport::Done done) override;
  void send_and_read(Transport::Build build, Transport::Read read, Transport::Done done) override;
  void destroy(Transport::Build build, Transport::Done done) override;
  std::string read_content(const std::string& key, std::int64_t offset, std::int64_t length) override;
  void settle(Result result) override;
  void store_answered() override;
  void store_failed(const S3Error& error) override;
  void settle_error(const Work& work, const char* cause, const S3Error& error) override;
  bool bucket_is_known() const override;
  const StoreTraits& traits() const override { return known_.traits(); }
  void reply_came(const HttpReply& reply) override { known_.saw_reply(reply); }
  void before_completion() override { failure_reported_ = false; }
  bool may_repeat() const override { return !health_.is_paused() && !retired_; }

  std::optional<Time> next_work() const;
  bool wants_to_delete() const { return removal_.waiting() > 0 || upkeep_.waits_to_delete(); }
  bool settle_results(Time now);
  bool fetch(Time now);
  Time next_fetch_after(Time fetched_at) const;
  void dispatch(Work work);
  bool start_uploads();
  bool find_out(Time now);
  StoreUpkeep::Leave leave_for_upkeep(Time now, bool found_out);
  std::size_t requests_for_run() const;
  void look_after(Time now);
  bool has_nothing_else_to_do(Mood mood) const;
  void connect();
  void take_over_status();
  void consider_witness(Time now);
  bool follow_ownership(Time now);
  void set_bounds();
  void show_state();
  void record_status();
  void check_brake(Time now);
  bool costs_an_attempt(const Work& work, const char* cause, const S3Error& error);
  void report_failure(const S3Error& error);
  void explain_pause(const S3Error& error);
  void ask_why();

  SessionContext& context_;
  const StoreIdentity identity_;
  StoreOptions options_;
  std::string region_learned_;  // from the store; until the options change
  const Time usable_at_;
  StoreHealth health_;
  Blame blame_;
  PendingUploads uploads_;
  StoreRequests requests_;
  Removal removal_;
  KnownStore known_;
  Ownership ownership_;
  StoreUpkeep upkeep_;
  Scrub scrub_;
  bool may_scrub_ = false;       // as the last turn found it
  bool fence_followed_ = false;  // what is fenced has been given back
  std::string refusal_shown_;
  bool in_use_ = false;        // something was ever fetched
  std::optional<Time> bound_;  // as the transport knows it

  std::unordered_set<std::string> taken_;  // keys fetched and not yet settled or given back
  std::vector<std::string> expired_;       // reserved, due: go back as unlinked
  Time next_look_after_{};
  const char* breaker_shown_ = "";
  std::unordered_set<std::string> failed_among_others_;
  bool witness_asked_ = false;  // and has not ended
  Time next_witness_{};
  bool failure_reported_ = false;  // of the reply that is being dealt with
  std::vector<Result> results_;
  Time results_since_{};  // when the first of them came

  std::string low_ = "-infinity";  // due times up to here were fetched
  Time next_full_fetch_{};
  Time next_fetch_{};  // the far future: not before somebody says so
  Time last_fetch_{};
  bool fetch_all_ = false;
  std::optional<Time> bucket_seen_;
  std::optional<S3Error> last_failure_;
  std::optional<std::string> brake_reason_;  // deletions are braked
  Time next_brake_check_{};
  bool upload_proved_ = false;  // since the last turn
  bool retired_ = false;
  bool status_changed_ = true;  // what the database says of the store is unknown at first
};

}  // namespace objectlink
