// Which uploads of a store wait until there is room in memory for their content, and how much do those under way hold?
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "errand.hpp"
#include "upload.hpp"

namespace objectlink {

class PendingUploads {
 public:
  // bytes_free: of all stores of the session. What is held here is given back at the end.
  PendingUploads(Errand& errand, std::int64_t& bytes_free) : errand_(errand), bytes_free_(bytes_free) {}
  ~PendingUploads() { bytes_free_ += bytes_held_; }
  PendingUploads(const PendingUploads&) = delete;
  PendingUploads& operator=(const PendingUploads&) = delete;

  // work.payload is set.
  void add(Work work) { waiting_.push_back(std::move(work)); }

  struct Begun {
    bool any = false;
    std::vector<std::string>
        gone;  // keys whose content is no longer there: the registry knows better what they need now
  };
  // Those that there is room for, in their order. Reads content from the database.
  Begun begin(const UploadLimits& limits);

  // The work for this key, of whatever kind, is done.
  void ended(const std::string& key);

  // Forgets what has not begun, and returns its keys.
  std::vector<std::string> drop();

 private:
  bool has_content(Work& work, const UploadLimits& limits);

  Errand& errand_;
  std::int64_t& bytes_free_;
  std::vector<Work> waiting_;
  std::unordered_map<std::string, std::int64_t> bytes_of_;  // of uploads under way, by key
  std::int64_t bytes_held_ = 0;
};

}  // namespace objectlink
