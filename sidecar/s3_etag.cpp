// ETags: see s3_etag.hpp.
#include "s3_etag.hpp"

#include <algorithm>

namespace objectlink {
namespace {

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_but_for_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

// Only a digest (or a digest of digests) may differ in case without meaning something else.
bool is_digest_like(std::string_view etag) {
  return etag.size() >= 32 && std::all_of(etag.begin(), etag.begin() + 32, is_hex);
}

}  // namespace

std::string_view bare_etag(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return etag;
}

bool etag_looks_like_md5(std::string_view etag) {
  etag = bare_etag(etag);
  return etag.size() == 32 && is_digest_like(etag);
}

bool etag_is_md5(std::string_view etag, const Md5& digest) {
  return etag_looks_like_md5(etag) && equal_but_for_case(bare_etag(etag), hex(digest));
}

std::string multipart_etag(const std::vector<Md5>& parts) {
  std::string digests;
  digests.reserve(parts.size() * Md5{}.size());
  for (const Md5& part : parts) digests.append(reinterpret_cast<const char*>(part.data()), part.size());
  return hex(md5(digests)) + '-' + std::to_string(parts.size());
}

bool same_etag(std::string_view a, std::string_view b) {
  a = bare_etag(a);
  b = bare_etag(b);
  if (a.empty()) return false;
  return is_digest_like(a) && is_digest_like(b) ? equal_but_for_case(a, b) : a == b;
}

}  // namespace objectlink
