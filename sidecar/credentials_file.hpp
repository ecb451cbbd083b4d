// What do the AWS shared files (~/.aws/credentials, ~/.aws/config) say?
// Reads the ini dialect of "Shared config and credentials files" in the AWS SDKs' reference guide. Chooses nothing and
// checks no keys: that is credentials.hpp.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "secret.hpp"

namespace objectlink {

using Profile = std::map<std::string, Secret>;    // lower-case setting -> value (secret or not, treated alike)
using Profiles = std::map<std::string, Profile>;  // profile name -> settings

enum class SharedFileKind {
  credentials,  // sections are [name]
  config,       // sections are [profile name] and [default]
};

// Lenient as the AWS tools are: a line that makes no sense is skipped; indented lines belong to the setting above (as
// in "s3 =") and are skipped; a setting given twice: the last counts; a section given twice is merged.
Profiles parse_shared_file(std::string_view text, SharedFileKind kind);

// One file, read again when it changed. One thread.
class WatchedProfiles {
 public:
  enum class State { absent, unreadable, read };

  // Looks at the file (one stat) and reads it if it is not the one read before.
  void refresh(const std::string& path, SharedFileKind kind);

  State state() const { return state_; }
  const std::string& error() const { return error_; }  // the system's words, when unreadable
  bool readable_by_others() const { return readable_by_others_; }
  const Profiles& profiles() const { return profiles_; }

 private:
  struct Identity {
    unsigned long long device = 0, inode = 0, size = 0;
    long long mtime_seconds = 0, mtime_nanoseconds = 0;
    bool operator==(const Identity&) const = default;
  };
  State state_ = State::absent;
  Identity identity_;
  Profiles profiles_;
  std::string error_;
  bool readable_by_others_ = false;
};

}  // namespace objectlink
