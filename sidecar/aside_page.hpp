// What lies in a bucket beside its keys, as one page shows it: uploads that nobody has ended; versions that are not current, and
// delete markers that hide nothing. What current versions are is told by the listing of keys.
// Pure, but for what a page of versions has to remember for the next one.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
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
};

S3Result<AsidePage> read_uploads_page(const HttpReply& reply);

// Versions of one key stand together, the newest first, and may go on with the next page: whether a marker hides something is known
// only behind its key.
class VersionsReader {
 public:
  // A page is read once; what is left over is in the last one.
  S3Result<AsidePage> read(const HttpReply& reply);

 private:
  std::string key_;                   // whose versions were read last
  std::optional<AsideEntry> marker_;  // its current version, nothing below it up to now
};

}  // namespace objectlink
