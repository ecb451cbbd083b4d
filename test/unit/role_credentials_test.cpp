// Goal: keys of a role are there without waiting, renewed in time, kept while a renewal fails, and never given out once they have expired.
// Method: answers from a script, given when the test says so; how long is waited is asked of the function that decides it.
#include "role_credentials.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <mutex>

#include "credentials_chain.hpp"
#include "loopback_server.hpp"

namespace objectlink {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;
using testing::HasSubstr;

CredentialsResult keys(const std::string& id, std::optional<seconds> left = {}) {
  CredentialsResult result;
  result.origin = "a role";
  result.credentials = Credentials{id, Secret("s"), Secret("t"), std::nullopt};
  if (left) result.credentials->expires_at = system_clock::now() + *left;
  return result;
}

CredentialsResult refusal(const std::string& why) {
  CredentialsResult result;
  result.origin = "a role";
  result.error = why;
  return result;
}

// Gives its answers in order, and the last one again and again.
class Script {
 public:
  explicit Script(std::deque<CredentialsResult> answers) : answers_(std::move(answers)) {}
  CredentialsResult operator()(const std::stop_token&) {
    const std::lock_guard lock(mutex_);
    ++asked;
    CredentialsResult answer = answers_.front();
    if (answers_.size() > 1) answers_.pop_front();
    return answer;
  }
  std::atomic<int> asked = 0;

 private:
  std::mutex mutex_;
  std::deque<CredentialsResult> answers_;
};

template <typename Condition>
bool eventually(Condition condition) {
  const auto end = steady_clock::now() + seconds{10};
  while (!condition()) {
    if (steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds{5});
  }
  return true;
}

TEST(RoleCredentialsTest, TheFirstCallWaitsForTheAnswer) {
  Script script({keys("ASIA1")});
  RoleCredentials role([&script](const std::stop_token& stop) { return script(stop); });
  EXPECT_EQ(script.asked, 0);  // not before somebody needs them
  EXPECT_EQ(role.get().credentials->access_key_id, "ASIA1");
  for (int i = 0; i < 100; ++i) role.get();
  EXPECT_EQ(script.asked, 1);
}

TEST(RoleCredentialsTest, OneThatHangsIsNotWaitedForToTheEnd) {
  RoleCredentials role(
      [](const std::stop_token& stop) {
        while (!stop.stop_requested()) std::this_thread::sleep_for(milliseconds{5});
        return refusal("stopped");
      },
      milliseconds{20});
  for (int i = 0; i < 100; ++i) EXPECT_THAT(role.get().error, HasSubstr("being asked for"));
}

TEST(RoleCredentialsTest, WhatIsRefusedIsAskedForAgain) {
  Script script({keys("ASIA1"), keys("ASIA2")});
  RoleCredentials role([&script](const std::stop_token& stop) { return script(stop); });
  EXPECT_EQ(role.get().credentials->access_key_id, "ASIA1");
  role.renew();
  EXPECT_TRUE(eventually([&role] { return role.get().credentials->access_key_id == "ASIA2"; }));
}

TEST(RoleCredentialsTest, AFailedRenewalTakesNoKeysThatAreGood) {
  Script script({keys("ASIA1", hours{1}), refusal("no answer")});
  RoleCredentials role([&script](const std::stop_token& stop) { return script(stop); });
  role.get();
  role.renew();
  EXPECT_TRUE(eventually([&script] { return script.asked >= 2; }));
  EXPECT_EQ(role.get().credentials->access_key_id, "ASIA1");
}

TEST(RoleCredentialsTest, ExpiredKeysAreNotGivenOut) {
  Script script({keys("ASIA1", seconds{-1}), refusal("no answer")});
  RoleCredentials role([&script](const std::stop_token& stop) { return script(stop); });
  EXPECT_THAT(role.get().error, HasSubstr("have expired"));
  EXPECT_FALSE(role.get());
  role.renew();
  EXPECT_TRUE(eventually([&role] { return role.get().error.find("no answer") != std::string::npos; }));
}

TEST(RoleCredentialsTest, AFailureIsToldAndTriedAgain) {
  Script script({refusal("no answer"), keys("ASIA1")});
  RoleCredentials role([&script](const std::stop_token& stop) { return script(stop); });
  EXPECT_THAT(role.get().error, HasSubstr("no answer"));
  EXPECT_TRUE(eventually([&role] { return bool(role.get()); }));  // within a second, by its backoff
}

TEST(RoleCredentialsTest, WhenTheyAreRenewed) {
  const auto now = system_clock::now();
  const auto after = [now](std::optional<seconds> left) {
    Credentials credentials;
    if (left) credentials.expires_at = now + *left;
    return RoleCredentials::renewal_after(credentials, now);
  };
  EXPECT_EQ(after(minutes{15}), minutes{10});
  EXPECT_EQ(after(hours{6}), hours{1});
  EXPECT_EQ(after({}), hours{1});
  EXPECT_EQ(after(minutes{5}), seconds{10});
  EXPECT_EQ(after(seconds{-5}), seconds{10});
}

class CredentialsChainTest : public testing::Test {
 protected:
  std::optional<std::string> variable(const char* name) const {
    const auto found = environment_.find(name);
    return found == environment_.end() ? std::nullopt : std::optional(found->second);
  }

  LoopbackServer server_{[](const std::string&) {
    const std::string body = R"({"AccessKeyId":"ASIA","SecretAccessKey":"s","Token":"t"})";
    return LoopbackServer::Answer{"HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                                  body};
  }};
  std::map<std::string, std::string> environment_ = {{"HOME", "/nonexistent"},
                                                     {"AWS_CONTAINER_CREDENTIALS_FULL_URI", server_.url() + "/keys"}};
  CredentialsChain chain_{[this](const char* name) { return variable(name); }};
};

TEST_F(CredentialsChainTest, TheRoleIsAskedWhereNothingIsSet) {
  const auto result = chain_.get("");
  ASSERT_TRUE(result) << result.error;
  EXPECT_EQ(result.credentials->access_key_id, "ASIA");
  EXPECT_EQ(result.origin, "the container's role");
  chain_.get_anew("");
  EXPECT_TRUE(eventually([this] { return server_.requests().size() == 2; }));
}

TEST_F(CredentialsChainTest, ButNotWhereSomethingWasMeant) {
  EXPECT_THAT(chain_.get("docs").error, HasSubstr("profile \"docs\""));
  environment_["AWS_PROFILE"] = "docs";
  EXPECT_FALSE(chain_.get(""));
  environment_.erase("AWS_PROFILE");
  environment_["AWS_SHARED_CREDENTIALS_FILE"] = "/nonexistent/credentials";
  EXPECT_FALSE(chain_.get(""));
  environment_.erase("AWS_SHARED_CREDENTIALS_FILE");
  environment_["AWS_ACCESS_KEY_ID"] = "half a pair";
  EXPECT_FALSE(chain_.get(""));
  chain_.get_anew("");
  EXPECT_TRUE(server_.requests().empty());
}

TEST_F(CredentialsChainTest, WhatMakesNoRequestIsAnError) {
  environment_["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "two\nlines";
  const std::string error = chain_.get("").error;
  EXPECT_THAT(error, HasSubstr("make no request"));
  EXPECT_THAT(error, HasSubstr("AWS_ACCESS_KEY_ID is not set"));
}

}  // namespace
}  // namespace objectlink
