// Goal: requests run beside the loop, never more at once than the store allows, never after the lease, and every one of
// them comes back exactly once, in the loop's thread.
// Method: a loopback server that holds its replies until the test lets them go. No sleeps: conditions with a limit.
#include "transport.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <future>
#include <map>
#include <stdexcept>

#include "loopback_server.hpp"

namespace objectlink {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;
using testing::ElementsAre;
using testing::HasSubstr;
using HttpOutcome = HttpReply::Outcome;

constexpr auto limit = 10s;

// Lets requests through one by one, or all, and knows how many it held at once.
class Gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    held_max_ = std::max(held_max_, ++held_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_ || permits_ > 0; });
    if (!open_) --permits_;
    --held_;
    changed_.notify_all();
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void let_one_pass() {
    const std::lock_guard lock(mutex_);
    ++permits_;
    changed_.notify_all();
  }
  // True once this many are held.
  bool wait_for(int held) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return held_ == held && permits_ == 0; });
  }
  int held_max() const {
    const std::lock_guard lock(mutex_);
    return held_max_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int permits_ = 0;
  int held_ = 0;
  int held_max_ = 0;
};

// Replaces environment variables while it lives.
class ProcessEnvironment {
 public:
  explicit ProcessEnvironment(const std::map<std::string, std::string>& values) {
    for (const auto& [name, value] : values) {
      const char* before = std::getenv(name.c_str());
      before_[name] = before ? std::optional<std::string>(before) : std::nullopt;
      ::setenv(name.c_str(), value.c_str(), 1);
    }
  }
  ~ProcessEnvironment() {
    for (const auto& [name, value] : before_) {
      if (value)
        ::setenv(name.c_str(), value->c_str(), 1);
      else
        ::unsetenv(name.c_str());
    }
  }
  ProcessEnvironment(const ProcessEnvironment&) = delete;
  ProcessEnvironment& operator=(const ProcessEnvironment&) = delete;

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

const std::map<std::string, std::string> no_keys = {{"AWS_ACCESS_KEY_ID", ""},
                                                    {"AWS_SECRET_ACCESS_KEY", ""},
                                                    {"AWS_SESSION_TOKEN", ""},
                                                    {"AWS_PROFILE", ""},
                                                    {"HOME", "/nonexistent"},
                                                    {"AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials"},
                                                    {"AWS_CONFIG_FILE", "/nonexistent/config"}};

std::map<std::string, std::string> test_keys() {
  auto keys = no_keys;
  keys["AWS_ACCESS_KEY_ID"] = "AKID";
  keys["AWS_SECRET_ACCESS_KEY"] = "secret";
  return keys;
}

LoopbackServer::Answer ok(const std::string&) { return {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}; }

// Answers what the gate lets through.
class GatedServer : public LoopbackServer {
 public:
  explicit GatedServer(Gate& gate)
      : LoopbackServer([&gate](const std::string& request) {
          gate.pass();
          return ok(request);
        }),
        gate_(gate) {}
  ~GatedServer() { gate_.open(); }  // or the server would wait for those that are held, for ever

 private:
  Gate& gate_;
};

StoreConnection connection_to(const LoopbackServer& server, std::size_t concurrency = 32) {
  StoreConnection connection;
  connection.endpoint.endpoint = server.url();
  connection.endpoint.bucket = "docs";
  connection.concurrency = concurrency;
  return connection;
}

StoreConnection unusable() {
  StoreConnection connection;
  connection.endpoint.endpoint = "not an endpoint";
  connection.endpoint.bucket = "docs";
  return connection;
}

Transport::Build head(std::string key = "k") {
  return [key = std::move(key)](S3RequestBuilder& builder, const Signing& signing) {
    return builder.head_object(signing, key);
  };
}
Transport::Build remove(std::string key = "k") {
  return [key = std::move(key)](S3RequestBuilder& builder, const Signing& signing) {
    return builder.delete_object(signing, key);
  };
}

// "DELETE /docs/k"
std::vector<std::string> lines(const LoopbackServer& server) {
  std::vector<std::string> all;
  for (const std::string& request : server.requests()) all.push_back(request.substr(0, request.find(" HTTP/1.1\r\n")));
  return all;
}

class TransportTest : public testing::Test {
 protected:
  TransportTest() { transport_.set_lease(steady_clock::now() + 1h); }

