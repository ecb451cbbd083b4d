// Digests over OpenSSL's EVP, and their text forms: see digest.hpp.
#include "core/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <stdexcept>
#include <type_traits>

namespace objectlink {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;

void require(int ok) {
  if (ok != 1) throw std::runtime_error("OpenSSL failed to compute a digest");
}

// Fetched once a process: an implicit fetch at each use costs more than hashing a short message.
const EVP_MD* algorithm(const char* name) {
  EVP_MD* md = EVP_MD_fetch(nullptr, name, nullptr);
  if (md == nullptr) throw std::runtime_error(std::string("OpenSSL offers no ") + name);
  return md;
}

const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const md = algorithm("SHA256");
  return md;
}

const EVP_MD* md5_algorithm() {
  static const EVP_MD* const md = algorithm("MD5");
  return md;
}

template <class Digest>
const EVP_MD* algorithm_of() {
  return std::is_same_v<Digest, Md5> ? md5_algorithm() : sha256_algorithm();
}

Context new_context() {
  Context context(EVP_MD_CTX_new());
  if (!context) throw std::bad_alloc();
  return context;
}

EVP_MD_CTX* scratch() {
  thread_local const Context context = new_context();
  return context.get();
}

template <class Digest>
Digest digest_of(const EVP_MD* md, std::string_view first, std::string_view second = {}) {
  EVP_MD_CTX* const context = scratch();
  Digest out;
  require(EVP_DigestInit_ex2(context, md, nullptr));
  require(EVP_DigestUpdate(context, first.data(), first.size()));
  if (!second.empty()) require(EVP_DigestUpdate(context, second.data(), second.size()));
  require(EVP_DigestFinal_ex(context, out.data(), nullptr));
  return out;
}

template <std::size_t N>
std::string_view view(const std::array<unsigned char, N>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), N};
}

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

std::optional<Sha256> as_sha256(const std::optional<std::string>& bytes) {
  Sha256 out;
  if (!bytes || bytes->size() != out.size()) return std::nullopt;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<unsigned char>((*bytes)[i]);
  return out;
}

}  // namespace

Sha256 sha256(std::string_view bytes) { return digest_of<Sha256>(sha256_algorithm(), bytes); }

Md5 md5(std::string_view bytes) { return digest_of<Md5>(md5_algorithm(), bytes); }

// RFC 2104 over the cached algorithm: OpenSSL 3's own HMAC fetches and allocates at each call.
Sha256 hmac_sha256(std::string_view key, std::string_view message) {
  constexpr std::size_t block_bytes = 64;
  std::array<unsigned char, block_bytes> inner{}, outer{};
  Sha256 short_key{};
  if (key.size() > block_bytes) {
    short_key = sha256(key);
    key = view(short_key);
  }
  for (std::size_t i = 0; i < block_bytes; ++i) {
    const auto byte = i < key.size() ? static_cast<unsigned char>(key[i]) : static_cast<unsigned char>(0);
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  const auto inside = digest_of<Sha256>(sha256_algorithm(), view(inner), message);
  const auto result = digest_of<Sha256>(sha256_algorithm(), view(outer), view(inside));
  OPENSSL_cleanse(inner.data(), inner.size());
  OPENSSL_cleanse(outer.data(), outer.size());
  OPENSSL_cleanse(short_key.data(), short_key.size());
  return result;
}

Sha256 hmac_sha256(const Sha256& key, std::string_view message) { return hmac_sha256(view(key), message); }

template <class Digest>
struct DigestStream<Digest>::State {
  Context context = new_context();
};

template <class Digest>
DigestStream<Digest>::DigestStream() : state_(std::make_unique<State>()) {
  require(EVP_DigestInit_ex2(state_->context.get(), algorithm_of<Digest>(), nullptr));
}
template <class Digest>
DigestStream<Digest>::~DigestStream() = default;
template <class Digest>
DigestStream<Digest>::DigestStream(DigestStream&&) noexcept = default;
template <class Digest>
DigestStream<Digest>& DigestStream<Digest>::operator=(DigestStream&&) noexcept = default;

template <class Digest>
void DigestStream<Digest>::update(std::string_view bytes) {
  require(EVP_DigestUpdate(state_->context.get(), bytes.data(), bytes.size()));
}

template <class Digest>
Digest DigestStream<Digest>::finish() {
  Digest out;
  require(EVP_DigestFinal_ex(state_->context.get(), out.data(), nullptr));
  return out;
}

template class DigestStream<Sha256>;
template class DigestStream<Md5>;

std::string hex(std::span<const unsigned char> bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (unsigned char byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

std::optional<std::string> unhex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  out.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = value(text[i]), low = value(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
  }
  return out;
}

std::string base64(std::span<const unsigned char> bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = bytes.size() - i;
    const unsigned group =
        static_cast<unsigned>(bytes[i]) << 16 | (left > 1 ? bytes[i + 1] : 0u) << 8 | (left > 2 ? bytes[i + 2] : 0u);
    out += digits[group >> 18];
    out += digits[group >> 12 & 63];
    out += left > 1 ? digits[group >> 6 & 63] : '=';
    out += left > 2 ? digits[group & 63] : '=';
  }
  return out;
}

std::optional<std::string> unbase64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && text.ends_with('=')) {
    text.remove_suffix(1);
    ++padding;
  }
  std::string out;
  unsigned bits = 0;
  int count = 0;
  for (char c : text) {
    const int value = base64_value(c);
    if (value < 0) return std::nullopt;
    bits = bits << 6 | static_cast<unsigned>(value);
    if (++count == 4) {
      out += static_cast<char>(bits >> 16 & 255);
      out += static_cast<char>(bits >> 8 & 255);
      out += static_cast<char>(bits & 255);
      bits = 0;
      count = 0;
    }
  }
  // Bits that padding cuts off must be zero, or two texts would mean the same bytes.
  if (count == 3 && (bits & 3) == 0) {
    out += static_cast<char>(bits >> 10 & 255);
    out += static_cast<char>(bits >> 2 & 255);
  } else if (count == 2 && (bits & 15) == 0) {
    out += static_cast<char>(bits >> 4 & 255);
  } else if (count != 0) {
    return std::nullopt;
  }
  return out;
}

std::optional<Sha256> sha256_from_hex(std::string_view text) { return as_sha256(unhex(text)); }

std::optional<Sha256> sha256_from_base64(std::string_view text) { return as_sha256(unbase64(text)); }

}  // namespace objectlink
