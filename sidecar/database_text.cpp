#include "database_text.hpp"

#include <array>
#include <charconv>
#include <stdexcept>

namespace objectlink {

namespace {

// array_in: inside quotes only the quote and the backslash are special. Quoted always, or "NULL" and "" would be too.
void append_element(std::string& out, std::string_view element) {
  out += '"';
  std::size_t copied = 0;
  for (std::size_t i = element.find_first_of("\"\\"); i != std::string_view::npos;
       i = element.find_first_of("\"\\", i + 1)) {
    out.append(element, copied, i - copied).append("\\");
    copied = i;
  }
  out.append(element, copied).append("\"");
}

template <typename Elements>
std::string array_literal(const Elements& elements) {
  std::size_t bytes = 2;
  for (const auto& element : elements) {
    if constexpr (requires { element.size(); }) bytes += element.size() + 3;
  }
  std::string out;
  out.reserve(bytes);
  out += '{';
  for (const auto& element : elements) {
    if (out.size() > 1) out += ',';
    if constexpr (requires { element.has_value(); }) {
      if (element)
        append_element(out, *element);
      else
        out += "NULL";
    } else {
      append_element(out, element);
    }
  }
  out += '}';
  return out;
}

constexpr std::array<std::int8_t, 256> make_hex_values() {
  std::array<std::int8_t, 256> values{};
  for (auto& value : values) value = -1;
  for (int i = 0; i < 10; ++i) values[static_cast<std::size_t>('0' + i)] = static_cast<std::int8_t>(i);
  for (int i = 0; i < 6; ++i) {
    values[static_cast<std::size_t>('a' + i)] = static_cast<std::int8_t>(10 + i);
    values[static_cast<std::size_t>('A' + i)] = static_cast<std::int8_t>(10 + i);
  }
  return values;
}
constexpr std::array<std::int8_t, 256> hex_values = make_hex_values();

}  // namespace

Param::Param(double value) {
  char text[40];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  if (error != std::errc()) throw std::invalid_argument("a number has no text form");
  text_.emplace(text, end);
}

std::string text_array(const std::vector<std::string>& elements) { return array_literal(elements); }
std::string text_array(const std::vector<std::string_view>& elements) { return array_literal(elements); }
std::string text_array(const std::vector<std::optional<std::string>>& elements) { return array_literal(elements); }

std::string int_array(const std::vector<std::int64_t>& elements) {
  std::string out = "{";
  char text[24];
  for (const std::int64_t element : elements) {
    if (out.size() > 1) out += ',';
    out.append(text, std::to_chars(text, text + sizeof text, element).ptr);
  }
  return out += '}';
}

std::string encode_bytea(std::string_view bytes) {
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string out(2 + 2 * bytes.size(), '\\');
  out[1] = 'x';
  std::size_t at = 2;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out[at++] = digits[byte >> 4];
    out[at++] = digits[byte & 15];
  }
  return out;
}

std::string decode_bytea(std::string_view text) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) throw std::invalid_argument("not a bytea in hex format");
  text.remove_prefix(2);
  std::string out(text.size() / 2, '\0');
  int bad = 0;  // negative once any digit was none: one test at the end instead of two a byte
  for (std::size_t i = 0; i < out.size(); ++i) {
    const int high = hex_values[static_cast<unsigned char>(text[2 * i])];
    const int low = hex_values[static_cast<unsigned char>(text[2 * i + 1])];
    bad |= high | low;
    out[i] = static_cast<char>((static_cast<unsigned>(high) << 4) | (static_cast<unsigned>(low) & 15u));
  }
  if (bad < 0) throw std::invalid_argument("not a bytea in hex format");
  return out;
}

}  // namespace objectlink
