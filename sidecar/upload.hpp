// How does content of put() get into its store, never over something else, and how is that proved?
// One request up to the store's multipart threshold, multipart above. Equal content that is there already is success;
// other content is a conflict.
#pragma once

#include "errand.hpp"

namespace objectlink {

struct UploadLimits {
  std::int64_t multipart_threshold_bytes = 16 << 20;
  std::int64_t part_bytes = 8 << 20;
};

// work.payload is set; its content too where it fits a single request.
void upload(Errand& errand, Work work, const UploadLimits& limits);

}  // namespace objectlink
