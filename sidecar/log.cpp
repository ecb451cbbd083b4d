#include "log.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <memory>
#include <nlohmann/json.hpp>

#include "redact.hpp"

namespace objectlink::log {

namespace {

struct State {
  std::shared_ptr<spdlog::logger> logger;
  std::atomic<bool> json{false};
  std::atomic<LogLevel> level{LogLevel::info};

  State() : logger(std::make_shared<spdlog::logger>("objectlinkd", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
    logger->set_formatter(std::make_unique<spdlog::pattern_formatter>("%v"));
    logger->set_level(spdlog::level::trace);               // filtered here, before a line is built
    logger->set_error_handler([](const std::string&) {});  // stderr is gone: nowhere to complain
  }
};

State& state() {
  static State instance;
  return instance;
}

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return "debug";
    case LogLevel::info: return "info";
    case LogLevel::warning: return "warning";
    case LogLevel::error: break;
  }
  return "error";
}

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: break;
  }
  return spdlog::level::err;
}

std::string timestamp(std::int64_t time_ms) {
  const std::time_t seconds = static_cast<std::time_t>(time_ms / 1000);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[40];
  std::size_t length = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
  length += static_cast<std::size_t>(
      std::snprintf(text + length, sizeof text - length, ".%03dZ", static_cast<int>(time_ms % 1000)));
  return std::string(text, length);
}

nlohmann::ordered_json to_json(const Field& field) {
  if (is_secret_name(field.key) && !std::holds_alternative<std::nullptr_t>(field.value.data())) return redacted;
  return std::visit(
      [](const auto& value) -> nlohmann::ordered_json {
        if constexpr (std::same_as<std::decay_t<decltype(value)>, std::string>) {
          return redact_text(value);
        } else {
          return value;
        }
      },
      field.value.data());
}

// Invalid UTF-8 becomes U+FFFD here; dump() escapes control characters.
std::string dump(const nlohmann::ordered_json& json) {
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// The inside of a JSON string: no line feed of a key or of a server's message may start a new log line.
std::string escaped(std::string_view text) {
  const std::string quoted = dump(std::string(text));
  std::string out;
  for (std::size_t i = 1; i + 1 < quoted.size(); ++i) {
    if (quoted[i] == '\\' && (quoted[i + 1] == '"' || quoted[i + 1] == '\\')) ++i;
    out += quoted[i];
  }
  return out;
}

}  // namespace

std::string json_line(std::int64_t time_ms, LogLevel level, std::string_view event, std::string_view message,
                      const Fields& fields) {
  nlohmann::ordered_json line;
  line["ts"] = timestamp(time_ms);
  line["level"] = level_name(level);
  line["event"] = event;
  line["message"] = redact_text(message);
  for (const Field& field : fields) {
    std::string key = field.key;
    while (line.contains(key)) key += '_';
    line[key] = to_json(field);
  }
  return dump(line);
}

std::string text_line(std::int64_t time_ms, LogLevel level, std::string_view event, std::string_view message,
                      const Fields& fields) {
  std::string line = timestamp(time_ms);
  std::string name(level_name(level));
  name.resize(7, ' ');
  line.append(" ").append(name).append(" ").append(escaped(event)).append(": ").append(escaped(redact_text(message)));
  for (const Field& field : fields) {
    const nlohmann::ordered_json value = to_json(field);
    std::string text = dump(value);
    const bool plain = value.is_string() && text.size() > 2 && text.find_first_of(" =\\") == std::string::npos;
    line.append("  ").append(escaped(field.key)).append("=").append(plain ? text.substr(1, text.size() - 2) : text);
  }
  return line;
}

void set_up(LogFormat format, LogLevel level) {
  state().json = format == LogFormat::json || (format == LogFormat::automatic && isatty(STDERR_FILENO) != 1);
  state().level = level;
}

bool enabled(LogLevel level) { return level >= state().level.load(std::memory_order_relaxed); }

void write(LogLevel level, std::string_view event, std::string_view message, const Fields& fields) {
  if (!enabled(level)) return;
  try {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const std::int64_t time_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    const std::string line = state().json ? json_line(time_ms, level, event, message, fields)
                                          : text_line(time_ms, level, event, message, fields);
    state().logger->log(spdlog_level(level), spdlog::string_view_t(line.data(), line.size()));
  } catch (...) {
    // Out of memory or stderr closed. The work matters more than the line about it.
  }
}

void debug(std::string_view event, std::string_view message, const Fields& fields) {
  write(LogLevel::debug, event, message, fields);
}
void info(std::string_view event, std::string_view message, const Fields& fields) {
  write(LogLevel::info, event, message, fields);
}
void warning(std::string_view event, std::string_view message, const Fields& fields) {
  write(LogLevel::warning, event, message, fields);
}
void error(std::string_view event, std::string_view message, const Fields& fields) {
  write(LogLevel::error, event, message, fields);
}

}  // namespace objectlink::log
