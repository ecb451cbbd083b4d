// Where do the daemon's messages go? One line an event on stderr: JSON, or readable text on a terminal.
// Thread-safe. Never throws into the caller. Not the audit trail: that is objectlink.events in the database.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "config.hpp"

namespace objectlink::log {

// A value of a field. Text may hold any bytes: what is not UTF-8 is replaced, control characters are escaped.
class Value {
 public:
  using Data = std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string>;

  Value(std::nullptr_t) : data_(nullptr) {}
  template <std::same_as<bool> T>  // not a pointer that converts
  Value(T value) : data_(value) {}
  Value(const char* value) : data_(std::string(value)) {}
  Value(std::string_view value) : data_(std::string(value)) {}
  Value(std::string value) : data_(std::move(value)) {}
  template <std::floating_point T>
  Value(T value) : data_(static_cast<double>(value)) {}
  template <std::signed_integral T>
  Value(T value) : data_(static_cast<std::int64_t>(value)) {}
  template <std::unsigned_integral T>
  requires(!std::same_as<T, bool>) Value(T value) : data_(static_cast<std::uint64_t>(value)) {}
  template <typename T>
  Value(const std::optional<T>& value) : data_(value ? Value(*value).data_ : Data(nullptr)) {}

  const Data& data() const { return data_; }

 private:
  Data data_;
};

// Values of fields whose name means a secret (redact.hpp) are printed as ***.
struct Field {
  std::string key;  // snake_case; units last: duration_ms, size_bytes
  Value value;
};
using Fields = std::vector<Field>;

// Before other threads start. Without it: text, level info.
void set_up(LogFormat format, LogLevel level);

bool enabled(LogLevel level);

// event: a stable dotted name a script may match ("store.paused"); message: a sentence for people, in lower case.
//   log::info("store.paused", "store is paused", {{"store", name}, {"reason", why}});
void write(LogLevel level, std::string_view event, std::string_view message, const Fields& fields = {});
void debug(std::string_view event, std::string_view message, const Fields& fields = {});
void info(std::string_view event, std::string_view message, const Fields& fields = {});
void warning(std::string_view event, std::string_view message, const Fields& fields = {});
void error(std::string_view event, std::string_view message, const Fields& fields = {});

// The line itself, without line feed; pure, for tests. time_ms: milliseconds since 1970 UTC.
std::string json_line(std::int64_t time_ms, LogLevel level, std::string_view event, std::string_view message,
                      const Fields& fields);
std::string text_line(std::int64_t time_ms, LogLevel level, std::string_view event, std::string_view message,
                      const Fields& fields);

}  // namespace objectlink::log
