#include "shared_credentials.hpp"

#include <utility>

#include "s3_time.hpp"

namespace objectlink {
namespace {

Secret setting(const Profile& profile, const char* name) {
  const auto found = profile.find(name);
  return found == profile.end() ? Secret{} : found->second;
}

}  // namespace

SharedCredentials::SharedCredentials(Environment environment) : environment_(std::move(environment)) {}

CredentialsResult SharedCredentials::get(const std::string& profile) {
  if (!profile.empty()) return from_files(profile);
  // Half a pair in the environment is a mistake to be told, not a reason to sign with other keys.
  if (environment_("AWS_ACCESS_KEY_ID") || environment_("AWS_SECRET_ACCESS_KEY")) return from_environment();
  const auto chosen = environment_("AWS_PROFILE");
  CredentialsResult result = from_files(chosen.value_or("default"));
  if (chosen) result.nothing_set = false;
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
       Secret(environment_("AWS_SESSION_TOKEN").value_or("")), std::nullopt},
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
    const char* variable;
    std::string path;
    SharedFileKind kind;
  };
  const Place places[] = {
      {"AWS_SHARED_CREDENTIALS_FILE", path_of("AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"),
       SharedFileKind::credentials},
      {"AWS_CONFIG_FILE", path_of("AWS_CONFIG_FILE", "/.aws/config"), SharedFileKind::config},
  };
  std::string looked_at, warning;
  bool nothing_set = true;
  for (const Place& place : places) {
    if (place.path.empty()) continue;
    WatchedProfiles& file = files_[place.path];
    file.refresh(place.path, place.kind);
    looked_at += looked_at.empty() ? "" : ", ";
    looked_at += place.path;
    if (file.state() != WatchedProfiles::State::read) {
      looked_at += " (" + file.error() + ")";
      // One that was named, or that cannot be read, is a mistake to be told.
      nothing_set &= file.state() == WatchedProfiles::State::absent && !environment_(place.variable);
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
        checked({std::string(id.reveal()), secret, setting(found->second, "aws_session_token"), std::nullopt},
                "profile \"" + profile + "\" in " + place.path, "aws_access_key_id", "aws_secret_access_key");
    result.warning = warning;
    return result;
  }
  CredentialsResult result;
  result.origin = "profile \"" + profile + "\"";
  result.nothing_set = nothing_set;
  result.error = "no credentials for profile \"" + profile + "\": looked at " +
                 (looked_at.empty() ? "no file, because HOME is not set" : looked_at);
  return result;
}

}  // namespace objectlink
