#include "confirmed_deletion.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "verify.hpp"

namespace objectlink {

namespace {}  // namespace

bool ConfirmedDeletion::look_for_one(Time now) { return !is_active() && pace_.look_now(now); }

void ConfirmedDeletion::keep_looking(Time now) { pace_.keep_looking(now); }

void ConfirmedDeletion::drop() {
  batch_.reset();
  pace_.look_at_once();
}

std::optional<ConfirmedDeletion::Time> ConfirmedDeletion::next_turn() const {
  if (batch_) return batch_->under_way == 0 ? std::optional(Time{}) : std::nullopt;
  return pace_.next();
}

bool ConfirmedDeletion::turn(Database& database, Time now, bool may_ask) {
  if (batch_ && batch_->under_way > 0) return false;
  try {
    if (!batch_) return may_ask && pace_.is_due(now) && load(database, now);
    hand_over(database, now);
    return true;
  } catch (const DatabaseError& error) {
    // Somebody's open transaction is in the way: it is looked at anew.
    if (!is_passing(error)) throw;
    batch_.reset();
    pace_.try_again(now);
    return false;
  }
}

bool ConfirmedDeletion::load(Database& database, Time now) {
  pace_.looked(now);
  const Rows rows =
      database.query("SELECT id, key, size, etag FROM objectlink.deletions_to_confirm($1, $2)", store_, epoch_);
  if (rows.empty()) return false;
  batch_ = std::make_shared<Batch>();
  batch_->looks.resize(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Look& look = batch_->looks[row];
    look.finding = rows.integer(row, 0);
    look.key = rows.string(row, 1);
    look.found.size = rows.optional_integer(row, 2);
    look.found.etag = rows.string(row, 3);
  }
  for (Look& look : batch_->looks) start(batch_, look);
  return true;
}

void ConfirmedDeletion::start(const std::shared_ptr<Batch>& batch, Look& look) {
  ++batch->under_way;
  objectlink::look(
      errand_, look.key, {},
      [this, batch, &look](const Sight& sight) {
        --batch->under_way;
        if (batch != batch_) return;
        look.sighting = judge_sighting(look.found, sight);
        if (sight) look.head = *sight;
      },
      [this, batch, &look](const S3Error& error) {
        --batch->under_way;
        if (batch != batch_) return;
        // What is refused of one object says nothing of the store.
        if (error.status == 0 || error.status >= 500 || error.klass == ErrorClass::throttled ||
            error.klass == ErrorClass::clock || error.klass == ErrorClass::credentials ||
            error.klass == ErrorClass::redirect)
          errand_.store_failed(error);
        else
          look.refused = error.code.empty() ? "refused" : error.code;
      });
}

void ConfirmedDeletion::hand_over(Database& database, Time now) {
  auto looks = nlohmann::json::array();
  bool all = true;
  for (const Look& look : batch_->looks) {
    if (!look.refused.empty())
      looks.push_back({{"id", look.finding}, {"sighting", "unknown"}, {"error_code", presentable(look.refused)}});
    if (!look.sighting) {
      all = all && !look.refused.empty();
      continue;
    }
    nlohmann::json item{{"id", look.finding},
                        {"sighting", to_string(*look.sighting)},
                        {"request_id", presentable(look.head.request_id)}};
    if (*look.sighting != Sighting::absent) {
      item["size"] = look.head.size;
      item["etag"] = presentable(look.head.etag);
      item["version_id"] = presentable(look.head.version_id);
    }
    looks.push_back(std::move(item));
  }
  batch_.reset();
  if (all)
    pace_.look_at_once();  // there may be more
  else
    pace_.try_again(now);
  if (!looks.empty())
    database.query("SELECT objectlink.confirm_deletions($1, $2, $3::json)", store_, epoch_,
                   looks.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace objectlink
