#include "quarantine.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "database_text.hpp"
#include "remove.hpp"
#include "s3_etag.hpp"
#include "verify.hpp"

namespace objectlink {

namespace {

// Does what lies there hold what was copied? By the ETag of the original, or by that which the store gave the copy, where
// the original's is no digest of its content and so not that of a copy; by a digest otherwise.
bool is_copy(const ProvedContent& of, const HeadReply& head, const std::string& copied_etag) {
  if (judge_sighting(of, head) == Sighting::same) return true;
  if (of.size && *of.size != head.size) return false;
  return !etag_looks_like_md5(bare_etag(of.etag)) && same_etag(copied_etag, head.etag);
}

}  // namespace

const char* Quarantine::to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::done: return "done";
    case Outcome::absent: return "absent";
    case Outcome::other: return "other";
    case Outcome::retry: return "retry";
    case Outcome::refused: return "refused";
  }
  return "retry";
}

bool Quarantine::look_for_step(Time now) { return !is_active() && pace_.look_now(now); }

void Quarantine::keep_looking(Time now) { pace_.keep_looking(now); }

void Quarantine::drop() {
  batch_.reset();
  pace_.look_at_once();
}

std::optional<Quarantine::Time> Quarantine::next_turn() const {
  if (batch_) return batch_->under_way == 0 && batch_->to_remove.empty() ? std::optional(Time{}) : std::nullopt;
  return pace_.next();
}

bool Quarantine::turn(Database& database, Time now, bool may_ask, bool may_delete) {
  if (batch_ && batch_->under_way > 0) return false;
  try {
    if (!batch_) return may_ask && pace_.is_due(now) && load(database, now);
    if (!batch_->to_remove.empty()) {
      if (!may_ask || !may_delete) return false;
      remove(database);
      return true;
    }
    hand_over(database, now);
    return true;
  } catch (const DatabaseError& error) {
    // Somebody's open transaction is in the way: what was done is found again by a look.
    if (!is_passing(error)) throw;
    batch_.reset();
    pace_.try_again(now);
    return false;
  }
}

bool Quarantine::load(Database& database, Time now) {
  pace_.looked(now);
  const Rows rows = database.query(
      "SELECT id, step, key, copy_key, size, etag, copy_etag, copy_version FROM objectlink.quarantine_work($1, $2)",
      store_, epoch_);
  if (rows.empty()) return false;
  const auto batch = batch_ = std::make_shared<Batch>();
  batch->steps.resize(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Step& step = batch->steps[row];
    step.entry = rows.integer(row, 0);
    step.kind = rows.string(row, 1);
    step.key = rows.string(row, 2);
    step.copy_key = rows.string(row, 3);
    step.found.size = step.copy.size = rows.integer(row, 4);
    step.found.etag = rows.string(row, 5);
    step.copy.etag = rows.string(row, 6);
    step.copy_version = rows.string(row, 7);
    if (step.kind == "remove") batch->to_remove.push_back(&step);
  }
  for (Step& step : batch->steps)
    if (step.kind != "remove") begin(batch, step);
  return true;
}

void Quarantine::begin(const SharedBatch& batch, Step& step) {
  ++batch->under_way;
  if (step.kind == "copy")
    look(batch, step, step.key, &Quarantine::copy_aside_if_same);
  else
    look(batch, step, step.copy_key, &Quarantine::copy_back_if_there);
}

void Quarantine::look(const SharedBatch& batch, Step& step, const std::string& key,
                      void (Quarantine::*then)(const SharedBatch&, Step&, const Sight&)) {
  objectlink::look(
      errand_, key, {}, [this, batch, &step, then](const Sight& sight) { (this->*then)(batch, step, sight); },
      [this, batch, &step](const S3Error& error) {
        failed(step, error);
        end(batch, step, *step.outcome);
      });
}

void Quarantine::copy_aside_if_same(const SharedBatch& batch, Step& step, const Sight& sight) {
  const Sighting seen = judge_sighting(step.found, sight);
  if (seen != Sighting::same) return end(batch, step, seen == Sighting::absent ? Outcome::absent : Outcome::other);
  look(batch, step, step.copy_key, &Quarantine::copy_aside_unless_there);
}

// A try before this one may have done it.
void Quarantine::copy_aside_unless_there(const SharedBatch& batch, Step& step, const Sight& sight) {
  if (!sight || !is_copy(step.found, *sight, {})) return copy(batch, step);
  step.head = *sight;
  end(batch, step, Outcome::done);
}

void Quarantine::copy_back_if_there(const SharedBatch& batch, Step& step, const Sight& sight) {
  if (judge_sighting(step.copy, sight) != Sighting::same) return end(batch, step, Outcome::absent);
  look(batch, step, step.key, &Quarantine::copy_back_if_free);
}

void Quarantine::copy_back_if_free(const SharedBatch& batch, Step& step, const Sight& sight) {
  if (!sight) return copy(batch, step);
  step.head = *sight;
  end(batch, step, is_copy(step.copy, *sight, {}) ? Outcome::done : Outcome::other);
}

void Quarantine::copy(const SharedBatch& batch, Step& step) {
  const bool back = step.kind == "restore";
  errand_.send(
      true,
      [from = back ? step.copy_key : step.key, to = back ? step.key : step.copy_key,
       etag = back ? step.copy.etag : step.found.etag, back](S3RequestBuilder& builder, const Signing& signing) {
        return builder.copy_object(signing,
                                   {.from_key = from, .to_key = to, .if_source_match = etag, .if_none_match = back});
      },
      [this, batch, &step, back](const HttpReply& reply) {
        const auto copied = parse_copy_object(reply);
        if (copied.ok()) {
          errand_.store_answered();
          return prove(batch, step, copied->etag);
        }
        if (back && copied.error().status == 412) {
          errand_.store_answered();
          return end(batch, step, Outcome::other);
        }
        step.unknown = copied.error().outcome_unknown;
        failed(step, copied.error());
        end(batch, step, *step.outcome);
      });
}

