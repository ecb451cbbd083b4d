// Goal: what HttpClient says about a request's fate is true, and what it sends is what it was given.
// Method: a loopback server that answers, stalls, cuts and babbles as the test says. No sleeps: run() until done.
#include "http.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "http_exchange.hpp"
#include "loopback_server.hpp"

namespace objectlink {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using After = LoopbackServer::After;
using Outcome = HttpReply::Outcome;

// A port where nobody listens: bound, but not listening, while the test runs.
class DeadPort {
 public:
  DeadPort() {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    ::bind(fd_, reinterpret_cast<sockaddr*>(&address), length);
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
  }
  ~DeadPort() { ::close(fd_); }
  DeadPort(const DeadPort&) = delete;
  DeadPort& operator=(const DeadPort&) = delete;
  std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int fd_ = -1;
  int port_ = 0;
};

TEST(Http, ARepliedRequestHasStatusHeadersAndBody) {
  const HttpReply reply = reply_to(
      "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\n"
      "HTTP/1.1 404 Gone For Lunch\r\nX-Amz-Request-Id:  tx 1 \r\nETag: \"a\"\r\nEmpty:\r\nContent-Length: "
      "3\r\n\r\nabc");
  EXPECT_EQ(reply.outcome, Outcome::replied);
  EXPECT_EQ(reply.failure, HttpFailure::none);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.body, "abc");
  EXPECT_EQ(*reply.header("x-amz-request-id"), "tx 1");
  EXPECT_EQ(*reply.header("etag"), "\"a\"");
  EXPECT_EQ(*reply.header("empty"), "");
  EXPECT_EQ(reply.header("x-interim"), nullptr);
  EXPECT_EQ(reply.header("ETag"), nullptr);
  EXPECT_EQ(reply.method, "GET");
  EXPECT_GT(reply.seconds, 0);
}

TEST(Http, ThePathIsSentAsItStands) {
  const LoopbackServer server(always_ok);
  for (const char* path :
       {"/b/a/../../other/x", "/b/./a", "/b//a", "/b/%2e%2e/x", "/b/..", "/b/a%2Fb", "//b", "/?a=&b"}) {
    HttpRequest request;
    request.url = server.url() + path;
    EXPECT_EQ(exchange(server, request).status, 200);
    EXPECT_THAT(server.requests().back(), StartsWith("GET " + std::string(path) + " HTTP/1.1\r\n"));
  }
}

TEST(Http, SendsWhatItWasGivenAndNothingOfItsOwn) {
  const LoopbackServer server(always_ok);
  HttpRequest put{.method = "PUT", .url = server.url() + "/k"};
  put.headers = {{"host", "elsewhere:1"}, {"x-amz-meta-a", "1"}, {"x-empty", ""}};
  put.body = body(std::string(3 << 20, 'b'));
  EXPECT_EQ(exchange(server, put).status, 200);
  const std::string sent = server.requests().back();
  const std::string head = sent.substr(0, sent.find("\r\n\r\n") + 4);
  EXPECT_THAT(head, StartsWith("PUT /k HTTP/1.1\r\n"));
  EXPECT_THAT(head, HasSubstr("Host: elsewhere:1\r\n"));
  EXPECT_THAT(head, HasSubstr("x-amz-meta-a: 1\r\n"));
  EXPECT_THAT(head, HasSubstr("x-empty:\r\n"));
  EXPECT_THAT(head, HasSubstr("Content-Length: 3145728\r\n"));
  EXPECT_THAT(head, HasSubstr("User-Agent: objectlinkd\r\n"));
  for (const char* unwanted : {"Expect", "Content-Type", "Accept-Encoding", "Transfer-Encoding", "127.0.0.1"})
    EXPECT_THAT(head, Not(HasSubstr(unwanted)));
  EXPECT_EQ(sent.size(), head.size() + (3 << 20));
}

TEST(Http, AHandleRemembersNothingOfTheRequestBefore) {
  const LoopbackServer server([](const std::string& request) {
    const bool head = request.starts_with("HEAD");
    return LoopbackServer::Answer{head ? "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" : ok_reply, After::keep};
  });
  HttpClient client;
  const auto send = [&](const char* method, std::shared_ptr<const std::string> content) {
    HttpRequest request{.method = method, .url = server.url() + "/"};
    request.body = std::move(content);
    EXPECT_EQ(exchange(client, request).status, 200);
    return server.requests().back();
  };
  for (int round = 0; round < 2; ++round) {
    EXPECT_THAT(send("PUT", body("x")), testing::AllOf(StartsWith("PUT "), HasSubstr("Content-Length: 1\r\n")));
    EXPECT_THAT(send("HEAD", nullptr), testing::AllOf(StartsWith("HEAD "), Not(HasSubstr("Content-Length"))));
    EXPECT_THAT(send("DELETE", nullptr), testing::AllOf(StartsWith("DELETE "), Not(HasSubstr("Content-Length"))));
    EXPECT_THAT(send("POST", nullptr), testing::AllOf(StartsWith("POST "), HasSubstr("Content-Length: 0\r\n")));
    EXPECT_THAT(send("GET", nullptr), testing::AllOf(StartsWith("GET "), Not(HasSubstr("Content-Length"))));
  }
  EXPECT_EQ(server.connections(), 1u);  // kept alive
}