  Transport::Done keep() {
    return [this](const HttpReply& reply) { replies_.push_back(reply); };
  }
  // Takes replies until nothing is active any more.
  void finish() {
    const auto end = steady_clock::now() + limit;
    while (transport_.active() > 0) {
      ASSERT_LT(steady_clock::now(), end) << transport_.active() << " requests never came back";
      replied_.wait(100ms);
      transport_.take_replies();
    }
  }
  HttpReply exchange(int store, bool mutating, Transport::Build build) {
    replies_.clear();
    transport_.submit(store, mutating, std::move(build), keep());
    finish();
    EXPECT_EQ(replies_.size(), 1u);
    return replies_.empty() ? HttpReply{} : replies_.front();
  }
  // Returns when the transport's thread has done everything that was asked of it so far.
  void wait_for_thread() {
    auto reached = std::make_shared<std::promise<void>>();
    auto future = reached->get_future();
    transport_.configure(fence, connection_to(fence_server_));
    transport_.submit(
        fence, false,
        [reached](S3RequestBuilder&, const Signing&) -> HttpRequest {
          reached->set_value();
          throw std::runtime_error("only a fence");
        },
        [](const HttpReply&) {});
    ASSERT_EQ(future.wait_for(limit), std::future_status::ready);
  }

  static constexpr int fence = 99;
  const ProcessEnvironment environment_{test_keys()};
  LoopbackServer fence_server_{ok};
  WakeUp replied_;
  Transport transport_{64, replied_};
  std::vector<HttpReply> replies_;
};

TEST_F(TransportTest, ARequestGoesOutSignedAndItsReplyComesBack) {
  const LoopbackServer server([](const std::string&) {
    return LoopbackServer::Answer{"HTTP/1.1 404 Not Found\r\nX-Amz-Request-Id: tx\r\nContent-Length: 0\r\n\r\n"};
  });
  transport_.configure(1, connection_to(server));
  const HttpReply reply = exchange(1, false, head("a b"));
  EXPECT_EQ(reply.outcome, HttpOutcome::replied);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.method, "HEAD");
  EXPECT_EQ(*reply.header("x-amz-request-id"), "tx");
  EXPECT_THAT(lines(server), ElementsAre("HEAD /docs/a%20b"));
  EXPECT_THAT(server.requests().at(0), HasSubstr("Credential=AKID/"));
  EXPECT_EQ(transport_.active(), 0u);
}

TEST_F(TransportTest, BuildsInItsOwnThreadAndRepliesInTheLoops) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server));
  std::thread::id built_in, replied_in;
  transport_.submit(
      1, false,
      [&built_in](S3RequestBuilder& builder, const Signing& signing) {
        built_in = std::this_thread::get_id();
        return builder.head_object(signing, "k");
      },
      [&replied_in](const HttpReply&) { replied_in = std::this_thread::get_id(); });
  ASSERT_TRUE(replied_.wait(limit));
  // The reply is here, but nobody has taken it yet.
  EXPECT_EQ(replied_in, std::thread::id());
  EXPECT_EQ(transport_.active(), 1u);
  EXPECT_EQ(transport_.take_replies(), 1u);
  EXPECT_EQ(replied_in, std::this_thread::get_id());
  EXPECT_NE(built_in, std::this_thread::get_id());
  EXPECT_EQ(transport_.take_replies(), 0u);
}

TEST_F(TransportTest, ACompletionMaySubmitTheNextRequest) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server, 1));
  transport_.submit(1, false, head("a"), [this](const HttpReply&) { transport_.submit(1, true, remove("b"), keep()); });
  finish();
  EXPECT_THAT(lines(server), ElementsAre("HEAD /docs/a", "DELETE /docs/b"));
  EXPECT_EQ(replies_.size(), 1u);
}

