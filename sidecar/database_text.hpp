// How do values look in PostgreSQL's text format? Parameters going in, bytea coming out. Pure.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace objectlink {

// A statement's parameter, in PostgreSQL's text form. Text with a NUL byte throws std::invalid_argument when sent.
class Param {
 public:
  Param(std::nullptr_t) {}
  Param(std::nullopt_t) {}
  template <std::same_as<bool> T>  // not a pointer that converts
  Param(T value) : text_(value ? "t" : "f") {}
  Param(const char* value) : text_(value) {}
  Param(std::string_view value) : text_(std::string(value)) {}
  Param(std::string value) : text_(std::move(value)) {}
  Param(double value);
  template <std::integral T>
  requires(!std::same_as<T, bool>) Param(T value) : text_(std::to_string(value)) {}
  template <typename T>
  Param(const std::optional<T>& value) : text_(value ? Param(*value).text_ : std::nullopt) {}

  const std::optional<std::string>& text() const noexcept { return text_; }

 private:
  std::optional<std::string> text_;
};

// Array literals for parameters such as $1::text[]: any content, quoted; without elements '{}'.
std::string text_array(const std::vector<std::string>& elements);
std::string text_array(const std::vector<std::string_view>& elements);
std::string text_array(const std::vector<std::optional<std::string>>& elements);  // nullopt: NULL
std::string int_array(const std::vector<std::int64_t>& elements);

// bytea: \x and hex digits. decode_bytea throws std::invalid_argument for anything else.
std::string encode_bytea(std::string_view bytes);
std::string decode_bytea(std::string_view text);

}  // namespace objectlink