void Quarantine::prove(const SharedBatch& batch, Step& step, const std::string& copied_etag) {
  const bool back = step.kind == "restore";
  objectlink::look(
      errand_, back ? step.key : step.copy_key, {},
      [this, batch, &step, back, copied_etag](const Sight& sight) {
        if (sight && is_copy(back ? step.copy : step.found, *sight, copied_etag)) {
          step.head = *sight;
          return end(batch, step, Outcome::done);
        }
        step.message = sight ? "nothing the store shows of the copy proves that it is one"
                             : "the store confirmed the copy, and does not have it";
        end(batch, step, Outcome::refused);
      },
      [this, batch, &step](const S3Error& error) {
        failed(step, error);
        end(batch, step, *step.outcome);
      });
}

// What the store refuses of one object says nothing of the store.
void Quarantine::failed(Step& step, const S3Error& error) {
  const bool refused = error.status >= 400 && error.status < 500 && error.klass != ErrorClass::throttled &&
                       error.klass != ErrorClass::clock && error.klass != ErrorClass::credentials;
  if (!refused) errand_.store_failed(error);
  step.outcome = refused ? Outcome::refused : Outcome::retry;
  step.message = error.describe();
}

void Quarantine::end(const SharedBatch& batch, Step& step, Outcome outcome) {
  step.outcome = outcome;
  --batch->under_way;
}

void Quarantine::remove(Database& database) {
  const auto batch = batch_;
  std::vector<std::int64_t> entries;
  for (const Step* step : batch->to_remove) entries.push_back(step->entry);
  const Rows rows =
      database.query("SELECT objectlink.issue_copies($1, $2, $3::bigint[])", store_, epoch_, int_array(entries));
  std::vector<std::int64_t> issued;
  for (std::size_t row = 0; row < rows.size(); ++row) issued.push_back(rows.integer(row, 0));
  std::vector<Work> works;
  for (const Step* step : batch->to_remove) {
    if (std::ranges::find(issued, step->entry) == issued.end()) continue;
    Work work;
    work.key = step->copy_key;
    work.state = "deleting";
    work.size = step->copy.size;
    work.verified = true;
    work.issued = true;
    works.push_back(std::move(work));
  }
  batch->to_remove.clear();
  batch->under_way = works.size();
  if (!works.empty()) delete_issued(copies_, std::move(works));
}

void Quarantine::hand_over(Database& database, Time now) {
  auto results = nlohmann::json::array();
  bool all = true;
  for (const Step& step : batch_->steps) {
    if (!step.outcome) continue;  // no longer to be done
    all = all && *step.outcome != Outcome::retry;
    results.push_back({{"id", step.entry},
                       {"step", step.kind},
                       {"outcome", to_string(*step.outcome)},
                       {"etag", presentable(step.head.etag)},
                       {"version_id", presentable(step.head.version_id)},
                       {"request_id", presentable(step.request_id.empty() ? step.head.request_id : step.request_id)},
                       {"proof", step.proof},
                       {"message", presentable(step.message)},
                       {"unknown", step.unknown}});
  }
  batch_.reset();
  if (all)
    pace_.look_at_once();  // there may be more
  else
    pace_.try_again(now);
  if (!results.empty())
    database.query("SELECT objectlink.settle_quarantine($1, $2, $3::json)", store_, epoch_,
                   results.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

Quarantine::Step* Quarantine::removal_of(const std::string& copy_key) {
  if (!batch_) return nullptr;
  const auto found = std::ranges::find_if(batch_->steps, [&copy_key](const Step& step) {
    return step.kind == "remove" && step.copy_key == copy_key && !step.outcome;
  });
  return found == batch_->steps.end() ? nullptr : &*found;
}

void Quarantine::CopyErrand::send(bool mutating, Transport::Build build, Transport::Done done) {
  owner_.errand_.send(mutating, std::move(build), std::move(done));
}

void Quarantine::CopyErrand::send_and_read(Transport::Build build, Transport::Read read, Transport::Done done) {
  owner_.errand_.send_and_read(std::move(build), std::move(read), std::move(done));
}

void Quarantine::CopyErrand::destroy(Transport::Build build, Transport::Done done) {
  owner_.errand_.destroy(std::move(build), std::move(done));
}

std::string Quarantine::CopyErrand::read_content(const std::string&, std::int64_t, std::int64_t) { return {}; }

void Quarantine::CopyErrand::settle(Result result) {
  Step* const step = owner_.removal_of(result.key);
  if (!step) return;
  step->request_id = result.request_id;
  step->proof = result.proof;
  if (result.error) step->message = result.error->describe();
  owner_.end(owner_.batch_, *step, result.outcome == objectlink::Outcome::gone ? Outcome::done : Outcome::retry);
}

void Quarantine::CopyErrand::settle_error(const Work& work, const char*, const S3Error& error) {
  Step* const step = owner_.removal_of(work.key);
  if (!step) return;
  owner_.failed(*step, error);
  owner_.end(owner_.batch_, *step, *step->outcome);
}

void Quarantine::CopyErrand::store_answered() { owner_.errand_.store_answered(); }
void Quarantine::CopyErrand::store_failed(const S3Error& error) { owner_.errand_.store_failed(error); }
bool Quarantine::CopyErrand::bucket_is_known() const { return owner_.errand_.bucket_is_known(); }

const StoreTraits& Quarantine::CopyErrand::traits() const {
  traits_ = owner_.errand_.traits();
  traits_.delete_all_versions = true;
  return traits_;
}

}  // namespace objectlink
