// Reading the AWS shared files: see credentials_file.hpp.
#include "credentials_file.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

namespace objectlink {
namespace {

constexpr std::size_t file_bytes_max = 1 << 20;
constexpr std::string_view blanks = " \t\r\f\v";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool blank(char c) { return blanks.find(c) != std::string_view::npos; }

// " # so" and " ; so" at the end of a value are comments; without the blank before them they belong to the value.
std::string_view without_comment(std::string_view value) {
  for (std::size_t i = 1; i < value.size(); ++i)
    if ((value[i] == '#' || value[i] == ';') && blank(value[i - 1])) return value.substr(0, i);
  return value;
}

// The profile that a section is about, or nothing for other sections ("sso-session x", "services y").
std::string_view profile_of(std::string_view section, SharedFileKind kind) {
  if (kind == SharedFileKind::credentials || section == "default") return section;
  constexpr std::string_view word = "profile";
  if (section.starts_with(word) && section.size() > word.size() && blank(section[word.size()])) {
    section = trim(section.substr(word.size()));
    if (section.size() >= 2 && section.front() == '"' && section.back() == '"')
      section = section.substr(1, section.size() - 2);
    return section;
  }
  return {};
}

class OpenFile {
 public:
  explicit OpenFile(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
  ~OpenFile() {
    if (fd_ >= 0) ::close(fd_);
  }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

}  // namespace

Profiles parse_shared_file(std::string_view text, SharedFileKind kind) {
  Profiles profiles;
  Profile* current = nullptr;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));

    if (line.empty() || blank(line.front()) || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      const std::size_t close = line.find(']');
      const std::string_view name =
          close == std::string_view::npos ? std::string_view{} : profile_of(trim(line.substr(1, close - 1)), kind);
      current = name.empty() ? nullptr : &profiles[std::string(name)];
      continue;
    }
    const std::size_t equals = line.find('=');
    if (current == nullptr || equals == std::string_view::npos) continue;
    std::string setting(trim(line.substr(0, equals)));
    std::transform(setting.begin(), setting.end(), setting.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
    const std::string_view value = trim(without_comment(line.substr(equals + 1)));
    if (!setting.empty()) (*current)[setting] = Secret(value);
  }
  return profiles;
}

void WatchedProfiles::refresh(const std::string& path, SharedFileKind kind) {
  struct stat now {};
  if (::stat(path.c_str(), &now) != 0) {
    const int cause = errno;
    profiles_.clear();
    identity_ = {};
    readable_by_others_ = false;
    state_ = cause == ENOENT || cause == ENOTDIR ? State::absent : State::unreadable;
    error_ = std::strerror(cause);
    return;
  }
  const Identity identity{now.st_dev, now.st_ino, static_cast<unsigned long long>(now.st_size), now.st_mtim.tv_sec,
                          now.st_mtim.tv_nsec};
  readable_by_others_ = (now.st_mode & (S_IRGRP | S_IROTH)) != 0;
  if (state_ == State::read && identity == identity_) return;

  profiles_.clear();
  identity_ = {};
  state_ = State::unreadable;
  const OpenFile file(path);
  if (file.fd() < 0) {
    error_ = std::strerror(errno);
    return;
  }
  std::string text;
  text.reserve(file_bytes_max + 1);  // so that growing leaves no copies of secrets behind
  char buffer[4096];
  ssize_t count = 0;
  while (text.size() <= file_bytes_max && (count = ::read(file.fd(), buffer, sizeof buffer)) > 0)
    text.append(buffer, static_cast<std::size_t>(count));
  if (count < 0) {
    error_ = std::strerror(errno);
  } else if (text.size() > file_bytes_max) {
    error_ = "larger than 1 MiB";
  } else {
    profiles_ = parse_shared_file(text, kind);
    identity_ = identity;  // taken before reading: a change in between is seen at the next look
    state_ = State::read;
    error_.clear();
  }
  OPENSSL_cleanse(text.data(), text.size());
  OPENSSL_cleanse(buffer, sizeof buffer);
}

}  // namespace objectlink
