// How does a test send one request and wait for its end?
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "http.hpp"
#include "loopback_server.hpp"

namespace objectlink {

inline const std::string ok_reply = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

inline LoopbackServer::Answer always_ok(const std::string&) { return {ok_reply, LoopbackServer::After::keep}; }

// Runs until nothing is active; fails after ten seconds.
inline void finish(HttpClient& client) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds{10};
  while (client.active() > 0) {
    client.run(std::chrono::milliseconds{100});
    ASSERT_LT(std::chrono::steady_clock::now(), limit);
  }
}

inline HttpReply exchange(HttpClient& client, HttpRequest request) {
  HttpReply result;
  int calls = 0;
  client.start(std::move(request), [&](HttpReply&& reply) {
    result = std::move(reply);
    ++calls;
  });
  finish(client);
  EXPECT_EQ(calls, 1);
  return result;
}

inline HttpReply exchange(const LoopbackServer& server, HttpRequest request = {}) {
  HttpClient client;
  if (request.url.empty()) request.url = server.url() + "/";
  return exchange(client, std::move(request));
}

inline HttpReply reply_to(const std::string& bytes, LoopbackServer::After after = LoopbackServer::After::close,
                          HttpRequest request = {}) {
  const LoopbackServer server([&](const std::string&) { return LoopbackServer::Answer{bytes, after}; });
  return exchange(server, std::move(request));
}

inline std::shared_ptr<const std::string> body(std::string text) {
  return std::make_shared<const std::string>(std::move(text));
}

}  // namespace objectlink
