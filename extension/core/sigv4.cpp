// Signature Version 4 for S3: see sigv4.hpp.
#include "core/sigv4.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <ctime>
#include <stdexcept>

#include "core/uri.hpp"

namespace objectlink {
namespace {

constexpr std::string_view algorithm = "AWS4-HMAC-SHA256";
constexpr std::string_view service = "s3";

std::vector<const NameValue*> sorted(const std::vector<NameValue>& headers) {
  std::vector<const NameValue*> order;
  order.reserve(headers.size());
  for (const NameValue& header : headers) order.push_back(&header);
  std::sort(order.begin(), order.end(), [](auto* a, auto* b) { return a->first < b->first; });
  return order;
}

std::string signed_names(const std::vector<NameValue>& headers) {
  std::string out;
  for (const NameValue* header : sorted(headers)) {
    if (!out.empty()) out += ';';
    out += header->first;
  }
  return out;
}

// Spaces at the ends go, and runs of them become one, as the servers do it too.
void append_trimmed(std::string& out, std::string_view value) {
  bool space = false, any = false;
  for (char c : value) {
    if (c == ' ' || c == '\t') {
      space = true;
      continue;
    }
    if (space && any) out += ' ';
    space = false;
    any = true;
    out += c;
  }
}

std::string credential_scope(std::string_view date, std::string_view region) {
  std::string out(date);
  out.append("/").append(region).append("/").append(service).append("/aws4_request");
  return out;
}

}  // namespace

SigningTime::SigningTime(std::chrono::system_clock::time_point at) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(at));
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  stamp.assign(text, length);
}

std::string canonical_query(const std::vector<NameValue>& raw) {
  std::vector<NameValue> encoded;
  encoded.reserve(raw.size());
  for (const auto& [name, value] : raw) encoded.emplace_back(percent_encode(name), percent_encode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

std::string canonical_request(const SigningRequest& request) {
  std::string out;
  out.reserve(512 + request.path.size() + request.query.size());
  out.append(request.method).append("\n").append(request.path).append("\n").append(request.query).append("\n");
  std::string names;
  for (const NameValue* header : sorted(*request.headers)) {
    out.append(header->first).append(":");
    append_trimmed(out, header->second);
    out += '\n';
    if (!names.empty()) names += ';';
    names += header->first;
  }
  out.append("\n").append(names).append("\n").append(request.payload_hash);
  return out;
}

std::string string_to_sign(std::string_view canonical, const SigningTime& at, std::string_view region) {
  std::string out(algorithm);
  out.append("\n").append(at.stamp).append("\n").append(credential_scope(at.date(), region)).append("\n");
  out += hex(sha256(canonical));
  return out;
}

Sha256 derive_signing_key(std::string_view secret_access_key, std::string_view date, std::string_view region) {
  std::string start = "AWS4";
  start.reserve(4 + secret_access_key.size());  // one allocation, so that one wipe reaches every copy
  start += secret_access_key;
  Sha256 key = hmac_sha256(start, date);
  OPENSSL_cleanse(start.data(), start.size());
  key = hmac_sha256(key, region);
  key = hmac_sha256(key, service);
  return hmac_sha256(key, "aws4_request");
}

SigningKeyCache::~SigningKeyCache() { OPENSSL_cleanse(key_.data(), key_.size()); }

const Sha256& SigningKeyCache::get(std::string_view secret_access_key, std::string_view date, std::string_view region) {
  const Sha256 digest = sha256(secret_access_key);
  const std::size_t n = date.size();
  const bool same_scope = scope_.size() == n + 1 + region.size() && scope_.compare(0, n, date) == 0 &&
                          scope_[n] == '/' && scope_.compare(n + 1, region.size(), region) == 0;
  if (!same_scope || digest != secret_digest_) {
    key_ = derive_signing_key(secret_access_key, date, region);
    secret_digest_ = digest;
    scope_.assign(date).append("/").append(region);
  }
  return key_;
}

std::string signature(const Sha256& signing_key, std::string_view to_sign) {
  return hex(hmac_sha256(signing_key, to_sign));
}

std::string authorization_header(const SigningRequest& request, const SigningCredentials& credentials,
                                 const SigningTime& at, std::string_view region, SigningKeyCache& keys) {
  const std::string to_sign = string_to_sign(canonical_request(request), at, region);
  std::string out(algorithm);
  out.append(" Credential=").append(credentials.access_key_id).append("/");
  out.append(credential_scope(at.date(), region)).append(", SignedHeaders=").append(signed_names(*request.headers));
  out.append(", Signature=").append(signature(keys.get(credentials.secret_access_key, at.date(), region), to_sign));
  return out;
}

std::string presigned_url(const SigningRequest& request, std::string_view base, const SigningCredentials& credentials,
                          const SigningTime& at, std::string_view region, std::chrono::seconds expiry,
                          SigningKeyCache& keys) {
  if (expiry < std::chrono::seconds{1} || expiry > presign_expiry_max)
    throw std::invalid_argument("a presigned URL lives between 1 second and 7 days");

  std::string credential(credentials.access_key_id);
  credential.append("/").append(credential_scope(at.date(), region));
  std::vector<NameValue> own = {{"X-Amz-Algorithm", std::string(algorithm)},
                                {"X-Amz-Credential", credential},
                                {"X-Amz-Date", at.stamp},
                                {"X-Amz-Expires", std::to_string(expiry.count())},
                                {"X-Amz-SignedHeaders", signed_names(*request.headers)}};
  if (!credentials.session_token.empty())
    own.emplace_back("X-Amz-Security-Token", std::string(credentials.session_token));

  // Both halves are encoded already; merging them means sorting the pairs again, by name and then value.
  std::vector<std::pair<std::string_view, std::string_view>> pairs;
  const std::string own_query = canonical_query(own);
  for (std::string_view half : {request.query, std::string_view(own_query)}) {
    while (!half.empty()) {
      const std::string_view pair = half.substr(0, half.find('&'));
      half.remove_prefix(std::min(half.size(), pair.size() + 1));
      const std::size_t equals = std::min(pair.find('='), pair.size());
      pairs.emplace_back(pair.substr(0, equals), pair.substr(std::min(equals + 1, pair.size())));
    }
  }
  std::sort(pairs.begin(), pairs.end());
  std::string query;
  for (const auto& [name, value] : pairs) {
    if (!query.empty()) query += '&';
    query.append(name).append("=").append(value);
  }

  SigningRequest whole = request;
  whole.query = query;
  const std::string to_sign = string_to_sign(canonical_request(whole), at, region);
  std::string url(base);
  url.append(request.path).append("?").append(query).append("&X-Amz-Signature=");
  url += signature(keys.get(credentials.secret_access_key, at.date(), region), to_sign);
  return url;
}

}  // namespace objectlink
