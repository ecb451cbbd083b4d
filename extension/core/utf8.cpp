// Checks text for well-formed UTF-8 by table 3-7 of the Unicode standard.
#include "core/utf8.hpp"

#include <cstdint>
#include <cstring>

namespace objectlink {

namespace {

constexpr std::size_t word_bytes = sizeof(std::uint64_t);
constexpr std::uint64_t high_bits = 0x8080808080808080U;

bool within(unsigned char byte, unsigned char low, unsigned char high) noexcept { return byte >= low && byte <= high; }

// Bytes of the sequence that starts at `at`, or 0 if it is malformed.
std::size_t sequence_bytes(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) -> unsigned char {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0;
  };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (within(lead, 0xC2, 0xDF)) return within(byte(1), 0x80, 0xBF) ? 2 : 0;
  if (within(lead, 0xE0, 0xEF)) {
    const unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;   // overlong
    const unsigned char high = lead == 0xED ? 0x9F : 0xBF;  // surrogates
    return within(byte(1), low, high) && within(byte(2), 0x80, 0xBF) ? 3 : 0;
  }
  if (within(lead, 0xF0, 0xF4)) {
    const unsigned char low = lead == 0xF0 ? 0x90 : 0x80;   // overlong
    const unsigned char high = lead == 0xF4 ? 0x8F : 0xBF;  // above U+10FFFF
    return within(byte(1), low, high) && within(byte(2), 0x80, 0xBF) && within(byte(3), 0x80, 0xBF) ? 4 : 0;
  }
  return 0;
}

}  // namespace

std::size_t find_malformed_utf8(std::string_view text) noexcept {
  std::size_t at = 0;
  while (at < text.size()) {
    // Keys are mostly ASCII: a word at a time.
    while (text.size() - at >= word_bytes) {
      std::uint64_t word = 0;
      std::memcpy(&word, text.data() + at, word_bytes);
      if ((word & high_bits) != 0) break;
      at += word_bytes;
    }
    if (at == text.size()) break;
    const std::size_t bytes = sequence_bytes(text, at);
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::string_view::npos;
}

}  // namespace objectlink
