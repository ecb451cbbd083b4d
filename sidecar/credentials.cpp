#include "credentials.hpp"

#include <cstdlib>
#include <string_view>
#include <utility>

namespace objectlink {
namespace {

// Bytes outside of printable ASCII would end up in a header; what they are is not said, it may be a secret.
bool printable(std::string_view text) {
  for (char c : text)
    if (c <= ' ' || c > '~') return false;
  return true;
}

}  // namespace

bool same_keys(const Credentials& one, const Credentials& other) {
  return one.access_key_id == other.access_key_id &&
         one.secret_access_key.reveal() == other.secret_access_key.reveal() &&
         one.session_token.reveal() == other.session_token.reveal();
}

CredentialsResult checked(Credentials keys, std::string origin, const char* id_name, const char* secret_name) {
  CredentialsResult result;
  if (keys.access_key_id.empty()) {
    result.error = origin + " has a secret access key but no " + id_name;
  } else if (keys.secret_access_key.empty()) {
    result.error = origin + " has an access key id but no " + secret_name;
  } else if (!printable(keys.access_key_id) || !printable(keys.secret_access_key.reveal()) ||
             !printable(keys.session_token.reveal())) {
    result.error = origin + " holds a key with blanks or characters that are not printable ASCII";
  } else if (keys.access_key_id.find('/') != std::string::npos || keys.access_key_id.find(',') != std::string::npos) {
    result.error = origin + " holds an access key id with '/' or ','";
  } else {
    result.credentials = std::move(keys);
  }
  result.origin = std::move(origin);
  return result;
}

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

}  // namespace objectlink
