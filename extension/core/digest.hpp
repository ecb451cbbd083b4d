// What are the SHA-256, HMAC-SHA-256 and MD5 of these bytes, and how are they written as text?
// Pure, over OpenSSL's EVP. Thread-safe. Throws std::runtime_error only if OpenSSL refuses the algorithm (MD5 in a
// FIPS-only setup) or is out of memory.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace objectlink {

using Sha256 = std::array<unsigned char, 32>;
using Md5 = std::array<unsigned char, 16>;

Sha256 sha256(std::string_view bytes);
Md5 md5(std::string_view bytes);
Sha256 hmac_sha256(std::string_view key, std::string_view message);
Sha256 hmac_sha256(const Sha256& key, std::string_view message);

// The digest of bytes that come in pieces: Sha256 or Md5.
template <class Digest>
class DigestStream {
 public:
  DigestStream();
  ~DigestStream();
  DigestStream(DigestStream&&) noexcept;
  DigestStream& operator=(DigestStream&&) noexcept;
  void update(std::string_view bytes);
  Digest finish();  // once; the stream is of no use afterwards

 private:
  struct State;
  std::unique_ptr<State> state_;
};
using Sha256Stream = DigestStream<Sha256>;
using Md5Stream = DigestStream<Md5>;

std::string hex(std::span<const unsigned char> bytes);       // lower case
std::optional<std::string> unhex(std::string_view text);     // either case; raw bytes
std::string base64(std::span<const unsigned char> bytes);    // RFC 4648 with padding
std::optional<std::string> unbase64(std::string_view text);  // strict; raw bytes
std::optional<Sha256> sha256_from_hex(std::string_view text);
std::optional<Sha256> sha256_from_base64(std::string_view text);

}  // namespace objectlink
