#include "role_source.hpp"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <pugixml.hpp>
#include <string_view>
#include <utility>

#include "core/uri.hpp"
#include "s3_error.hpp"
#include "s3_time.hpp"

namespace objectlink {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds nearby_connect_timeout{1000};
constexpr milliseconds nearby_timeout{2000};
constexpr milliseconds sts_timeout{10'000};
constexpr std::size_t answer_bytes_max = 64 * 1024;
constexpr std::size_t token_bytes_max = 64 * 1024;
constexpr const char* metadata_token_seconds = "21600";  // what the service allows at most

CredentialsResult failed(std::string origin, const std::string& why) {
  CredentialsResult result;
  result.error = origin + ": " + why;
  result.origin = std::move(origin);
  return result;
}

std::string explain(const HttpReply& reply) {
  return reply.outcome == HttpReply::Outcome::replied ? "status " + std::to_string(reply.status) : reply.error;
}

HttpRequest nearby_request(std::string method, std::string url, HttpHeaders headers = {}) {
  HttpRequest request;
  request.method = std::move(method);
  request.url = std::move(url);
  request.headers = std::move(headers);
  request.connect_timeout = nearby_connect_timeout;
  request.request_timeout = nearby_timeout;
  request.max_body_bytes = answer_bytes_max;
  return request;
}

// Without the line end that editors and shells add.
std::optional<Secret> read_token(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(file), {});
  if (file.bad() || text.size() > token_bytes_max) return std::nullopt;
  text.erase(std::min(text.find_last_not_of(" \r\n\t") + 1, text.size()));
  if (text.empty()) return std::nullopt;
  return Secret(text);
}

CredentialsResult from_json(std::string origin, const std::string& body) {
  const auto answer = nlohmann::json::parse(body, nullptr, false);
  if (!answer.is_object()) return failed(std::move(origin), "the answer is not a JSON object");
  const auto text = [&answer](const char* name) {
    const auto found = answer.find(name);
    return found != answer.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  // The metadata service says so in an answer of status 200.
  if (const std::string code = text("Code"); !code.empty() && code != "Success")
    return failed(std::move(origin), presentable(code, 100) + " " + presentable(text("Message")));
  return checked(
      {text("AccessKeyId"), Secret(text("SecretAccessKey")), Secret(text("Token")), parse_iso8601(text("Expiration"))},
      std::move(origin), "AccessKeyId", "SecretAccessKey");
}

// Web identity

std::string sts_endpoint(const Environment& environment) {
  if (const auto endpoint = environment("AWS_ENDPOINT_URL_STS")) return *endpoint;
  auto region = environment("AWS_REGION");
  if (!region) region = environment("AWS_DEFAULT_REGION");
  if (!region) return "https://sts.amazonaws.com";
  return "https://sts." + *region + ".amazonaws.com" + (region->starts_with("cn-") ? ".cn" : "");
}

CredentialsResult from_sts(std::string origin, const HttpReply& reply) {
  pugi::xml_document document;
  if (!document.load_buffer(reply.body.data(), reply.body.size())) return failed(std::move(origin), explain(reply));
  if (reply.status != 200) {
    const pugi::xml_node error = document.child("ErrorResponse").child("Error");
    const std::string code = error.child_value("Code");
    return failed(std::move(origin), code.empty()
                                         ? explain(reply)
                                         : presentable(code, 100) + " " + presentable(error.child_value("Message")));
  }
  const pugi::xml_node keys =
      document.child("AssumeRoleWithWebIdentityResponse").child("AssumeRoleWithWebIdentityResult").child("Credentials");
  return checked({keys.child_value("AccessKeyId"), Secret(keys.child_value("SecretAccessKey")),
                  Secret(keys.child_value("SessionToken")), parse_iso8601(keys.child_value("Expiration"))},
                 std::move(origin), "AccessKeyId", "SecretAccessKey");
}

CredentialsResult from_web_identity(const Environment& environment, const AskHttp& ask, const std::string& token_file,
                                    const std::string& role) {
  std::string origin = "web identity for " + presentable(role, 200);
  const auto token = read_token(token_file);
  if (!token) return failed(std::move(origin), token_file + " holds no token, or cannot be read");
  HttpRequest request =
      nearby_request("POST", sts_endpoint(environment) + "/", {{"content-type", "application/x-www-form-urlencoded"}});
  request.connect_timeout = request.request_timeout = sts_timeout;
  // In the body, as an URL is printed in places.
  request.body = std::make_shared<const std::string>(
      "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=" + percent_encode(role) +
      "&RoleSessionName=" + percent_encode(environment("AWS_ROLE_SESSION_NAME").value_or("objectlinkd")) +
      "&WebIdentityToken=" + percent_encode(token->reveal()));
  const HttpReply reply = ask(std::move(request));
  if (reply.outcome != HttpReply::Outcome::replied) return failed(std::move(origin), explain(reply));
  return from_sts(std::move(origin), reply);
}

// Container

// Whoever gets the request sees the container's token, and what he answers is signed with.
bool may_be_asked(std::string_view url) {
  const std::size_t host = url.find("://");
  if (host == std::string_view::npos) return false;
  const std::size_t path = url.find_first_of("/?#", host + 3);
  const auto endpoint = parse_endpoint(url.substr(0, path));
  if (!endpoint) return false;
  if (endpoint->tls) return true;
  static constexpr std::string_view nearby[] = {"localhost", "[::1]", "169.254.170.2", "169.254.170.23",
                                                "[fd00:ec2::23]"};
  const std::string_view name = endpoint->host;
  // An address, and no name that begins like one.
  const bool loopback = name.starts_with("127.") && name.find_first_not_of("0123456789.") == std::string_view::npos;
  return loopback || std::ranges::find(nearby, name) != std::ranges::end(nearby);
}

CredentialsResult from_container(const Environment& environment, const AskHttp& ask, const std::string& url) {
  std::string origin = "the container's role";
  if (!may_be_asked(url))
    return failed(std::move(origin), "AWS_CONTAINER_CREDENTIALS_FULL_URI names a host that may only be asked by https");
  HttpRequest request = nearby_request("GET", url);
  std::optional<Secret> token;
  if (const auto file = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
    token = read_token(*file);
    if (!token) return failed(std::move(origin), *file + " holds no token, or cannot be read");
  } else if (const auto text = environment("AWS_CONTAINER_AUTHORIZATION_TOKEN")) {
    token = Secret(*text);
  }
  if (token) request.headers.emplace_back("authorization", std::string(token->reveal()));
  const HttpReply reply = ask(std::move(request));
  if (reply.status != 200) return failed(std::move(origin), explain(reply));
  return from_json(std::move(origin), reply.body);
}

// Instance

std::string metadata_endpoint(const Environment& environment) {
  if (const auto endpoint = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT")) {
    const auto end = endpoint->find_last_not_of('/');
    return endpoint->substr(0, end == std::string::npos ? 0 : end + 1);
  }
  return environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE").value_or("") == "IPv6" ? "http://[fd00:ec2::254]"
                                                                                      : "http://169.254.169.254";
}

CredentialsResult from_instance(const Environment& environment, const AskHttp& ask) {
  std::string origin = "the instance's role";
  const std::string service = metadata_endpoint(environment) + "/latest/";
  const HttpReply token = ask(
      nearby_request("PUT", service + "api/token", {{"x-aws-ec2-metadata-token-ttl-seconds", metadata_token_seconds}}));
  if (token.status != 200 || token.body.empty())
    return failed(std::move(origin), "the metadata service gives no token: " + explain(token));
  const HttpHeaders with_token = {{"x-aws-ec2-metadata-token", token.body}};
  const std::string roles = service + "meta-data/iam/security-credentials/";
  const HttpReply listed = ask(nearby_request("GET", roles, with_token));
  if (listed.status == 404) return failed(std::move(origin), "the instance has none");
  const std::string role = listed.body.substr(0, listed.body.find_first_of("\r\n"));
  if (listed.status != 200 || role.empty()) return failed(std::move(origin), explain(listed));
  origin += " " + presentable(role, 100);
  const HttpReply keys = ask(nearby_request("GET", roles + percent_encode(role), with_token));
  if (keys.status != 200) return failed(std::move(origin), explain(keys));
  return from_json(std::move(origin), keys.body);
}

}  // namespace

CredentialsResult ask_for_role(const Environment& environment, const AskHttp& ask) {
  const auto token_file = environment("AWS_WEB_IDENTITY_TOKEN_FILE");
  const auto role = environment("AWS_ROLE_ARN");
  if (token_file && role) return from_web_identity(environment, ask, *token_file, *role);
  if (const auto path = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"))
    return from_container(environment, ask, "http://169.254.170.2" + *path);
  if (const auto url = environment("AWS_CONTAINER_CREDENTIALS_FULL_URI")) return from_container(environment, ask, *url);
  if (environment("AWS_EC2_METADATA_DISABLED").value_or("") == "true")
    return failed("roles", "none is set up, and AWS_EC2_METADATA_DISABLED is true");
  return from_instance(environment, ask);
}

}  // namespace objectlink
