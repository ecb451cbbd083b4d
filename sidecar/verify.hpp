// Is the object there? HEAD for links to objects that somebody else uploaded, and the proof after uploads and deletes.
#pragma once

#include <functional>
#include <optional>

#include "errand.hpp"
#include "s3_reply.hpp"

namespace objectlink {

// What the store says of a key: its head, or nothing when it is proved to be absent.
using Sight = std::optional<HeadReply>;

// Looks, and calls `seen` with what was proved, or `failed` when nothing was. A HEAD's 404 counts only where the bucket is
// known to exist; if it is not, it is asked for first.
void look(Errand& errand, const std::string& key, const std::string& version_id, std::function<void(const Sight&)> seen,
          std::function<void(const S3Error&)> failed);

// Pending without content of ours: the object must be there.
void verify(Errand& errand, Work work);

}  // namespace objectlink
