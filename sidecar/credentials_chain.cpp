#include "credentials_chain.hpp"

#include <chrono>
#include <exception>
#include <utility>

#include "http.hpp"
#include "role_source.hpp"

namespace objectlink {
namespace {

constexpr std::chrono::milliseconds stop_look_interval{100};

// Each of its requests has a limit of time; a daemon that ends does not wait for it.
HttpReply exchange(HttpClient& client, HttpRequest request, const std::stop_token& stop) {
  HttpReply answer;
  answer.error = "stopped";
  client.start(std::move(request), [&answer](HttpReply&& reply) { answer = std::move(reply); });
  while (client.active() > 0 && !stop.stop_requested()) client.run(stop_look_interval);
  return answer;
}

// What the environment holds may make no request: a token with a line end in it, an address that is none.
CredentialsResult fetch(const Environment& environment, const std::stop_token& stop) {
  try {
    HttpClient client;
    return ask_for_role(environment, [&](HttpRequest request) { return exchange(client, std::move(request), stop); });
  } catch (const std::exception&) {
    CredentialsResult result;
    result.error = "the role cannot be asked for: its address or token make no request";
    return result;
  }
}

}  // namespace

CredentialsChain::CredentialsChain(Environment environment)
    : shared_(environment),
      role_([environment = std::move(environment)](const std::stop_token& stop) { return fetch(environment, stop); }) {}

CredentialsResult CredentialsChain::get(const std::string& profile) { return or_role(shared_.get(profile), profile); }

CredentialsResult CredentialsChain::get_anew(const std::string& profile) {
  CredentialsResult shared = shared_.get_anew(profile);
  if (!shared && shared.nothing_set && profile.empty()) role_.renew();
  return or_role(std::move(shared), profile);
}

CredentialsResult CredentialsChain::or_role(CredentialsResult shared, const std::string& profile) {
  if (shared || !shared.nothing_set || !profile.empty()) return shared;
  CredentialsResult role = role_.get();
  if (!role) role.error = shared.error + "; " + role.error;
  return role;
}

}  // namespace objectlink
