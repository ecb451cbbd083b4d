// Which keys does the daemon sign with?
// Order: a profile named by the store -> that profile in the shared files, and nothing else; otherwise the environment
// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), then the shared files with AWS_PROFILE or "default".
// Shared files: AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials, then AWS_CONFIG_FILE or ~/.aws/config.
// Does not ask the network (web identity, container and instance roles).
// Errors are values; neither errors nor warnings ever hold a secret.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "credentials_file.hpp"
#include "secret.hpp"

namespace objectlink {

struct Credentials {
  std::string access_key_id = {};
  Secret secret_access_key = {};
  Secret session_token = {};  // empty: long-term keys
  std::optional<std::chrono::system_clock::time_point> expires_at = {};
};

struct CredentialsResult {
  std::optional<Credentials> credentials = {};
  std::string origin = {};  // where they came from, for logs: "environment", "profile docs in /home/a/.aws/credentials"
  std::string error = {};   // not empty exactly if there are no credentials: what was looked at and what was wrong
  std::string warning = {};  // e.g. a credentials file that others can read; may stand beside credentials
  explicit operator bool() const { return credentials.has_value(); }
};

// Whether they would sign alike.
bool same_keys(const Credentials& one, const Credentials& other);

class CredentialsSource {
 public:
  virtual ~CredentialsSource() = default;
  // profile: the store's option, empty for the usual chain. Cheap enough to be called for each batch of requests.
  virtual CredentialsResult get(const std::string& profile) = 0;
  // The same, but nothing remembered counts: for when a store has refused what get() gave.
  virtual CredentialsResult get_anew(const std::string& profile) { return get(profile); }
};

// The chain above. A file is read again as soon as its inode, size or mtime differ, so mended credentials work without
// a restart. One thread.
class SharedCredentials final : public CredentialsSource {
 public:
  using Environment = std::function<std::optional<std::string>(const char* name)>;
  SharedCredentials();  // the environment of the process
  explicit SharedCredentials(Environment environment);
  CredentialsResult get(const std::string& profile) override;
  CredentialsResult get_anew(const std::string& profile) override;

 private:
  CredentialsResult from_environment() const;
  CredentialsResult from_files(const std::string& profile);
  std::string path_of(const char* variable, const char* below_home) const;

  Environment environment_;
  std::map<std::string, WatchedProfiles> files_;  // by path
};

// Always the same answer. For tests and for keys given on the command line.
class FixedCredentials final : public CredentialsSource {
 public:
  explicit FixedCredentials(Credentials credentials) : credentials_(std::move(credentials)) {}
  CredentialsResult get(const std::string&) override { return {credentials_, "fixed", {}, {}}; }

 private:
  Credentials credentials_;
};

}  // namespace objectlink
