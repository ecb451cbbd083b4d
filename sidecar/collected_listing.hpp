// How is the listing of a store collected that lists in an order of its own? All of it, page behind page, into the database; what was
// collected is compared afterwards, as if it had been listed in order. Nothing follows from a part of it.
// Loop's thread, but for reading pages; held by the completions of its requests as well.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "database.hpp"
#include "errand.hpp"
#include "listed_page.hpp"
#include "run_in_hand.hpp"

namespace objectlink {

class CollectedListing : public std::enable_shared_from_this<CollectedListing> {
 public:
  using Time = std::chrono::steady_clock::time_point;
  enum class Outcome { nothing, progress, over };  // over: complete, or the run does not go on; the database says which

  CollectedListing(Errand& errand, std::shared_ptr<RunInHand> run, std::string token, std::uint64_t seed)
      : errand_(errand), run_(std::move(run)), token_(std::move(token)), tries_(seed) {}

  bool wants_page(Time now) const { return !page_ && now >= not_before_; }
  void list(Time now);
  // Throws DatabaseError.
  Outcome turn(Database& database, Time now);
  // None: a reply is waited for.
  std::optional<Time> next_turn() const;

 private:
  struct Page {
    std::optional<ListedPage> listed;
    std::optional<S3Error> error;
    std::optional<std::chrono::system_clock::time_point> store_time;
    Time asked_at{};
    bool arrived = false;
  };

  Outcome failed(Database& database, Time now, const S3Error& error);

  Errand& errand_;
  const std::shared_ptr<RunInHand> run_;
  std::string token_;
  PageTries tries_;
  std::shared_ptr<Page> page_;
  Time not_before_{};
};

}  // namespace objectlink