TEST(Http, ARefusedConnectionIsProvedNotSent) {
  const DeadPort port;
  HttpClient client;
  const HttpReply reply = exchange(client, {.url = "http://" + port.authority() + "/"});
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::connect);
  EXPECT_EQ(reply.status, 0);
  EXPECT_FALSE(reply.error.empty());
}

TEST(Http, AnUnknownNameIsProvedNotSent) {
  HttpClient client;
  const HttpReply reply = exchange(client, {.url = "http://no-such-host.invalid/"});
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::resolve);
}

TEST(Http, AFailedTlsHandshakeIsProvedNotSent) {
  // The first bytes of a TLS client contain no end of an HTTP request, so the server just waits: the client gives up.
  const LoopbackServer server(always_ok);
  HttpClient client;
  HttpRequest request{.url = "https" + server.url().substr(4) + "/"};
  request.connect_timeout = 200ms;
  HttpReply reply = exchange(client, request);
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
  EXPECT_TRUE(server.requests().empty());

  request.ca_file = "/nonexistent/ca.pem";
  reply = exchange(client, request);
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
}

TEST(Http, OtherSchemesAndBrokenUrlsAreProvedNotSent) {
  HttpClient client;
  for (const char* url : {"file:///etc/passwd", "ftp://127.0.0.1/", "http://", "http://a b/", ""}) {
    const HttpReply reply = exchange(client, {.url = url});
    EXPECT_EQ(reply.outcome, Outcome::not_sent) << url;
    EXPECT_NE(reply.failure, HttpFailure::none) << url;
  }
}

TEST(Http, AConnectionClosedWithoutReplyIsUnknown) {
  const HttpReply reply = reply_to("");
  EXPECT_EQ(reply.outcome, Outcome::unknown);
  EXPECT_EQ(reply.failure, HttpFailure::cut);
}

