// Who gives this machine, container or pod temporary keys, and how is he asked?
// In this order, as the SDKs of AWS do ("Standardized credential providers" of their reference guide):
//   web identity  AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN: sts:AssumeRoleWithWebIdentity
//   container     AWS_CONTAINER_CREDENTIALS_FULL_URI or _RELATIVE_URI
//   instance      the metadata service, version 2 only, unless AWS_EC2_METADATA_DISABLED is "true"
// Only the first one that is set up is asked. Neither errors nor origins hold a secret.
#pragma once

#include <functional>

#include "credentials.hpp"
#include "http_message.hpp"

namespace objectlink {

// Sends a request and waits for its end.
using AskHttp = std::function<HttpReply(HttpRequest request)>;

CredentialsResult ask_for_role(const Environment& environment, const AskHttp& ask);

}  // namespace objectlink
