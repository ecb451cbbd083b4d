#include "redact.hpp"

#include <array>

namespace objectlink {

namespace {

// A name that contains one of these, in lower case and with underscores, means a secret.
constexpr std::array<std::string_view, 9> secret_words{"password",   "passwd",        "secret",
                                                       "token",      "authorization", "signature",
                                                       "passphrase", "private_key",   "x_amz_credential"};

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

// The end of a value that starts at `from`: quoted as libpq and ini files do, or up to a separator.
std::size_t value_end(std::string_view text, std::size_t from) {
  if (from < text.size() && (text[from] == '\'' || text[from] == '"')) {
    const char quote = text[from];
    for (std::size_t i = from + 1; i < text.size(); ++i) {
      if (text[i] == '\\')
        ++i;
      else if (text[i] == quote)
        return i + 1;
    }
    return text.size();
  }
  const std::size_t end = text.find_first_of("& \t\r\n,;\"'", from);
  return end == std::string_view::npos ? text.size() : end;
}

std::string redact_pairs(std::string_view text) {
  std::string out;
  std::size_t copied = 0;
  for (std::size_t i = text.find('='); i != std::string_view::npos; i = text.find('=', i + 1)) {
    if (i < copied) continue;
    std::size_t name_end = i;
    while (name_end > copied && text[name_end - 1] == ' ') --name_end;
    std::size_t name = name_end;
    while (name > copied && is_name_character(text[name - 1])) --name;
    if (!is_secret_name(text.substr(name, name_end - name))) continue;
    std::size_t value = i + 1;
    while (value < text.size() && text[value] == ' ') ++value;
    out.append(text.substr(copied, value - copied)).append(redacted);
    copied = value_end(text, value);
  }
  return out.append(text.substr(copied));
}

// scheme://user:password@host
std::string redact_userinfo(std::string text) {
  for (std::size_t at = text.find("://"); at != std::string::npos; at = text.find("://", at + 3)) {
    const std::size_t start = at + 3;
    const std::size_t end = text.find_first_of("/?# \t\r\n\"'", start);
    const std::string_view authority =
        std::string_view(text).substr(start, end == std::string::npos ? end : end - start);
    const std::size_t host = authority.rfind('@');
    const std::size_t colon = authority.find(':');
    if (host == std::string_view::npos || colon == std::string_view::npos || colon > host) continue;
    text.replace(start + colon + 1, host - colon - 1, redacted);
  }
  return text;
}

}  // namespace

bool is_secret_name(std::string_view name) {
  std::string plain;
  plain.reserve(name.size());
  for (const char c : name) {
    if (c == '-')
      plain += '_';
    else if (c >= 'A' && c <= 'Z')
      plain += static_cast<char>(c - 'A' + 'a');
    else
      plain += c;
  }
  for (const std::string_view word : secret_words) {
    if (plain.find(word) != std::string::npos) return true;
  }
  return false;
}

std::string redact_text(std::string_view text) {
  if (text.find('=') == std::string_view::npos && text.find("://") == std::string_view::npos) return std::string(text);
  return redact_userinfo(redact_pairs(text));
}

}  // namespace objectlink
