// How does a run list what lies in a bucket beside its keys? Uploads that nobody has ended, in one range; then versions that are not
// current, in several at once. Page behind page of a range is handed to the database, which says what of it is not as it should be
// (extension/sql/72_compare_aside.sql). What the store refuses to list is left out, with a note in the run; only what it does not
// answer at all is waited for.
// Loop's thread, but for reading pages; held by the completions of its requests as well.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "aside_page.hpp"
#include "database.hpp"
#include "errand.hpp"
#include "key_range.hpp"
#include "run_in_hand.hpp"

namespace objectlink {

class AsideListing : public KeyRange, public std::enable_shared_from_this<AsideListing> {
 public:
  AsideListing(Errand& errand, std::shared_ptr<RunInHand> run, RangeBounds bounds, std::uint64_t seed);

  std::optional<Time> next_turn() const override;
  bool wants_page(Time now) const override { return !done_ && !page_ && now >= not_before_; }
  void ask_for_page(Database& database, Time now) override;
  std::size_t listings_under_way() const override { return page_ && !page_->arrived ? 1 : 0; }
  Outcome turn(Database& database, Time now, bool may_ask) override;
  // Uploads lie in no order that is promised, so they are not split; nor are versions of a store that was not proved to list by bytes.
  std::optional<std::string> position() const override;

 private:
  struct Page {
    std::optional<AsidePage> listed;
    std::optional<S3Error> error;
    bool is_about_versioning = false;
    std::optional<Versioning> versioning;
    bool arrived = false;
  };

  void ask_versioning(const std::shared_ptr<Page>& page);
  void ask_page(const std::shared_ptr<Page>& page);
  Outcome hand_over(Database& database, Time now);
  Outcome leave_out(Database& database, const std::string& note);
  Outcome failed(Database& database, Time now, const S3Error& error);

  Errand& errand_;
  const std::shared_ptr<RunInHand> run_;
  const bool of_versions_;
  std::string key_;  // up to where it was handed over: as the store counts, not as the database does
  std::string item_;
  PageTries tries_;
  bool versioning_known_;                   // whether there can be versions at all
  std::shared_ptr<VersionsReader> reader_;  // as of the last page that was handed over
  std::shared_ptr<VersionsReader> read_;    // and of the one in hand
  std::shared_ptr<Page> page_;
  Time not_before_{};
};

}  // namespace objectlink
