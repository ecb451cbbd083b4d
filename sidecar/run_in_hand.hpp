// What do the parts of a run share: which one it is, and what a page that cannot be had means for it? Loop's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>

#include "database.hpp"
#include "errand.hpp"
#include "s3_error.hpp"

namespace objectlink {

struct RunInHand {
  std::int64_t id = 0;
  int store = 0;
  std::int64_t epoch = 0;
  std::string store_name;
  std::string prefix;
  std::string store_prefix;
  int page_size = 1000;
  std::string aside;                // what is listed beside the keys (uploads, versions); empty: the keys are compared
  std::uint64_t seed = 0;           // of the sums; nobody else knows it
  int requests = 0;                 // listings asked for and not yet counted
  std::size_t looks_under_way = 0;  // of all ranges
  bool sampled = false;             // only some ranges, drawn by lot, are compared
  bool collected = false;           // pages are read from the database, where the listing was collected
  bool from_inventory = false;      // by the files of an inventory, which may lag behind the store
  bool is_over = false;             // what was collected is gone: somebody has ended the run
  bool has_to_collect = false;      // the store lists in another order, as a page has shown
};

// A page that failed: how often, and what then. One for each place at which a run goes on.
class PageTries {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit PageTries(std::uint64_t seed) : rng_(seed) {}

  void succeeded() { tries_ = 0; }
  unsigned count() const { return tries_; }
  bool is_last() const;
  // When to ask again; none: the run has failed. A store that is down fails no run: it waits. Throws DatabaseError.
  std::optional<Time> failed(Errand& errand, Database& database, const RunInHand& run, const std::string& after,
                             const S3Error& error, Time now);

 private:
  std::mt19937_64 rng_;
  unsigned tries_ = 0;
};

// The store was not reached at all, which its health deals with.
bool is_outage(const S3Error& error);
// Tells the store's health of an error, unless it is one of listing or of a single object.
void tell_health(Errand& errand, const S3Error& error);

}  // namespace objectlink
