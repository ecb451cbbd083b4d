// How does a run list what lies in a bucket beside its keys? Uploads that nobody has ended, then versions that are not current, page
// behind page, each handed to the database, which says what of it is not as it should be (extension/sql/72_compare_aside.sql). What the
// store refuses to list is left out, with a note in the run; only what it does not answer at all is waited for.
// Loop's thread, but for reading pages; held by the completions of its requests as well.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "aside_page.hpp"
#include "database.hpp"
#include "errand.hpp"
#include "run_in_hand.hpp"

namespace objectlink {

class AsideListing : public std::enable_shared_from_this<AsideListing> {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Outcome { nothing, progress, over };  // over: complete, left out, or the run does not go on
  enum class Kind { uploads, versions };

  AsideListing(Errand& errand, std::shared_ptr<RunInHand> run, Kind kind, std::string key, std::string item,
               std::uint64_t seed)
      : errand_(errand),
        run_(std::move(run)),
        kind_(kind),
        key_(std::move(key)),
        item_(std::move(item)),
        tries_(seed),
        versioning_known_(kind == Kind::uploads || !key_.empty()),
        reader_(std::make_shared<VersionsReader>()) {}

  bool wants_page(Time now) const { return !page_ && now >= not_before_; }
  void list(Time now);
  // Throws DatabaseError.
  Outcome turn(Database& database, Time now);
  // None: a reply is waited for.
  std::optional<Time> next_turn() const;

 private:
  struct Page {
    std::optional<AsidePage> listed;
    std::optional<S3Error> error;
    bool is_about_versioning = false;
    std::optional<Versioning> versioning;
    bool arrived = false;
  };

  const char* name() const { return kind_ == Kind::uploads ? "uploads" : "versions"; }
  void ask_versioning(const std::shared_ptr<Page>& page);
  void ask_page(const std::shared_ptr<Page>& page);
  Outcome hand_over(Database& database, Time now);
  Outcome leave_out(Database& database, const std::string& note);
  Outcome failed(Database& database, Time now, const S3Error& error);

  Errand& errand_;
  const std::shared_ptr<RunInHand> run_;
  const Kind kind_;
  std::string key_;  // up to where it was handed over
  std::string item_;
  PageTries tries_;
  bool versioning_known_;                   // whether there can be versions at all
  std::shared_ptr<VersionsReader> reader_;  // as of the last page that was handed over
  std::shared_ptr<VersionsReader> read_;    // and of the one in hand
  std::shared_ptr<Page> page_;
  Time not_before_{};
};

}  // namespace objectlink
