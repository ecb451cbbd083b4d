// Goal: HttpClient serves all that it was given, no more at once than allowed, and waits only as long as it should.
// Method: a loopback server, clients with small limits, other threads and descriptors that end a wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "http.hpp"
#include "http_exchange.hpp"
#include "loopback_server.hpp"

namespace objectlink {
namespace {

using namespace std::chrono_literals;
using After = LoopbackServer::After;

TEST(HttpRun, WhatWaitsInTheQueueCanBeTooLateToo) {
  const LoopbackServer server(always_ok);
  HttpClient client({.max_transfers = 1});
  std::vector<HttpFailure> failures;
  const auto note = [&](HttpReply&& reply) { failures.push_back(reply.failure); };
  client.start({.url = server.url() + "/"}, note);
  HttpRequest late{.url = server.url() + "/late"};
  late.send_before = std::chrono::steady_clock::now();
  client.start(late, note);
  EXPECT_EQ(client.active(), 2u);
  finish(client);
  EXPECT_THAT(failures, testing::ElementsAre(HttpFailure::none, HttpFailure::too_late));
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST(HttpRun, NeverMoreTransfersThanAllowedAndAllAreServed) {
  std::atomic<int> at_once = 0, most = 0;
  const LoopbackServer server([&](const std::string&) {
    int now = ++at_once;
    for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
    }
    std::this_thread::yield();
    --at_once;
    return LoopbackServer::Answer{ok_reply, After::keep};
  });
  HttpClient client({.max_transfers = 4});
  int done = 0;
  for (int i = 0; i < 200; ++i)
    client.start({.url = server.url() + "/"}, [&](HttpReply&& reply) { done += reply.status == 200 ? 1 : 0; });
  EXPECT_EQ(client.active(), 200u);
  finish(client);
  EXPECT_EQ(done, 200);
  EXPECT_LE(most, 4);
  EXPECT_LE(server.connections(), 4u);
}

TEST(HttpRun, CompletionsMayStartNewRequests) {
  const LoopbackServer server(always_ok);
  HttpClient client;
  int left = 50;
  std::function<void(HttpReply &&)> again = [&](HttpReply&& reply) {
    EXPECT_EQ(reply.status, 200);
    if (--left > 0) client.start({.url = server.url() + "/"}, again);
  };
  client.start({.url = server.url() + "/"}, again);
  finish(client);
  EXPECT_EQ(left, 0);
}

TEST(HttpRun, DestructionAbandonsWhatIsUnderWay) {
  const LoopbackServer server([](const std::string&) { return LoopbackServer::Answer{"", After::hold}; });
  bool called = false;
  {
    HttpClient client({.max_transfers = 1});
    client.start({.url = server.url() + "/"}, [&](HttpReply&&) { called = true; });
    client.start({.url = server.url() + "/"}, [&](HttpReply&&) { called = true; });
    while (server.requests().empty()) client.run(10ms);
  }
  EXPECT_FALSE(called);
}

TEST(HttpRun, RunWaitsNoLongerThanAsked) {
  HttpClient client;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(client.run(0ms));
  EXPECT_FALSE(client.run(-5ms));
  EXPECT_FALSE(client.run(20ms));
  const auto spent = std::chrono::steady_clock::now() - start;
  EXPECT_GE(spent, 20ms);
  EXPECT_LT(spent, 2s);
}

TEST(HttpRun, WakeEndsTheWaitBeforeAndDuring) {
  HttpClient client;
  const auto start = std::chrono::steady_clock::now();
  client.wake();
  EXPECT_FALSE(client.run(10s));
  std::thread other([&] { client.wake(); });
  EXPECT_FALSE(client.run(10s));
  other.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
}

TEST(HttpRun, AWatchedDescriptorEndsTheWait) {
  HttpClient client;
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  ASSERT_EQ(::write(pipe[1], "x", 1), 1);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(client.run(10s, pipe[0]));
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  ::close(pipe[0]);
  ::close(pipe[1]);

  const LoopbackServer server(always_ok);
  ASSERT_EQ(::pipe(pipe), 0);
  int done = 0;
  client.start({.url = server.url() + "/"}, [&](HttpReply&&) { ++done; });
  while (client.active() > 0) client.run(1s, pipe[0]);
  EXPECT_EQ(done, 1);
  ::close(pipe[0]);
  ::close(pipe[1]);
}

}  // namespace
}  // namespace objectlink
