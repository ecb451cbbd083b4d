// Does what the store shows prove that it holds our content?
#pragma once

#include <string>

#include "errand.hpp"
#include "s3_reply.hpp"

namespace objectlink {

enum class Likeness { same, other, undecided };

// What a HEAD says about our content. `expected_etag` is what the parts of a multipart upload add up to, or empty.
// Where the ETag says nothing (encryption), the size and the digest the uploader left with the object decide.
Likeness compare(const HeadReply& head, const Payload& payload, const std::string& expected_etag);

// Looks and settles: same content is stored, other content a conflict that never succeeds, none is tried again.
// `accepted`: the store has confirmed our own upload, and checked its digests on the way in.
void prove_upload(Errand& errand, const std::shared_ptr<const Work>& work, const std::string& expected_etag,
                  bool accepted);

// The same from a HEAD that was made already.
void settle_by_likeness(Errand& errand, const Work& work, const HeadReply& head, const std::string& expected_etag,
                        bool accepted);

}  // namespace objectlink