TEST(Http, ACutReplyIsUnknownWhereverItIsCut) {
  const std::string whole = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const HttpReply reply = reply_to(whole.substr(0, length));
    EXPECT_EQ(reply.outcome, Outcome::unknown) << length;
    EXPECT_EQ(reply.status, 0) << length;
  }
  const HttpReply chunked = reply_to("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  EXPECT_EQ(chunked.outcome, Outcome::unknown);
  EXPECT_EQ(chunked.failure, HttpFailure::cut);
  const HttpReply interim = reply_to("HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(interim.outcome, Outcome::unknown);
}

TEST(Http, BabbleIsUnknown) {
  for (const char* bytes : {"SSH-2.0-OpenSSH_9\r\n", "ok", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const HttpReply reply = reply_to(bytes);
    EXPECT_EQ(reply.outcome, Outcome::unknown) << bytes;
  }
}

TEST(Http, ASlowReplyTimesOutAsUnknown) {
  HttpRequest request;
  request.request_timeout = 150ms;
  HttpReply reply = reply_to("", After::hold, request);
  EXPECT_EQ(reply.outcome, Outcome::unknown);
  EXPECT_EQ(reply.failure, HttpFailure::timeout);
  reply = reply_to("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", After::hold, request);
  EXPECT_EQ(reply.outcome, Outcome::unknown);
  EXPECT_EQ(reply.failure, HttpFailure::timeout);
}

TEST(Http, TooManyHeaderBytesEndTheRequest) {
  std::string bytes = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";
  for (int i = 0; i < 1000; ++i) bytes += "X-" + std::to_string(i) + ": " + std::string(80, 'h') + "\r\n";
  HttpReply reply = reply_to(bytes + "\r\n");
  EXPECT_EQ(reply.outcome, Outcome::unknown);
  EXPECT_EQ(reply.failure, HttpFailure::limit);
  reply = reply_to("HTTP/1.1 200 OK\r\nX: " + std::string(200'000, 'h') + "\r\n\r\n");
  EXPECT_EQ(reply.outcome, Outcome::unknown);
}

TEST(Http, TooLargeABodyEndsTheRequest) {
  HttpRequest request;
  request.max_body_bytes = 4;
  EXPECT_EQ(reply_to("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd", After::close, request).status, 200);
  for (const char* bytes : {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde", "HTTP/1.1 200 OK\r\n\r\nabcde",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"}) {
    const HttpReply reply = reply_to(bytes, After::close, request);
    EXPECT_EQ(reply.outcome, Outcome::unknown) << bytes;
    EXPECT_EQ(reply.failure, HttpFailure::limit) << bytes;
  }
}

TEST(Http, RedirectsAreNotFollowed) {
  const LoopbackServer other(always_ok);
  const HttpReply reply =
      reply_to("HTTP/1.1 307 Elsewhere\r\nLocation: " + other.url() + "/\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(reply.status, 307);
  EXPECT_TRUE(other.requests().empty());
}

TEST(Http, HeadersThatWouldBreakTheMessageAreRefused) {
  HttpClient client;
  const auto refuse = [&](HttpRequest request) {
    EXPECT_THROW(client.start(std::move(request), [](HttpReply&&) { FAIL(); }), std::invalid_argument);
  };
  refuse({.url = "http://127.0.0.1/", .headers = {{"a", "b\r\nc: d"}}});
  refuse({.url = "http://127.0.0.1/", .headers = {{"a\n", "b"}}});
  refuse({.url = "http://127.0.0.1/", .headers = {{"a", std::string("b\0", 2)}}});
  refuse({.url = "http://127.0.0.1/", .headers = {{"", "b"}}});
  refuse({.url = "http://127.0.0.1/", .headers = {{"a:", "b"}}});
  refuse({.url = "http://127.0.0.1/\r\nx"});
  refuse({.method = "GET\r\n", .url = "http://127.0.0.1/"});
  EXPECT_EQ(client.active(), 0u);
}

TEST(Http, AMutationIsNeverSentTwice) {
  // The first request on a connection is answered, the second finds it closed: libcurl would send it again by itself.
  const LoopbackServer server([](const std::string& request) {
    const bool first = request.find("/first") != std::string::npos;
    return LoopbackServer::Answer{first ? ok_reply : "", first ? After::keep : After::close};
  });
  for (const char* method : {"PUT", "DELETE", "POST"}) {
    HttpClient client;
    EXPECT_EQ(exchange(client, {.url = server.url() + "/first"}).status, 200);
    const std::size_t before = server.requests().size();
    const HttpReply reply = exchange(client, {.method = method, .url = server.url() + "/second"});
    EXPECT_EQ(reply.outcome, Outcome::unknown) << method;
    EXPECT_EQ(reply.failure, HttpFailure::cut) << method;
    EXPECT_EQ(server.requests().size(), before + 1) << method;
  }
}

TEST(Http, AReadMayBeSentAgainWhenItsConnectionWasGone) {
  std::atomic<int> seconds = 0;
  const LoopbackServer server([&](const std::string& request) {
    const bool drop = request.find("/second") != std::string::npos && seconds++ == 0;
    return LoopbackServer::Answer{drop ? "" : ok_reply, drop ? After::close : After::keep};
  });
  HttpClient client;
  EXPECT_EQ(exchange(client, {.url = server.url() + "/first"}).status, 200);
  EXPECT_EQ(exchange(client, {.url = server.url() + "/second"}).status, 200);
  EXPECT_EQ(seconds, 2);
}

TEST(Http, PastItsTimeARequestIsNotSent) {
  const LoopbackServer server(always_ok);
  HttpRequest request{.method = "DELETE", .url = server.url() + "/"};
  request.send_before = std::chrono::steady_clock::now() - 1ms;
  const HttpReply reply = exchange(server, request);
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::too_late);
  EXPECT_TRUE(server.requests().empty());
  request.send_before = std::chrono::steady_clock::now() + 1h;
  EXPECT_EQ(exchange(server, request).status, 200);
}

TEST(Http, TheEnvironmentsProxyIsIgnored) {
  const LoopbackServer server(always_ok);
  const DeadPort port;
  ::setenv("http_proxy", ("http://" + port.authority()).c_str(), 1);
  EXPECT_EQ(exchange(server).status, 200);
  ::unsetenv("http_proxy");
}

TEST(Http, AConfiguredProxyIsUsed) {
  const LoopbackServer proxy(always_ok);
  HttpClient client({.proxy = proxy.url()});
  EXPECT_EQ(exchange(client, {.url = "http://elsewhere.invalid/a/../b"}).status, 200);
  EXPECT_THAT(proxy.requests().back(), StartsWith("GET http://elsewhere.invalid/a/../b HTTP/1.1\r\n"));
}

}  // namespace
}  // namespace objectlink
