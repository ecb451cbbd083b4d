// How are the objects of a store told without listing it? By the files of an S3 Inventory: its manifest, and then each data file, in pieces,
// into the database, as a listing that is collected (collected_listing.hpp). What was collected is compared when all of it is there; what is
// not as the manifest says ends the run before that. Whoever owns the store next goes on with the file that was not ended.
// Memory is bounded by two pieces and the keys written at once. Loop's thread, but for taking bodies; held by the completions of its
// requests as well.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "database.hpp"
#include "errand.hpp"
#include "inventory_file.hpp"
#include "inventory_manifest.hpp"
#include "run_in_hand.hpp"

namespace objectlink {

class InventoryListing : public std::enable_shared_from_this<InventoryListing> {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Outcome { nothing, progress, over };  // over: complete, or the run does not go on; the database says which

  // `manifest`: its key, in the store's bucket or in the one that the store's options name for inventories.
  InventoryListing(Errand& errand, std::shared_ptr<RunInHand> run, std::string manifest, std::uint64_t seed);

  bool wants_piece(Time now) const { return !asked_ && now >= not_before_ && !all_asked_; }
  void ask(Time now);
  // Throws DatabaseError.
  Outcome turn(Database& database, Time now);
  // None: a reply is waited for.
  std::optional<Time> next_turn() const;

 private:
  enum class Kind { bucket, manifest, checksum, piece };
  struct Asked {
    Kind kind;
    std::string key;
    std::string body;
    std::optional<HeadReply> head;
    std::optional<S3Error> error;
    std::optional<std::chrono::system_clock::time_point> store_time;
    std::int64_t length_max = 0;
    Time asked_at{};
    bool arrived = false;
  };

  bool is_elsewhere() const { return bucket_ != own_bucket_; }
  void ask_for_bucket();
  void get(Kind kind, std::string key, std::int64_t length_max, std::string range);
  Outcome take(Database& database, Time now, Asked& asked);
  Outcome begin(Database& database, Time now, const Asked& checksum);
  void begin_file();
  std::optional<S3Error> take_piece(Asked& piece);
  Outcome read(Database& database, Time now);
  Outcome failed(Database& database, Time now, const Asked& asked);
  Outcome unusable(Database& database, const S3Error& flaw);

  Errand& errand_;
  const std::shared_ptr<RunInHand> run_;
  const std::string own_bucket_;
  const std::string bucket_;  // where the inventory is
  const std::string manifest_key_;
  PageTries tries_;
  bool
      bucket_shown_;  // the store has shown that it answers for its own bucket, which replies of another one do not tell
  std::string manifest_text_;
  std::optional<InventoryManifest> manifest_;
  std::optional<std::chrono::system_clock::time_point> store_time_;  // at manifest_at_
  Time manifest_at_{};

  std::size_t file_ = 0;                       // that is read
  std::optional<InventoryFileReader> reader_;  // its
  bool hungry_ = true;
  std::int64_t asked_bytes_ = 0;  // of it
  std::string etag_;
  bool all_asked_ = false;  // of it

  std::shared_ptr<Asked> asked_;
  Time not_before_{};
};

}  // namespace objectlink
