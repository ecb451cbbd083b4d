// What does an ETag prove?
// Only ever "these are the bytes" for single-part, unencrypted objects, or the digest of digests for multipart ones.
// Anything else (encryption, another part size) proves nothing, neither way. Two keys can share one: it is no identity.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/digest.hpp"

namespace objectlink {

// Without W/ and quotes.
std::string_view bare_etag(std::string_view etag);

// Has it the form of an MD5, i.e. 32 hex digits? (Not a proof that it is one.)
bool etag_looks_like_md5(std::string_view etag);

// Is it the MD5 of these bytes?
bool etag_is_md5(std::string_view etag, const Md5& digest);

// What S3 gives an object of these parts: MD5 of the parts' MD5s, and "-N". Without quotes.
std::string multipart_etag(const std::vector<Md5>& parts);

// Equal but for quotes, W/ and the case of hex digits. Empty ones equal nothing.
bool same_etag(std::string_view a, std::string_view b);

}  // namespace objectlink
