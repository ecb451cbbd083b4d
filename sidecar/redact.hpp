// What must never be printed? The one list of names that mean a secret, for log fields and text alike.
#pragma once

#include <string>
#include <string_view>

namespace objectlink {

inline constexpr std::string_view redacted = "***";

// Field and header names, compared without case and with '-' as '_': password, authorization, x-amz-signature, ...
bool is_secret_name(std::string_view name);

// Replaces values of name=value pairs whose name means a secret (query strings of presigned URLs, connection strings)
// and userinfo passwords of URIs.
std::string redact_text(std::string_view text);

}  // namespace objectlink
