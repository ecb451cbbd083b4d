// How do bytes of a key get into a URL and back, and what does an endpoint name?
// Pure. Never normalises: no case folding, no dot segments, no Unicode forms. Does not judge whether a key is allowed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace objectlink {

// Percent-encodes every byte but the unreserved ones of RFC 3986 (A-Z a-z 0-9 - . _ ~), with upper-case hex digits.
std::string percent_encode(std::string_view bytes);

// The same, but '/' stays: the form of a key in a path, both as sent and as signed.
std::string percent_encode_path(std::string_view bytes);

// Undoes percent-encoding; nothing for a malformed escape. With plus_is_space a '+' is a space (as in the keys of a
// listing with encoding-type=url, where a true plus comes as %2B).
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

struct Endpoint {
  bool tls = false;
  std::string host;        // as written; an IPv6 address keeps its brackets
  std::uint16_t port = 0;  // the scheme's default when the text has none

  // "host" or "host:port": what goes into the Host header. A default port is left out, as HTTP clients do.
  std::string authority() const;
  std::string scheme() const { return tls ? "https" : "http"; }
};

// Reads "http(s)://host[:port]" with at most one trailing '/'. Nothing for any other text: user info, a path, a query,
// a fragment, an empty host, port 0, bytes outside of [A-Za-z0-9.-_] (or an address in brackets).
std::optional<Endpoint> parse_endpoint(std::string_view text);

}  // namespace objectlink
