#include "dsn.hpp"

#include <libpq-fe.h>

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "redact.hpp"

namespace objectlink {

namespace {

struct Setting {
  std::string name;
  std::string value;
  bool secret = false;
};

// libpq's message may quote a piece of the text, and the piece may be half a password ("p=a b").
std::string without_quotes(const char* message) {
  std::string out;
  bool inside = false;
  for (const char* c = message; c != nullptr && *c != '\0' && *c != '\n'; ++c) {
    if (*c == '"') {
      if (!inside) out += "...";
      inside = !inside;
    } else if (!inside) {
      out += *c;
    }
  }
  return out;
}

std::vector<Setting> settings_of(const std::string& dsn) {
  if (dsn.find('\0') != std::string::npos) throw std::invalid_argument("connection string has a NUL byte");
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfoParse(dsn.c_str(), &message),
                                                                             &PQconninfoFree);
  const std::unique_ptr<char, decltype(&PQfreemem)> owned_message(message, &PQfreemem);
  if (!options) throw std::invalid_argument("connection string is malformed: " + without_quotes(message));
  std::vector<Setting> settings;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val == nullptr) continue;
    // libpq marks what a dialog should hide with '*'.
    const bool secret = std::string_view(option->dispchar) == "*" || is_secret_name(option->keyword);
    settings.push_back({option->keyword, option->val, secret});
  }
  return settings;
}

std::string quoted(std::string_view value) {
  std::string out = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out += '\'';
}

bool is_plain(std::string_view value) {
  return !value.empty() && value.find_first_of(" '\\\t\r\n") == std::string_view::npos;
}

void add_unless_set(std::vector<Setting>& settings, std::string_view name, std::string_view value) {
  for (const Setting& setting : settings) {
    if (setting.name == name) return;
  }
  settings.push_back({std::string(name), std::string(value)});
}

bool names_several_hosts(const std::vector<Setting>& settings) {
  bool host_given = false;
  for (const Setting& setting : settings) {
    if (setting.name != "host" && setting.name != "hostaddr") continue;
    host_given = true;
    if (setting.value.find(',') != std::string::npos) return true;
  }
  const char* from_environment = std::getenv("PGHOST");
  return !host_given && from_environment != nullptr &&
         std::string_view(from_environment).find(',') != std::string::npos;
}

}  // namespace

std::string daemon_dsn(const std::string& dsn) {
  std::vector<Setting> settings = settings_of(dsn);
  add_unless_set(settings, "application_name", "objectlinkd");
  add_unless_set(settings, "client_encoding", "UTF8");
  add_unless_set(settings, "connect_timeout", "5");
  add_unless_set(settings, "keepalives", "1");
  add_unless_set(settings, "keepalives_idle", "10");
  add_unless_set(settings, "keepalives_interval", "3");
  add_unless_set(settings, "keepalives_count", "3");
  add_unless_set(settings, "tcp_user_timeout", "15000");
  if (names_several_hosts(settings) && std::getenv("PGTARGETSESSIONATTRS") == nullptr) {
    add_unless_set(settings, "target_session_attrs", "primary");
  }
  std::string out;
  for (const Setting& setting : settings) {
    if (!out.empty()) out += ' ';
    out.append(setting.name).append("=").append(quoted(setting.value));
  }
  return out;
}

std::string redacted_dsn(const std::string& dsn) {
  std::vector<Setting> settings;
  try {
    settings = settings_of(dsn);
  } catch (const std::invalid_argument&) {
    return std::string(redacted);
  }
  std::string out;
  for (const Setting& setting : settings) {
    if (!out.empty()) out += ' ';
    out.append(setting.name).append("=");
    if (setting.secret)
      out += redacted;
    else
      out += is_plain(setting.value) ? setting.value : quoted(setting.value);
  }
  return out;
}

bool dsn_has_password(const std::string& dsn) {
  try {
    for (const Setting& setting : settings_of(dsn)) {
      if (setting.secret && !setting.value.empty()) return true;
    }
  } catch (const std::invalid_argument&) {
    return false;
  }
  return false;
}

}  // namespace objectlink