TEST_F(TransportTest, ManyRequestsComeBackOnceEach) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server, 8));
  std::map<int, int> calls;
  for (int i = 0; i < 300; ++i) {
    transport_.submit(1, i % 2 == 0, i % 2 == 0 ? remove("k" + std::to_string(i)) : head("k" + std::to_string(i)),
                      [&calls, i](const HttpReply& reply) { calls[i] += reply.status == 200 ? 1 : 100; });
  }
  finish();
  EXPECT_EQ(calls.size(), 300u);
  for (const auto& [i, count] : calls) EXPECT_EQ(count, 1) << i;
  EXPECT_EQ(server.requests().size(), 300u);
}

TEST_F(TransportTest, AStoreHasNeverMoreUnderWayThanItAllows) {
  Gate gate;
  const GatedServer server(gate);
  transport_.configure(1, connection_to(server, 2));
  for (int i = 0; i < 6; ++i) transport_.submit(1, false, head("k" + std::to_string(i)), keep());
  for (int left = 6; left > 2; --left) {
    ASSERT_TRUE(gate.wait_for(2));
    gate.let_one_pass();
  }
  ASSERT_TRUE(gate.wait_for(2));
  gate.open();
  finish();
  EXPECT_EQ(gate.held_max(), 2);
  EXPECT_EQ(replies_.size(), 6u);
}

TEST_F(TransportTest, AFullStoreHoldsUpNoOther) {
  Gate gate;
  const GatedServer slow(gate);
  const LoopbackServer quick(ok);
  transport_.configure(1, connection_to(slow, 1));
  transport_.configure(2, connection_to(quick, 1));
  for (int i = 0; i < 3; ++i) transport_.submit(1, false, head(), keep());
  bool answered = false;
  transport_.submit(2, false, head(), [&answered](const HttpReply& reply) { answered = reply.status == 200; });
  const auto end = steady_clock::now() + limit;
  while (!answered && steady_clock::now() < end) {
    replied_.wait(100ms);
    transport_.take_replies();
  }
  EXPECT_TRUE(answered);
  EXPECT_EQ(transport_.active(), 3u);
  gate.open();
  finish();
}

TEST_F(TransportTest, AFailureMakesRoomForTheNext) {
  const LoopbackServer server([](const std::string&) {
    return LoopbackServer::Answer{"", LoopbackServer::After::close};
  });
  transport_.configure(1, connection_to(server, 1));
  for (int i = 0; i < 5; ++i) transport_.submit(1, true, remove(), keep());
  finish();
  ASSERT_EQ(replies_.size(), 5u);
  for (const HttpReply& reply : replies_) EXPECT_EQ(reply.outcome, HttpOutcome::unknown);
  EXPECT_EQ(server.requests().size(), 5u);  // none of them repeated
}

TEST_F(TransportTest, DestroyingRequestsNeedTheStoresOwnLeaseToo) {
  LoopbackServer server(ok);
  transport_.configure(1, connection_to(server));
  const auto destroy = [this] {
    replies_.clear();
    transport_.submit(1, true, remove(), keep(), true);
    finish();
    return replies_.at(0).failure;
  };
  EXPECT_EQ(destroy(), HttpFailure::too_late);  // none was ever given
  EXPECT_EQ(exchange(1, true, remove()).failure, HttpFailure::none);
  transport_.set_bounds(1, {.destroys = steady_clock::now() + 1h});
  EXPECT_EQ(destroy(), HttpFailure::none);
  transport_.set_lease(steady_clock::now());  // the session's counts as well
  EXPECT_EQ(destroy(), HttpFailure::too_late);
  transport_.set_lease(steady_clock::now() + 1h);
  transport_.set_bounds(1, {.destroys = steady_clock::now()});
  EXPECT_EQ(destroy(), HttpFailure::too_late);
  // Fenced: nothing that changes anything, looks go on.
  transport_.set_bounds(1, {.changes = steady_clock::time_point::min(), .destroys = steady_clock::now() + 1h});
  EXPECT_EQ(destroy(), HttpFailure::too_late);
  EXPECT_EQ(exchange(1, true, remove()).failure, HttpFailure::too_late);
  EXPECT_EQ(exchange(1, false, head()).failure, HttpFailure::none);
}

