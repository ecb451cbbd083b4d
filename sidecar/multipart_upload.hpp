// How is large content uploaded? Part by part, one after the other, each read from the database when its turn comes.
// An upload that fails is aborted; it starts again from its first part at the next try.
#pragma once

#include <memory>

#include "errand.hpp"

namespace objectlink {

void upload_multipart(Errand& errand, std::shared_ptr<const Work> work, std::int64_t part_bytes);

// The ETag that the content in the database adds up to in parts of this size; empty if it is gone.
std::string multipart_etag_of(Errand& errand, const Work& work, std::int64_t part_bytes);

}  // namespace objectlink
