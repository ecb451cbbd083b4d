#include "remove.hpp"

#include <algorithm>
#include <iterator>

#include "log.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

std::vector<std::string> keys_of(const std::unordered_map<std::string, Work>& work) {
  std::vector<std::string> keys;
  keys.reserve(work.size());
  for (const auto& [key, ignored] : work) keys.push_back(key);
  return keys;
}

}  // namespace

void Removal::add(Work work) {
  // Somebody has sent a request for it before. It is not asked about again: from then on only its end is possible.
  auto& queue = work.issued ? issued_before_ : added_;
  queue.push_back(std::move(work));
}

bool Removal::turn(Database& database, steady_clock::time_point now, bool may_delete) {
  while (may_delete && !issued_before_.empty()) {
    const auto end = issued_before_.begin() + static_cast<std::ptrdiff_t>(std::min(issued_before_.size(), batch_max));
    delete_issued(errand_, {std::make_move_iterator(issued_before_.begin()), std::make_move_iterator(end)});
    issued_before_.erase(issued_before_.begin(), end);
  }
  if (!barrier_) return may_delete && !added_.empty() && condemn(database, now);
  if (may_delete && barrier_->passed(database)) {
    issue(database);
    return true;
  }
  if (now - barrier_since_ < barrier_wait_max) return false;
  const std::string reason = may_delete ? barrier_->blockers() : "the ownership marker could not be renewed";
  log::warning("remove.blocked", "deletion was not possible in time, and is tried again",
               {{"store_id", store_}, {"reason", reason}});
  take_back(database, reason);
  return true;
}

bool Removal::condemn(Database& database, steady_clock::time_point now) {
  const std::size_t count = std::min(added_.size(), batch_max);
  std::vector<std::string> keys;
  for (std::size_t i = 0; i < count; ++i) {
    Work& work = added_[i];
    keys.push_back(work.key);
    condemned_.emplace(work.key, std::move(work));
  }
  added_.erase(added_.begin(), added_.begin() + static_cast<std::ptrdiff_t>(count));

  // What is deleting already was condemned in an earlier life; its mark is committed as well.
  const Rows rows =
      database.query("SELECT * FROM objectlink.condemn($1, $2, $3::text[])", store_, epoch_, text_array(keys));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Work& work = condemned_.at(rows.string(row, 0));
    work.state = "deleting";
    work.attempts = 0;
  }
  refused_ = refused_ || rows.empty();
  for (const std::string& key : keys) {
    const auto found = condemned_.find(key);
    if (found->second.state == "deleting") continue;
    returned_.push_back(key);  // linked again before it was condemned, kept longer by now, held or braked
    condemned_.erase(found);
  }
  if (condemned_.empty()) return true;
  barrier_.emplace(database);
  barrier_since_ = now;
  return true;
}

void Removal::issue(Database& database) {
  const Rows rows = database.query("SELECT * FROM objectlink.issue($1, $2, $3::text[], $4)", store_, epoch_,
                                   text_array(keys_of(condemned_)), milliseconds(retry_after_doubt).count());
  std::vector<Work> issued;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const auto found = condemned_.find(rows.string(row, 0));
    issued.push_back(std::move(found->second));
    condemned_.erase(found);
  }
  for (const auto& [key, ignored] : condemned_) returned_.push_back(key);
  condemned_.clear();
  barrier_.reset();
  if (!issued.empty()) delete_issued(errand_, std::move(issued));
}

void Removal::give_up(Database& database, const std::string& reason) {
  for (auto* const queue : {&added_, &issued_before_}) {
    for (Work& work : *queue) returned_.push_back(std::move(work.key));
    queue->clear();
  }
  if (!condemned_.empty()) take_back(database, reason);
}

void Removal::take_back(Database& database, const std::string& reason) {
  database.query("SELECT objectlink.uncondemn($1, $2, $3::text[], $4, $5)", store_, epoch_,
                 text_array(keys_of(condemned_)), milliseconds(retry_after_blocked).count(), reason);
  for (const auto& [key, ignored] : condemned_) returned_.push_back(key);
  condemned_.clear();
  barrier_.reset();
}

std::vector<std::string> Removal::take_returned() { return std::exchange(returned_, {}); }

}  // namespace objectlink