TEST_F(TransportTest, WithoutALeaseNothingIsChanged) {
  const LoopbackServer server(ok);
  WakeUp replied;
  Transport transport(4, replied);
  transport.configure(1, connection_to(server));
  std::optional<HttpReply> reply;
  transport.submit(1, true, remove(), [&reply](const HttpReply& came) { reply = came; });
  ASSERT_TRUE(replied.wait(limit));
  transport.take_replies();
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->outcome, HttpOutcome::not_sent);
  EXPECT_EQ(reply->failure, HttpFailure::too_late);
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(TransportTest, AfterTheLeaseOnlyLooksAreSent) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server));
  EXPECT_EQ(exchange(1, true, remove("a")).status, 200);  // also keeps a connection alive
  transport_.set_lease(steady_clock::now() - 1ms);
  const HttpReply refused = exchange(1, true, remove("b"));
  EXPECT_EQ(refused.outcome, HttpOutcome::not_sent);
  EXPECT_EQ(refused.failure, HttpFailure::too_late);
  EXPECT_EQ(exchange(1, false, head("c")).status, 200);
  transport_.set_lease(steady_clock::now() + 1h);
  EXPECT_EQ(exchange(1, true, remove("d")).status, 200);
  EXPECT_THAT(lines(server), ElementsAre("DELETE /docs/a", "HEAD /docs/c", "DELETE /docs/d"));
}

TEST_F(TransportTest, ALeaseThatEndsWhileARequestIsQueuedHoldsItBack) {
  Gate gate;
  const GatedServer server(gate);
  transport_.configure(1, connection_to(server, 1));
  transport_.submit(1, true, remove("a"), keep());
  transport_.submit(1, true, remove("b"), keep());
  ASSERT_TRUE(gate.wait_for(1));
  transport_.set_lease(steady_clock::now() - 1ms);
  gate.open();
  finish();
  EXPECT_THAT(lines(server), ElementsAre("DELETE /docs/a"));
  ASSERT_EQ(replies_.size(), 2u);
  EXPECT_EQ(replies_[0].status, 200);
  EXPECT_EQ(replies_[1].failure, HttpFailure::too_late);
}

TEST_F(TransportTest, AbandonDropsWhatIsQueuedAndCallsNobody) {
  Gate gate;
  const GatedServer server(gate);
  transport_.configure(1, connection_to(server, 1));
  for (int i = 0; i < 4; ++i) transport_.submit(1, true, remove("k" + std::to_string(i)), keep());
  ASSERT_TRUE(gate.wait_for(1));
  transport_.abandon();
  EXPECT_EQ(transport_.active(), 4u);  // until they have ended
  wait_for_thread();
  gate.open();
  finish();
  EXPECT_EQ(transport_.active(), 0u);
  EXPECT_TRUE(replies_.empty());
  EXPECT_THAT(lines(server), ElementsAre("DELETE /docs/k0"));
}

TEST_F(TransportTest, AbandonDropsRepliesThatWaitToBeTaken) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server));
  transport_.submit(1, false, head(), keep());
  ASSERT_TRUE(replied_.wait(limit));
  transport_.abandon();
  EXPECT_EQ(transport_.active(), 1u);
  EXPECT_EQ(transport_.take_replies(), 1u);
  EXPECT_EQ(transport_.active(), 0u);
  EXPECT_TRUE(replies_.empty());
}

TEST_F(TransportTest, AfterAbandonNewRequestsAreServed) {
  Gate gate;
  const GatedServer server(gate);
  transport_.configure(1, connection_to(server, 1));
  transport_.submit(1, false, head("old"), [](const HttpReply&) { FAIL(); });
  ASSERT_TRUE(gate.wait_for(1));
  transport_.abandon();
  transport_.submit(1, false, head("new"), keep());
  gate.open();
  finish();
  ASSERT_EQ(replies_.size(), 1u);
  EXPECT_EQ(replies_[0].status, 200);
  EXPECT_THAT(lines(server), ElementsAre("HEAD /docs/old", "HEAD /docs/new"));
}

