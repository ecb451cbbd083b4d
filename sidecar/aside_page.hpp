// What lies in a bucket beside its keys, as one page shows it: uploads that nobody has ended; versions that are not current, and
// delete markers that hide nothing. What current versions are is told by the listing of keys.
// Pure, but for what a page of versions has to remember for the next one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "s3_error.hpp"
#include "s3_reply.hpp"

namespace objectlink {

struct AsideEntry {
  std::string key;
  std::string item;  // the id of the upload, or of the version
  bool is_marker = false;
  std::int64_t size = 0;
  std::string etag;
  std::optional<std::int64_t> initiated_ms;      // of an upload, by the store's clock, since 1970
  std::optional<std::chrono::milliseconds> age;  // by the store's own clock, and rather less than more
};

struct AsidePage {
  std::vector<AsideEntry> entries;
  bool last = false;
  std::string next_key;  // where it goes on; empty if it is the last
  std::string next_item;
  // Behind which it may be begun anew by who knows nothing of this page; empty: nothing is told in full up to now.
  std::string resume_key;
  std::string resume_item;
};

S3Result<AsidePage> read_uploads_page(const HttpReply& reply);

// Versions of one key stand together, the newest first, and may go on with the next page: whether a marker hides something is known
// only behind its key. So a listing begins and ends between two keys, and goes on anew only there.
class VersionsReader {
 public:
  // It begins behind this key. Not every store leaves its versions out (RGW does not), so they are left out here.
  explicit VersionsReader(std::string after) : after_(std::move(after)), key_(after_) {}

  // A page is read once; what is left over is in the last one.
  S3Result<AsidePage> read(const HttpReply& reply);

 private:
  std::string after_;
  std::string key_;                   // whose versions were read last
  std::optional<AsideEntry> marker_;  // its current version, nothing below it up to now
};

// Leaves out what lies behind the end of a range. A page that has got there is the last.
void cut_page(AsidePage& page, const std::optional<std::string>& range_end);

}  // namespace objectlink
