// What does an HTTP request or reply consist of, for us?
// Plain values; knows neither curl nor S3.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace objectlink {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method = "GET";
  std::string url = {};      // sent as it stands: no normalising, no encoding
  HttpHeaders headers = {};  // names and values without CR, LF, NUL (std::invalid_argument otherwise)
  std::shared_ptr<const std::string> body = {};  // null: no body; shared, so that a repeat copies nothing
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds request_timeout{60'000};  // for the whole request, connecting included
  std::size_t max_body_bytes = 16u << 20;             // of the reply; more ends the request
  std::string ca_file = {};                           // empty: the system's certificates
  // The request is not sent after this time (checked right before its first byte goes out, after connecting): how a
  // mutating request is bound to a lease. Past it the outcome is not_sent with failure `too_late`.
  std::optional<std::chrono::steady_clock::time_point> send_before = {};
};

// Why there is no reply.
enum class HttpFailure {
  none,
  resolve,    // no address for the name
  connect,    // refused, unreachable, or not connected within connect_timeout
  tls,        // no handshake, or the certificate is not to be trusted
  too_late,   // send_before had passed
  timeout,    // request_timeout
  cut,        // closed or reset after the request may have been sent, or the body ended early
  limit,      // the reply's headers or body are larger than allowed
  malformed,  // what came is not HTTP
  local,      // a fault on our side that every request would meet: no credentials, an unusable endpoint or CA file
  request,    // this very request can't be made: a header that would break the message, say
};

struct HttpReply {
  enum class Outcome {
    replied,   // a complete reply arrived
    not_sent,  // proved: not one byte of the request went out
    unknown,   // the server may have acted, or may yet act
  };
  Outcome outcome = Outcome::unknown;
  HttpFailure failure = HttpFailure::none;
  std::string error = {};    // curl's words; empty if replied
  long status = 0;           // the status of a complete reply; 0 otherwise
  HttpHeaders headers = {};  // names in lower case, values trimmed; those of the final reply only
  std::string body = {};
  std::string method = {};  // of the request: the reply to a HEAD has no body to explain an error
  double seconds = 0;       // from start of the transfer to its end
  bool renewed = false;     // it was refused before, signed with other keys

  // The first header of this (lower-case) name, or null.
  const std::string* header(std::string_view name) const;
};

}  // namespace objectlink