TEST_F(TransportTest, ACompletionThatThrowsLeavesNoRequestCountedForEver) {
  transport_.configure(1, unusable());
  for (int i = 0; i < 3; ++i)
    transport_.submit(1, false, head(), [](const HttpReply&) { throw std::runtime_error("session lost"); });
  wait_for_thread();  // all three replies wait to be taken together
  EXPECT_THROW(transport_.take_replies(), std::runtime_error);
  transport_.abandon();
  finish();
  EXPECT_EQ(transport_.active(), 0u);
}

TEST_F(TransportTest, AFaultOfTheSettingsIsAReplyUntilTheyAreMended) {
  transport_.configure(1, unusable());
  const HttpReply reply = exchange(1, true, remove());
  EXPECT_EQ(reply.outcome, HttpOutcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::local);
  EXPECT_EQ(reply.error, "malformed endpoint");
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server));
  EXPECT_EQ(exchange(1, true, remove()).status, 200);
  transport_.configure(1, unusable());
  EXPECT_EQ(exchange(1, true, remove()).error, "malformed endpoint");
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(TransportTest, ARequestThatCannotBeBuiltIsAReply) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server, 1));
  for (int i = 0; i < 3; ++i) {  // more than its concurrency: none may be lost
    const HttpReply reply = exchange(1, true, remove(""));
    EXPECT_EQ(reply.outcome, HttpOutcome::not_sent);
    EXPECT_EQ(reply.failure, HttpFailure::request);
    EXPECT_EQ(reply.error, "empty key");
  }
  EXPECT_EQ(exchange(1, true, remove()).status, 200);
}

TEST_F(TransportTest, ARequestThatCannotBeSentIsAReply) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server, 1));
  const auto broken = [](S3RequestBuilder& builder, const Signing& signing) {
    HttpRequest request = builder.head_object(signing, "k");
    request.headers.emplace_back("x-amz-meta-a", "1\r\nx-amz-acl: public-read");
    return request;
  };
  for (int i = 0; i < 3; ++i) {
    const HttpReply reply = exchange(1, false, broken);
    EXPECT_EQ(reply.outcome, HttpOutcome::not_sent);
    EXPECT_EQ(reply.failure, HttpFailure::request);
    EXPECT_THAT(reply.error, HasSubstr("would break the message"));
  }
  EXPECT_EQ(exchange(1, false, head()).status, 200);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(TransportTest, MissingCredentialsAreAReply) {
  const ProcessEnvironment nothing(no_keys);
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server));
  const HttpReply reply = exchange(1, false, head());
  EXPECT_EQ(reply.outcome, HttpOutcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::local);
  EXPECT_THAT(reply.error, testing::StartsWith("no credentials: "));
  StoreConnection named = connection_to(server);
  named.profile = "nobody";
  transport_.configure(1, named);
  EXPECT_THAT(exchange(1, false, head()).error, HasSubstr("nobody"));
  EXPECT_TRUE(server.requests().empty());
}

// A credentials file, and a store that knows one key.
class RotationTest : public TransportTest {
 protected:
  RotationTest() {
    write("OLD");
    transport_.configure(1, connection_to(server_));
  }
  ~RotationTest() override {
    gate_.open();
    ::unlink(path_.c_str());
  }

