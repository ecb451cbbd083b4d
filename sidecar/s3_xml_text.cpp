// Escaping for XML: see s3_xml_text.hpp.
#include "s3_xml_text.hpp"

#include <cstdint>

namespace objectlink {
namespace {

struct CodePoint {
  std::int32_t value;  // -1: the byte begins no well-formed sequence
  std::size_t bytes;   // 1..4
};

CodePoint code_point_at(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return {first, 1};
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() - at < length) return {-1, 1};
  std::int32_t value = first & (0xff >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {-1, 1};
    value = value << 6 | (byte(i) & 0x3f);
  }
  const bool overlong = value < (length == 2 ? 0x80 : length == 3 ? 0x800 : 0x10000);
  const bool surrogate = value >= 0xd800 && value <= 0xdfff;
  if (overlong || surrogate || value > 0x10ffff) return {-1, 1};
  return {value, length};
}

bool is_control(std::int32_t value) { return value < 0x20 || (value >= 0x7f && value <= 0x9f); }

bool is_white_space(std::int32_t value) {
  return value == ' ' || value == 0xa0 || value == 0x1680 || (value >= 0x2000 && value <= 0x200a) || value == 0x202f ||
         value == 0x205f || value == 0x3000 || value == 0xfeff;
}

bool is_line_separator(std::int32_t value) { return value == 0x2028 || value == 0x2029; }

}  // namespace

bool xml_safe(std::string_view key) {
  if (key.empty()) return false;
  CodePoint last{};
  for (std::size_t at = 0; at < key.size(); at += last.bytes) {
    last = code_point_at(key, at);
    if (last.value < 0 || is_control(last.value) || is_line_separator(last.value)) return false;
    if ((last.value & 0xfffe) == 0xfffe) return false;  // U+FFFE and U+FFFF are no characters of XML
    if (at == 0 && is_white_space(last.value)) return false;
  }
  return !is_white_space(last.value);
}

std::string xml_escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  std::size_t bytes = 0;
  for (std::size_t at = 0; at < text.size(); at += bytes) {
    const CodePoint point = code_point_at(text, at);
    bytes = point.bytes;
    const bool refer = is_control(point.value) || is_white_space(point.value) || is_line_separator(point.value);
    if (point.value == '&')
      out += "&amp;";
    else if (point.value == '<')
      out += "&lt;";
    else if (point.value == '>')
      out += "&gt;";
    else if (refer && point.value >= 0)
      out.append("&#").append(std::to_string(point.value)).append(";");
    else
      out.append(text.substr(at, bytes));
  }
  return out;
}

}  // namespace objectlink
