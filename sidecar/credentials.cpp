// The chain of credentials: see credentials.hpp.
#include "credentials.hpp"

#include <cstdlib>
#include <utility>

#include "s3_time.hpp"

namespace objectlink {
namespace {

std::optional<std::string> process_environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return std::string(value);
}

// Bytes outside of printable ASCII would end up in a header; what they are is not said, it may be a secret.
bool printable(std::string_view text) {
  for (char c : text)
    if (c <= ' ' || c > '~') return false;
  return true;
}

struct Triple {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;
};

CredentialsResult checked(Triple keys, std::string origin, const char* id_name, const char* secret_name) {
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
    result.credentials = Credentials{std::move(keys.access_key_id), std::move(keys.secret_access_key),
                                     std::move(keys.session_token), std::nullopt};
  }
  result.origin = std::move(origin);
  return result;
}

Secret setting(const Profile& profile, const char* name) {
  const auto found = profile.find(name);
  return found == profile.end() ? Secret{} : found->second;
}

}  // namespace

bool same_keys(const Credentials& one, const Credentials& other) {
  return one.access_key_id == other.access_key_id &&
         one.secret_access_key.reveal() == other.secret_access_key.reveal() &&
         one.session_token.reveal() == other.session_token.reveal();
}

SharedCredentials::SharedCredentials() : SharedCredentials(process_environment) {}

SharedCredentials::SharedCredentials(Environment environment) : environment_(std::move(environment)) {}

CredentialsResult SharedCredentials::get(const std::string& profile) {
  if (!profile.empty()) return from_files(profile);
  // Half a pair in the environment is a mistake to be told, not a reason to sign with other keys.
  if (environment_("AWS_ACCESS_KEY_ID") || environment_("AWS_SECRET_ACCESS_KEY")) return from_environment();
  CredentialsResult result = from_files(environment_("AWS_PROFILE").value_or("default"));
  if (!result) result.error = "AWS_ACCESS_KEY_ID is not set; " + result.error;
  return result;
}

// A file written over within the grain of its time stamp, at its old length, looks as if nothing had happened.
CredentialsResult SharedCredentials::get_anew(const std::string& profile) {
  files_.clear();
  return get(profile);
}

CredentialsResult SharedCredentials::from_environment() const {
  CredentialsResult result = checked(
      {environment_("AWS_ACCESS_KEY_ID").value_or(""), Secret(environment_("AWS_SECRET_ACCESS_KEY").value_or("")),
       Secret(environment_("AWS_SESSION_TOKEN").value_or(""))},
      "the environment", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY");
  if (const auto expiration = environment_("AWS_CREDENTIAL_EXPIRATION"); result && expiration)
    result.credentials->expires_at = parse_iso8601(*expiration);
  return result;
}

std::string SharedCredentials::path_of(const char* variable, const char* below_home) const {
  std::string path = environment_(variable).value_or("");
  const std::string home = environment_("HOME").value_or("");
  if (path.starts_with("~/") && !home.empty()) path.replace(0, 1, home);
  if (path.empty() && !home.empty()) path = home + below_home;
  return path;
}

CredentialsResult SharedCredentials::from_files(const std::string& profile) {
  struct Place {
    std::string path;
    SharedFileKind kind;
  };
  const Place places[] = {
      {path_of("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"), SharedFileKind::credentials},
      {path_of("AWS_CONFIG_FILE", "/.aws/config"), SharedFileKind::config},
  };
  std::string looked_at, warning;
  for (const Place& place : places) {
    if (place.path.empty()) continue;
    WatchedProfiles& file = files_[place.path];
    file.refresh(place.path, place.kind);
    looked_at += looked_at.empty() ? "" : ", ";
    looked_at += place.path;
    if (file.state() != WatchedProfiles::State::read) {
      looked_at += " (" + file.error() + ")";
      continue;
    }
    const auto found = file.profiles().find(profile);
    if (found == file.profiles().end()) {
      looked_at += " (no such profile)";
      continue;
    }
    const Secret id = setting(found->second, "aws_access_key_id");
    const Secret secret = setting(found->second, "aws_secret_access_key");
    if (id.empty() && secret.empty()) {
      looked_at += " (the profile holds no access key)";
      continue;
    }
    if (file.readable_by_others()) warning = place.path + " can be read by other users: chmod 600 it";
    CredentialsResult result =
        checked({std::string(id.reveal()), secret, setting(found->second, "aws_session_token")},
                "profile \"" + profile + "\" in " + place.path, "aws_access_key_id", "aws_secret_access_key");
    result.warning = warning;
    return result;
  }
  CredentialsResult result;
  result.origin = "profile \"" + profile + "\"";
  result.error = "no credentials for profile \"" + profile + "\": looked at " +
                 (looked_at.empty() ? "no file, because HOME is not set" : looked_at);
  return result;
}

}  // namespace objectlink