  // Keys are of one length, so nothing but its time stamp tells that the file has changed.
  void write(const std::string& key) const {
    std::ofstream(path_, std::ios::trunc)
        << "[default]\naws_access_key_id = " << key << "\naws_secret_access_key = s\n";
    ::chmod(path_.c_str(), 0600);
    const timespec times[] = {{1'000'000, 0}, {1'000'000, 0}};
    if (!stamped_) ::utimensat(AT_FDCWD, path_.c_str(), times, 0);
  }
  void submit(int requests, const Transport::Build& build = head(), bool mutating = false) {
    for (int i = 0; i < requests; ++i) transport_.submit(1, mutating, build, keep());
    ASSERT_TRUE(gate_.wait_for(requests));
  }
  int signed_with(const std::string& key) const {
    const auto requests = server_.requests();
    return static_cast<int>(std::count_if(requests.begin(), requests.end(), [&key](const std::string& request) {
      return request.find("Credential=" + key + "/") != std::string::npos;
    }));
  }
  std::vector<long> statuses() const {
    std::vector<long> all;
    for (const HttpReply& reply : replies_) all.push_back(reply.status);
    return all;
  }

  const std::string path_ = testing::TempDir() + "credentials-" + std::to_string(::getpid());
  bool stamped_ = true;  // by the system; or always the same
  const ProcessEnvironment files_{[this] {
    auto values = no_keys;
    values["AWS_SHARED_CREDENTIALS_FILE"] = path_;
    return values;
  }()};
  std::string known_ = "NEW";
  std::string code_ = "InvalidAccessKeyId";
  std::atomic<int> rotations_left_ = 0;  // with each request
  Gate gate_;
  LoopbackServer server_{[this](const std::string& request) {
    gate_.pass();
    if (rotations_left_ > 0) write("KEY" + std::to_string(rotations_left_--));
    if (request.find("Credential=" + known_ + "/") != std::string::npos) return ok(request);
    const std::string body = request.starts_with("HEAD") ? "" : "<Error><Code>" + code_ + "</Code></Error>";
    return LoopbackServer::Answer{"HTTP/1.1 403 Forbidden\r\nContent-Length: " + std::to_string(body.size()) +
                                  "\r\n\r\n" + body};
  }};
};

TEST_F(RotationTest, WhatIsUnderWayIsSentOnceMoreWithTheNewKeys) {
  submit(4);
  write("NEW");
  gate_.open();
  finish();
  EXPECT_THAT(statuses(), ElementsAre(200, 200, 200, 200));
  EXPECT_TRUE(replies_.front().renewed);
  EXPECT_EQ(signed_with("OLD"), 4);
  EXPECT_EQ(signed_with("NEW"), 4);
}

TEST_F(RotationTest, SoIsWhatChangesTheStoreForItWasNotCarriedOut) {
  for (const char* code : {"InvalidAccessKeyId", "ExpiredToken", "SignatureDoesNotMatch"}) {
    code_ = code;
    write("OLD");
    replies_.clear();
    submit(
        1, [](S3RequestBuilder& builder, const Signing& signing) { return builder.delete_object(signing, "k"); }, true);
    write("NEW");
    gate_.let_one_pass();
    ASSERT_TRUE(gate_.wait_for(1));
    gate_.let_one_pass();
    finish();
    EXPECT_THAT(statuses(), ElementsAre(200)) << code;
  }
}

TEST_F(RotationTest, ButNotAfterTheLease) {
  submit(1, remove(), true);
  write("NEW");
  transport_.set_lease(steady_clock::now() - 1s);
  gate_.open();
  finish();
  EXPECT_EQ(replies_.at(0).failure, HttpFailure::too_late);
  EXPECT_EQ(signed_with("NEW"), 0);
}

TEST_F(RotationTest, AnotherRefusalIsNoReason) {
  code_ = "AccessDenied";
  submit(1, remove(), true);
  write("NEW");
  gate_.open();
  finish();
  EXPECT_THAT(statuses(), ElementsAre(403));
  EXPECT_EQ(server_.requests().size(), 1u);
}

TEST_F(RotationTest, WithoutOtherKeysNothingIsSentAgain) {
  submit(4);
  gate_.open();
  finish();
  EXPECT_THAT(statuses(), ElementsAre(403, 403, 403, 403));
  EXPECT_EQ(server_.requests().size(), 4u);
}

