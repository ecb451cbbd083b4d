#include "pending_uploads.hpp"

#include <algorithm>
#include <memory>
#include <utility>

namespace objectlink {

PendingUploads::Begun PendingUploads::begin(const UploadLimits& limits) {
  Begun begun;
  std::size_t done = 0;
  for (; done < waiting_.size(); ++done) {
    Work& work = waiting_[done];
    const std::int64_t size = work.payload->size;
    const std::int64_t held = size > limits.multipart_threshold_bytes ? limits.part_bytes : size;
    // One upload always fits, however large its parts.
    if (held > bytes_free_ && bytes_held_ > 0) break;
    if (!has_content(work, limits)) {
      begun.gone.push_back(work.key);
      continue;
    }
    bytes_free_ -= held;
    bytes_held_ += held;
    bytes_of_[work.key] = held;
    upload(errand_, std::move(work), limits);
  }
  begun.any = done > 0;
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
  return begun;
}

// Of a multipart upload it is read part by part.
bool PendingUploads::has_content(Work& work, const UploadLimits& limits) {
  Payload& payload = *work.payload;
  if (payload.size > limits.multipart_threshold_bytes || payload.content) return true;
  auto content = std::make_shared<const std::string>(errand_.read_content(work.key, 0, payload.size));
  if (std::ssize(*content) != payload.size) return false;
  payload.content = std::move(content);
  return true;
}

void PendingUploads::ended(const std::string& key) {
  const auto held = bytes_of_.find(key);
  if (held == bytes_of_.end()) return;
  bytes_free_ += held->second;
  bytes_held_ -= held->second;
  bytes_of_.erase(held);
}

std::vector<std::string> PendingUploads::drop() {
  std::vector<std::string> keys;
  for (Work& work : waiting_) keys.push_back(std::move(work.key));
  waiting_.clear();
  return keys;
}

}  // namespace objectlink
