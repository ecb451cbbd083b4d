// How does an object get into quarantine, and out of it? Takes the steps that the database hands out: copies one aside or back, and
// proves the copy; deletes copies that are not needed any more. What follows from that is decided by the database
// (extension/sql/73_quarantine.sql); the original of a copy goes by the way of every deletion, not from here.
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
#include "sighting.hpp"

namespace objectlink {

class Quarantine {
 public:
  using Time = std::chrono::steady_clock::time_point;

  Quarantine(Errand& errand, int store, std::int64_t epoch)
      : errand_(errand), store_(store), epoch_(epoch), copies_(*this) {}

  // True if something happened. may_ask: the store may be sent requests now; may_delete: the lease of the ownership marker is
  // held. Throws DatabaseError.
  bool turn(Database& database, Time now, bool may_ask, bool may_delete);

  // A step is said to wait: the next turn looks. False: it has just looked.
  bool look_for_step(Time now);
  // Nobody looks for this store: it has to do so itself, now and then.
  void keep_looking(Time now);
  // The store's settings were changed: what was seen may have been another place.
  void drop();
  bool is_active() const { return batch_ != nullptr; }
  // A copy waits for the lease to be deleted.
  bool waits_to_delete() const { return batch_ && !batch_->to_remove.empty(); }
  std::optional<Time> next_turn() const;

 private:
  enum class Outcome { done, absent, other, retry, refused };
  static const char* to_string(Outcome outcome);

  struct Step {
    std::int64_t entry = 0;
    std::string kind;  // copy, restore, remove
    std::string key;
    std::string copy_key;
    ProvedContent found;  // of the object, when it was found; of the copy, when it was proved
    ProvedContent copy;
    std::string copy_version;

    std::optional<Outcome> outcome;
    HeadReply head;  // of what a copy has made
    std::string request_id;
    std::string proof;
    std::string message;
    bool unknown = false;  // a copy may still arrive
  };
  struct Batch {
    std::vector<Step> steps;
    std::vector<Step*> to_remove;  // not begun yet
    std::size_t under_way = 0;
  };
  using SharedBatch = std::shared_ptr<Batch>;

  // Copies are deleted by the requests of every deletion; their end comes here and not to the registry. All versions of such
  // a key are ours.
  class CopyErrand final : public Errand {
   public:
    explicit CopyErrand(Quarantine& owner) : owner_(owner) {}
    void send(bool mutating, Transport::Build build, Transport::Done done) override;
    void send_and_read(Transport::Build build, Transport::Read read, Transport::Done done) override;
    void destroy(Transport::Build build, Transport::Done done) override;
    std::string read_content(const std::string& key, std::int64_t offset, std::int64_t length) override;
    void settle(Result result) override;
    void store_answered() override;
    void store_failed(const S3Error& error) override;
    void settle_error(const Work& work, const char* cause, const S3Error& error) override;
    bool bucket_is_known() const override;
    const StoreTraits& traits() const override;

   private:
    Quarantine& owner_;
    mutable StoreTraits traits_;
  };

  bool load(Database& database, Time now);
  void begin(const SharedBatch& batch, Step& step);
  void copy(const SharedBatch& batch, Step& step);
  void prove(const SharedBatch& batch, Step& step, const std::string& copied_etag);
  void remove(Database& database);
  void hand_over(Database& database, Time now);
  void look(const SharedBatch& batch, Step& step, const std::string& key,
            void (Quarantine::*then)(const SharedBatch&, Step&, const Sight&));
  void copy_aside_if_same(const SharedBatch& batch, Step& step, const Sight& sight);
  void copy_aside_unless_there(const SharedBatch& batch, Step& step, const Sight& sight);
  void copy_back_if_there(const SharedBatch& batch, Step& step, const Sight& sight);
  void copy_back_if_free(const SharedBatch& batch, Step& step, const Sight& sight);
  void failed(Step& step, const S3Error& error);
  void end(const SharedBatch& batch, Step& step, Outcome outcome);
  Step* removal_of(const std::string& copy_key);

  Errand& errand_;
  const int store_;
  const std::int64_t epoch_;
  CopyErrand copies_;
  SharedBatch batch_;
  LookPace pace_;
};

}  // namespace objectlink
