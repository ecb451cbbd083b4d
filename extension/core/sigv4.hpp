// What is the AWS Signature Version 4 of a request to S3?
// Pure: no clock, no network, no environment. Follows "Authenticating Requests (AWS Signature Version 4)" in the S3
// API reference, i.e. the variant of S3: the path is encoded once and never normalised.
// The caller hands in the path and query exactly as they go out; secrets are only looked at, never kept as text.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/digest.hpp"

namespace objectlink {

using NameValue = std::pair<std::string, std::string>;

inline constexpr std::string_view sha256_of_nothing =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
inline constexpr std::string_view unsigned_payload = "UNSIGNED-PAYLOAD";

// S3 refuses a signature whose time is further than this from its own clock. A request that was sent and whose
// outcome is unknown can therefore not take effect later than this after its signing time (plus the skew).
inline constexpr std::chrono::minutes signature_window{15};
inline constexpr std::chrono::seconds presign_expiry_max{7 * 24 * 3600};

// A signing time in the two forms that SigV4 wants: stamp "20130524T000000Z", whose first 8 bytes are the date.
struct SigningTime {
  explicit SigningTime(std::chrono::system_clock::time_point at);
  std::string_view date() const { return std::string_view(stamp).substr(0, 8); }
  std::string stamp;
};

// Views: valid as long as what they look at.
struct SigningCredentials {
  std::string_view access_key_id;
  std::string_view secret_access_key;
  std::string_view session_token;  // empty: none
};

// Sorts by encoded name and value, and encodes: "a=1&list-type=2&uploads=". The form that is both sent and signed.
std::string canonical_query(const std::vector<NameValue>& raw);

// The request to be signed. `path` is percent-encoded and begins with '/', `query` is of canonical_query's form.
// `headers`: lower-case names, any order; all of them are signed. `payload_hash`: hex SHA-256 or unsigned_payload.
struct SigningRequest {
  std::string_view method;
  std::string_view path;
  std::string_view query;
  const std::vector<NameValue>* headers;
  std::string_view payload_hash;
};

std::string canonical_request(const SigningRequest& request);
std::string string_to_sign(std::string_view canonical, const SigningTime& at, std::string_view region);

// The derived key is good for one secret, day and region; deriving it costs four times as much as signing.
// Remembers the last one, wiped on destruction. Not thread-safe: one a thread.
class SigningKeyCache {
 public:
  SigningKeyCache() = default;
  ~SigningKeyCache();
  SigningKeyCache(const SigningKeyCache&) = delete;
  SigningKeyCache& operator=(const SigningKeyCache&) = delete;
  const Sha256& get(std::string_view secret_access_key, std::string_view date, std::string_view region);

 private:
  Sha256 key_{};
  Sha256 secret_digest_{};  // a digest, so that the secret itself has one place less to leak from
  std::string scope_;       // date and region of key_
};

Sha256 derive_signing_key(std::string_view secret_access_key, std::string_view date, std::string_view region);
std::string signature(const Sha256& signing_key, std::string_view to_sign);

// The value of the Authorization header. request.headers must already hold host, x-amz-date and x-amz-content-sha256
// (and x-amz-security-token with temporary credentials).
std::string authorization_header(const SigningRequest& request, const SigningCredentials& credentials,
                                 const SigningTime& at, std::string_view region, SigningKeyCache& keys);

// A presigned URL: `request.query` may be empty, `request.headers` holds host and whatever else the client must send;
// request.payload_hash is normally unsigned_payload. `base` is scheme and authority ("https://host:port").
// expiry: 1 second to presign_expiry_max, else std::invalid_argument.
std::string presigned_url(const SigningRequest& request, std::string_view base, const SigningCredentials& credentials,
                          const SigningTime& at, std::string_view region, std::chrono::seconds expiry,
                          SigningKeyCache& keys);

}  // namespace objectlink
