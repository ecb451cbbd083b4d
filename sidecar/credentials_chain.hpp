// The usual chain of AWS: what is set in the environment and in files, else the role that the daemon runs as.
// A store that names a profile uses that, and asks nobody.
#pragma once

#include <string>

#include "credentials.hpp"
#include "role_credentials.hpp"
#include "shared_credentials.hpp"

namespace objectlink {

class CredentialsChain final : public CredentialsSource {
 public:
  explicit CredentialsChain(Environment environment = process_environment);
  CredentialsResult get(const std::string& profile) override;
  CredentialsResult get_anew(const std::string& profile) override;

 private:
  CredentialsResult or_role(CredentialsResult shared, const std::string& profile);

  SharedCredentials shared_;
  RoleCredentials role_;
};

}  // namespace objectlink
