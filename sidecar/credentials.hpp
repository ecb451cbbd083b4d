// Keys to sign with, where they came from, and the face of those who find them.
// Errors are values; neither errors nor warnings ever hold a secret.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

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
  bool nothing_set = false;  // there are none, and nobody has begun to set any: others may be asked
  explicit operator bool() const { return credentials.has_value(); }
};

// Whether they would sign alike.
bool same_keys(const Credentials& one, const Credentials& other);

// Makes a result of what was found, if it can be signed with. id_name, secret_name: what they are called there, for the error.
CredentialsResult checked(Credentials keys, std::string origin, const char* id_name, const char* secret_name);

// Variables as processes have them, or as tests make them up; nothing for one that is empty.
using Environment = std::function<std::optional<std::string>(const char* name)>;
std::optional<std::string> process_environment(const char* name);

class CredentialsSource {
 public:
  virtual ~CredentialsSource() = default;
  // profile: the store's option, empty for the usual chain. Cheap enough to be called for each batch of requests.
  virtual CredentialsResult get(const std::string& profile) = 0;
  // The same, but nothing remembered counts: for when a store has refused what get() gave.
  virtual CredentialsResult get_anew(const std::string& profile) { return get(profile); }
};

// Always the same answer. For tests.
class FixedCredentials final : public CredentialsSource {
 public:
  explicit FixedCredentials(Credentials credentials) : credentials_(std::move(credentials)) {}
  CredentialsResult get(const std::string&) override { return {credentials_, "fixed", {}, {}}; }

 private:
  Credentials credentials_;
};

}  // namespace objectlink
