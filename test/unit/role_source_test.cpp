// Goal: each way to the keys of a role is asked as its documentation says, its answers are read, and what goes wrong is said without a secret.
// Method: a made-up environment, and a script in place of the network that keeps what was asked.
#include "role_source.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <map>
#include <string>

#include "s3_reply_builder.hpp"
#include "s3_time.hpp"

namespace objectlink {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class RoleSource : public testing::Test {
 protected:
  void TearDown() override { std::remove(token_file_.c_str()); }

  CredentialsResult ask() {
    return ask_for_role(
        [this](const char* name) -> std::optional<std::string> {
          const auto found = environment_.find(name);
          return found == environment_.end() ? std::nullopt : std::optional(found->second);
        },
        [this](HttpRequest request) {
          asked_.push_back(request.method + " " + request.url);
          requests_.push_back(std::move(request));
          if (answers_.empty()) {
            HttpReply lost;
            lost.error = "connection refused";
            return lost;
          }
          HttpReply reply = std::move(answers_.front());
          answers_.pop_front();
          return reply;
        });
  }

  void write_token(const std::string& text) const {
    std::ofstream(token_file_, std::ios::binary | std::ios::trunc) << text;
  }

  std::string header(std::size_t request, std::string_view name) const {
    for (const auto& [key, value] : requests_.at(request).headers)
      if (key == name) return value;
    return "(none)";
  }

