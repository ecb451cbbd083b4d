// Which keys are set in the environment and in the AWS shared files?
// A profile named by the store -> that profile in the shared files, and nothing else; otherwise the environment
// (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), then the shared files with AWS_PROFILE or "default".
// Shared files: AWS_SHARED_CREDENTIALS_FILE or ~/.aws/credentials, then AWS_CONFIG_FILE or ~/.aws/config.
// A file is read again as soon as its inode, size or mtime differ, so mended credentials work without a restart. One thread.
#pragma once

#include <map>
#include <string>

#include "credentials.hpp"
#include "credentials_file.hpp"

namespace objectlink {

class SharedCredentials final : public CredentialsSource {
 public:
  explicit SharedCredentials(Environment environment = process_environment);
  CredentialsResult get(const std::string& profile) override;
  CredentialsResult get_anew(const std::string& profile) override;

 private:
  CredentialsResult from_environment() const;
  CredentialsResult from_files(const std::string& profile);
  std::string path_of(const char* variable, const char* below_home) const;

  Environment environment_;
  std::map<std::string, WatchedProfiles> files_;  // by path
};

}  // namespace objectlink
