// When is it known what a store can do? Loads what is recorded, has it probed where nothing is, asks now and then whether the
// bucket is versioned by now, and writes down what was found. Sends nothing while there is nothing to do.
// One per owned store; loop's thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "capability_probe.hpp"
#include "core/store_options.hpp"
#include "database.hpp"
#include "errand.hpp"

namespace objectlink {

class KnownStore {
 public:
  using Time = std::chrono::steady_clock::time_point;

  KnownStore(Errand& errand, int store, std::int64_t epoch, std::string name)
      : errand_(errand), store_(store), epoch_(epoch), name_(std::move(name)) {}

  // Other settings: another store, as far as anybody knows.
  void set_options(const StoreOptions& options);

  // There is something to do. False: what the store can do is being found out; uploads need not wait for that, deletions
  // do. may_ask: it is of use to ask the store now. Throws DatabaseError.
  bool ready(Database& database, Time now, bool may_ask);

  // Writes down what came in meanwhile. Throws DatabaseError.
  void record(Database& database);

  // Any reply may say that the bucket is versioned.
  void saw_reply(const HttpReply& reply);

  const StoreTraits& traits() const { return traits_; }
  // Since the last call, in a way that the requests' builder has to know of.
  bool take_checksums_changed() { return std::exchange(checksums_changed_, false); }

 private:
  void load(Database& database, Time now);
  void probe(Time now);
  void ask_versioning();
  void take_over(const Capabilities& capabilities);

  Errand& errand_;
  const int store_;
  const std::int64_t epoch_;
  const std::string name_;
  std::string endpoint_;
  std::string bucket_;
  StoreTraits traits_;
  std::string probe_id_;
  bool probed_ = false;
  bool probing_ = false;
  bool asking_ = false;
  bool checksums_changed_ = false;
  unsigned configuration_ = 0;  // a probe of the one before says nothing of this one
  Time next_load_{};
  Time next_probe_{};
  Time next_versioning_{};
  std::optional<ProbeFindings> found_;  // to be written down
  std::optional<Versioning> found_versioning_;
};

}  // namespace objectlink