TEST_F(RotationTest, OnlyOnce) {
  known_ = "NONE";
  rotations_left_ = 9;  // there are other keys each time
  submit(1);
  gate_.open();
  finish();
  EXPECT_THAT(statuses(), ElementsAre(403));
  EXPECT_EQ(server_.requests().size(), 2u);
}

TEST_F(RotationTest, AFileThatLooksTheSameIsReadAnewForAllOfThem) {
  stamped_ = false;
  write("OLD");
  submit(4);
  write("NEW");
  gate_.open();
  finish();
  EXPECT_THAT(statuses(), ElementsAre(200, 200, 200, 200));
  EXPECT_EQ(signed_with("NEW"), 4);
}

TEST_F(TransportTest, NewSettingsHoldForWhatIsStillQueued) {
  Gate gate;
  const GatedServer first(gate);
  const LoopbackServer second(ok);
  transport_.configure(1, connection_to(first, 1));
  transport_.submit(1, false, head("a"), keep());
  transport_.submit(1, false, head("b"), keep());
  ASSERT_TRUE(gate.wait_for(1));
  transport_.configure(1, connection_to(second, 1));
  wait_for_thread();
  gate.open();
  finish();
  EXPECT_THAT(lines(first), ElementsAre("HEAD /docs/a"));
  EXPECT_THAT(lines(second), ElementsAre("HEAD /docs/b"));
}

TEST_F(TransportTest, ANewConcurrencyHolds) {
  Gate gate;
  const GatedServer server(gate);
  transport_.configure(1, connection_to(server, 1));
  for (int i = 0; i < 4; ++i) transport_.submit(1, false, head("k" + std::to_string(i)), keep());
  ASSERT_TRUE(gate.wait_for(1));
  transport_.configure(1, connection_to(server, 3));
  EXPECT_TRUE(gate.wait_for(3));  // although nothing has ended
  gate.open();
  finish();
  EXPECT_EQ(gate.held_max(), 3);
}

TEST_F(TransportTest, TheStoresRegionAndClockAreSignedWith) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server));
  transport_.configure(2, connection_to(server));
  transport_.set_region(1, "mars-north-1");
  transport_.set_clock_offset(1, -std::chrono::hours{24 * 366 * 30});
  exchange(1, false, head());
  EXPECT_THAT(server.requests().back(), HasSubstr("/mars-north-1/s3/aws4_request"));
  EXPECT_THAT(server.requests().back(), HasSubstr("x-amz-date: 199"));
  exchange(2, false, head());
  EXPECT_THAT(server.requests().back(), HasSubstr("/us-east-1/s3/aws4_request"));
  EXPECT_THAT(server.requests().back(), HasSubstr("x-amz-date: 20"));
}

TEST_F(TransportTest, ALearntRegionOfUnusableSettingsHarmsNothing) {
  transport_.configure(1, unusable());
  transport_.set_region(1, "mars-north-1");
  EXPECT_EQ(exchange(1, false, head()).error, "malformed endpoint");
}

TEST_F(TransportTest, EndsWhateverIsUnderWay) {
  const LoopbackServer server([](const std::string&) {
    return LoopbackServer::Answer{"", LoopbackServer::After::hold};
  });
  WakeUp replied;
  {
    Transport transport(4, replied);
    transport.configure(1, connection_to(server, 2));
    for (int i = 0; i < 8; ++i) transport.submit(1, false, head(), [](const HttpReply&) { FAIL(); });
  }
  SUCCEED();
}

TEST_F(TransportTest, ABodyIsFreedWhenItsReplyIsIn) {
  const LoopbackServer server(ok);
  transport_.configure(1, connection_to(server));
  auto body = std::make_shared<const std::string>(1 << 16, 'x');
  const std::weak_ptr<const std::string> watch = body;
  transport_.submit(
      1, true,
      [body = std::move(body)](S3RequestBuilder& builder, const Signing& signing) {
        return builder.put_object(signing, {.key = "k", .body = body});
      },
      [&watch](const HttpReply&) { EXPECT_TRUE(watch.expired()); });
  finish();
}

}  // namespace
}  // namespace objectlink
