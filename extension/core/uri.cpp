// Percent-encoding and endpoints: see uri.hpp.
#include "core/uri.hpp"

#include <array>
#include <charconv>

namespace objectlink {
namespace {

constexpr std::array<bool, 256> unreserved = [] {
  std::array<bool, 256> set{};
  for (unsigned c = 'a'; c <= 'z'; ++c) set[c] = true;
  for (unsigned c = 'A'; c <= 'Z'; ++c) set[c] = true;
  for (unsigned c = '0'; c <= '9'; ++c) set[c] = true;
  for (unsigned char c : {'-', '.', '_', '~'}) set[c] = true;
  return set;
}();

std::string encode(std::string_view bytes, bool keep_slash) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 2);
  for (char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (unreserved[byte] || (keep_slash && c == '/')) {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_host(std::string_view host) {
  if (host.empty() || host.size() > 255) return false;
  if (host.front() == '[') {
    return host.size() > 2 && host.back() == ']' &&
           host.substr(1, host.size() - 2).find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
  }
  if (host.front() == '.' || host.front() == '-') return false;
  for (char c : host)
    if (!unreserved[static_cast<unsigned char>(c)] || c == '~') return false;
  return host.find("..") == std::string_view::npos;
}

}  // namespace

std::string percent_encode(std::string_view bytes) { return encode(bytes, false); }

std::string percent_encode_path(std::string_view bytes) { return encode(bytes, true); }

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '+' && plus_is_space) {
      out += ' ';
    } else if (c != '%') {
      out += c;
    } else {
      if (text.size() - i < 3) return std::nullopt;
      const int high = hex_value(text[i + 1]), low = hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    }
  }
  return out;
}

std::string Endpoint::authority() const {
  if (port == (tls ? 443 : 80)) return host;
  return host + ':' + std::to_string(port);
}

std::optional<Endpoint> parse_endpoint(std::string_view text) {
  Endpoint endpoint;
  if (text.starts_with("https://")) {
    endpoint.tls = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return std::nullopt;
  }
  if (text.ends_with('/')) text.remove_suffix(1);

  endpoint.port = endpoint.tls ? 443 : 80;
  const std::size_t after_address = text.starts_with('[') ? text.find(']') : 0;
  if (after_address == std::string_view::npos) return std::nullopt;
  if (const std::size_t colon = text.find(':', after_address); colon != std::string_view::npos) {
    const std::string_view digits = text.substr(colon + 1);
    const char* const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(digits.data(), end, endpoint.port);
    if (error != std::errc{} || stop != end || endpoint.port == 0) return std::nullopt;
    text = text.substr(0, colon);
  }
  if (!is_host(text)) return std::nullopt;
  endpoint.host = text;
  return endpoint;
}

}  // namespace objectlink