  const std::string token_file_ = testing::TempDir() + "token-" + std::to_string(::getpid());
  std::map<std::string, std::string> environment_;
  std::deque<HttpReply> answers_;
  std::vector<std::string> asked_;
  std::vector<HttpRequest> requests_;
};

const std::string keys_json =
    R"({"Code":"Success","AccessKeyId":"ASIA","SecretAccessKey":"s3cr3t","Token":"t0ken","Expiration":"2030-01-02T03:04:05Z"})";

void expect_keys(const CredentialsResult& result, const std::string& origin) {
  ASSERT_TRUE(result) << result.error;
  EXPECT_EQ(result.credentials->access_key_id, "ASIA");
  EXPECT_EQ(result.credentials->secret_access_key.reveal(), "s3cr3t");
  EXPECT_EQ(result.credentials->session_token.reveal(), "t0ken");
  EXPECT_EQ(result.credentials->expires_at, parse_iso8601("2030-01-02T03:04:05Z"));
  EXPECT_EQ(result.origin, origin);
}

TEST_F(RoleSource, TheInstanceIsAskedWithAToken) {
  answers_ = {replied(200, "metadata-token"), replied(200, "docs-role\n"), replied(200, keys_json)};
  expect_keys(ask(), "the instance's role docs-role");
  const std::string service = "http://169.254.169.254/latest/";
  EXPECT_THAT(asked_,
              ElementsAre("PUT " + service + "api/token", "GET " + service + "meta-data/iam/security-credentials/",
                          "GET " + service + "meta-data/iam/security-credentials/docs-role"));
  EXPECT_EQ(header(0, "x-aws-ec2-metadata-token-ttl-seconds"), "21600");
  EXPECT_EQ(header(1, "x-aws-ec2-metadata-token"), "metadata-token");
  EXPECT_EQ(header(2, "x-aws-ec2-metadata-token"), "metadata-token");
  EXPECT_LE(requests_.at(0).connect_timeout, std::chrono::seconds{1});
}

TEST_F(RoleSource, NeverWithoutOne) {
  answers_ = {replied(404, "")};
  EXPECT_THAT(ask().error, HasSubstr("gives no token: status 404"));
  EXPECT_EQ(asked_.size(), 1u);
  answers_.clear();
  EXPECT_THAT(ask().error, HasSubstr("gives no token: connection refused"));
}

TEST_F(RoleSource, AnInstanceWithoutARole) {
  answers_ = {replied(200, "metadata-token"), replied(404, "")};
  EXPECT_THAT(ask().error, HasSubstr("the instance has none"));
}

TEST_F(RoleSource, AnInstanceWhoseRoleIsRefused) {
  answers_ = {replied(200, "metadata-token"), replied(200, "docs-role"),
              replied(200, R"({"Code":"AssumeRoleUnauthorizedAccess","Message":"EC2 cannot assume the role"})")};
  EXPECT_THAT(ask().error, HasSubstr("AssumeRoleUnauthorizedAccess EC2 cannot assume the role"));
}

TEST_F(RoleSource, ElsewhereOrNotAtAll) {
  environment_["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:1338/";
  ask();
  environment_ = {{"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6"}};
  ask();
  EXPECT_THAT(asked_,
              ElementsAre("PUT http://127.0.0.1:1338/latest/api/token", "PUT http://[fd00:ec2::254]/latest/api/token"));
  environment_ = {{"AWS_EC2_METADATA_DISABLED", "true"}};
  EXPECT_THAT(ask().error, HasSubstr("AWS_EC2_METADATA_DISABLED"));
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(RoleSource, TheContainerComesBeforeTheInstance) {
  environment_ = {{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/1"},
                  {"AWS_CONTAINER_CREDENTIALS_FULL_URI", "https://ignored.example.com/"}};
  answers_ = {replied(200, keys_json)};
  expect_keys(ask(), "the container's role");
  EXPECT_THAT(asked_, ElementsAre("GET http://169.254.170.2/v2/credentials/1"));
  EXPECT_EQ(header(0, "authorization"), "(none)");
}

TEST_F(RoleSource, AContainerShowsItsToken) {
  write_token("from-the-file\n");
  environment_ = {{"AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials"},
                  {"AWS_CONTAINER_AUTHORIZATION_TOKEN", "from-the-environment"}};
  answers_ = {replied(200, keys_json), replied(200, keys_json), replied(403, "from-the-file is refused")};
  expect_keys(ask(), "the container's role");
  environment_["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = token_file_;
  expect_keys(ask(), "the container's role");
  EXPECT_EQ(header(0, "authorization"), "from-the-environment");
  EXPECT_EQ(header(1, "authorization"), "from-the-file");
  const std::string error = ask().error;
  EXPECT_THAT(error, HasSubstr("status 403"));
  EXPECT_THAT(error, Not(HasSubstr("from-the-file")));
  std::remove(token_file_.c_str());
  EXPECT_THAT(ask().error, HasSubstr(token_file_ + " holds no token"));
  EXPECT_EQ(asked_.size(), 3u);
}

TEST_F(RoleSource, OnlyNearbyHostsAreAskedInTheClear) {
  for (const char* url : {"http://example.com/keys", "http://10.0.0.1/keys", "http://127.evil.example.com/keys",
                          "http://localhost.example.com/", "http://169.254.170.2@example.com/", "ftp://127.0.0.1/",
                          "127.0.0.1/keys", "http://user@127.0.0.1/"}) {
    environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_THAT(ask().error, HasSubstr("https")) << url;
  }
  EXPECT_THAT(asked_, IsEmpty());
  for (const char* url : {"https://example.com/keys", "http://127.0.0.1:8080/keys?a=b", "http://localhost/keys",
                          "http://[::1]/keys", "http://169.254.170.2", "http://[fd00:ec2::23]/v1"}) {
    environment_["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = url;
    EXPECT_THAT(ask().error, HasSubstr("connection refused")) << url;
  }
  EXPECT_EQ(asked_.size(), 6u);
}

const std::string sts_answer =
    "<AssumeRoleWithWebIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">"
    "<AssumeRoleWithWebIdentityResult><Credentials><SessionToken>t0ken</SessionToken>"
    "<SecretAccessKey>s3cr3t</SecretAccessKey><Expiration>2030-01-02T03:04:05Z</Expiration>"
    "<AccessKeyId>ASIA</AccessKeyId></Credentials></AssumeRoleWithWebIdentityResult>"
    "</AssumeRoleWithWebIdentityResponse>";

TEST_F(RoleSource, WebIdentityComesFirst) {
  write_token("eyJ.a+b.c==\n");
  environment_ = {{"AWS_WEB_IDENTITY_TOKEN_FILE", token_file_},
                  {"AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/docs"},
                  {"AWS_REGION", "eu-central-1"},
                  {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/ignored"}};
  answers_ = {replied(200, sts_answer)};
  expect_keys(ask(), "web identity for arn:aws:iam::123456789012:role/docs");
  EXPECT_THAT(asked_, ElementsAre("POST https://sts.eu-central-1.amazonaws.com/"));
  EXPECT_EQ(header(0, "content-type"), "application/x-www-form-urlencoded");
  EXPECT_EQ(*requests_.at(0).body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2F"
            "docs&RoleSessionName=objectlinkd&WebIdentityToken=eyJ.a%2Bb.c%3D%3D");
}

TEST_F(RoleSource, WhereWebIdentityIsAsked) {
  write_token("token");
  environment_ = {{"AWS_WEB_IDENTITY_TOKEN_FILE", token_file_}, {"AWS_ROLE_ARN", "arn"}};
  ask();
  environment_["AWS_DEFAULT_REGION"] = "cn-north-1";
  ask();
  environment_["AWS_ENDPOINT_URL_STS"] = "https://sts.example.com";
  ask();
  EXPECT_THAT(asked_, ElementsAre("POST https://sts.amazonaws.com/", "POST https://sts.cn-north-1.amazonaws.com.cn/",
                                  "POST https://sts.example.com/"));
}

TEST_F(RoleSource, WebIdentityThatIsRefused) {
  write_token("secret-token");
  environment_ = {{"AWS_WEB_IDENTITY_TOKEN_FILE", token_file_}, {"AWS_ROLE_ARN", "arn"}};
  answers_ = {replied(400,
                      "<ErrorResponse><Error><Code>ExpiredTokenException</Code><Message>Token expired</Message>"
                      "</Error></ErrorResponse>"),
              replied(502, "<html>"), replied(200, "<Other/>")};
  EXPECT_THAT(ask().error, HasSubstr("ExpiredTokenException Token expired"));
  EXPECT_THAT(ask().error, HasSubstr("status 502"));
  EXPECT_FALSE(ask());
  const std::string error = ask().error;
  EXPECT_THAT(error, HasSubstr("connection refused"));
  EXPECT_THAT(error, Not(HasSubstr("secret-token")));
  std::remove(token_file_.c_str());
  EXPECT_THAT(ask().error, HasSubstr("holds no token"));
}

TEST_F(RoleSource, AnswersThatAreNone) {
  environment_["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = "/1";
  for (const char* body : {"", "no JSON", "[]", "{}", R"({"AccessKeyId":1,"SecretAccessKey":"s"})",
                           R"({"AccessKeyId":"ASIA"})", R"({"AccessKeyId":"AS\nIA","SecretAccessKey":"s"})"}) {
    answers_ = {replied(200, body)};
    const auto result = ask();
    EXPECT_FALSE(result) << body;
    EXPECT_THAT(result.error, Not(IsEmpty())) << body;
  }
}

}  // namespace
}  // namespace objectlink
