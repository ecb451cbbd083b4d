// How does something go that is no object: an upload in parts that nobody has ended, a version that is not current, a marker that hides
// nothing? Somebody has decided about its finding. It is looked at first; what is still the same, the database is asked about; what may go
// is named by its own id in the request; and only a look proves that it is gone (extension/sql/73_stray.sql).
// One per owned store; loop's thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "database.hpp"
#include "errand.hpp"
#include "look_pace.hpp"
#include "s3_reply.hpp"

namespace objectlink {

class StrayRemoval {
 public:
  using Time = std::chrono::steady_clock::time_point;

  StrayRemoval(Errand& errand, int store, std::int64_t epoch) : errand_(errand), store_(store), epoch_(epoch) {}

  // True if something happened. may_ask: the store may be sent requests now; may_delete: the lease of the ownership marker is
  // held. Throws DatabaseError.
  bool turn(Database& database, Time now, bool may_ask, bool may_delete);

  // One is said to wait: the next turn looks. False: it has just looked.
  bool look_for_one(Time now) { return !is_active() && pace_.look_now(now); }
  // Nobody looks for this store: it has to do so itself, now and then.
  void keep_looking(Time now) { pace_.keep_looking(now); }
  // The store's settings were changed: what was seen may have been another place.
  void drop();
  bool is_active() const { return batch_ != nullptr; }
  // One waits for the lease to be taken away.
  bool waits_to_delete() const { return batch_ && batch_->under_way == 0 && !batch_->issued && any_same(); }
  std::optional<Time> next_turn() const;

 private:
  enum class Seen { same, other, absent };

  struct Stray {
    std::int64_t finding = 0;
    std::string kind;  // stale_upload, stray_version, stray_marker
    std::string key;
    std::string item;
    std::optional<std::int64_t> initiated_ms;
    std::optional<std::int64_t> size;
    std::string etag;

    std::optional<Seen> seen;                            // none: it could not be told
    std::optional<std::chrono::milliseconds> parts_age;  // of the youngest part
    std::vector<ListedVersion> versions;                 // of its key, as they are listed
    int pages = 0;
    bool deleted = false;  // the store has confirmed that
    std::string request_id;
    std::string message;  // why it is another one; or the code with which the store has refused
    bool refused = false;

    bool is_upload() const { return kind == "stale_upload"; }
  };
  struct Batch {
    std::vector<Stray> strays;
    std::size_t under_way = 0;
    bool issued = false;
  };
  using SharedBatch = std::shared_ptr<Batch>;

  bool any_same() const;
  bool load(Database& database, Time now);
  void look(const SharedBatch& batch, Stray& stray);
  void look_for_upload(const SharedBatch& batch, Stray& stray, const std::string& key, const std::string& item);
  void look_at_parts(const SharedBatch& batch, Stray& stray, int after);
  void look_for_version(const SharedBatch& batch, Stray& stray, const std::string& key, const std::string& item);
  static void judge_version(Stray& stray);
  void issue(Database& database);
  void remove(const SharedBatch& batch, Stray& stray);
  void failed(const SharedBatch& batch, Stray& stray, const S3Error& error);
  void end(const SharedBatch& batch) { --batch->under_way; }
  void hand_over(Database& database, Time now);

  Errand& errand_;
  const int store_;
  const std::int64_t epoch_;
  SharedBatch batch_;
  LookPace pace_;
};

}  // namespace objectlink
