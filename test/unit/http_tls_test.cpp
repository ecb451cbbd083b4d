// Goal: a request goes only to a server whose certificate is proved, and where it does not, it was not sent.
// Method: servers with certificates that are unknown, for another name, too old, or right.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "http.hpp"
#include "tls_server.hpp"

namespace objectlink {
namespace {

using Outcome = HttpReply::Outcome;

class HttpTls : public testing::Test {
 protected:
  void SetUp() override {
    const int fd = ::mkstemp(ca_file_.data());
    ASSERT_GE(fd, 0);
    ::close(fd);
  }
  void TearDown() override { ::unlink(ca_file_.c_str()); }

  HttpReply exchange(const TlsServer& server, const std::string& ca_file) {
    HttpReply result;
    client_.start({.method = "PUT", .url = server.url(), .ca_file = ca_file},
                  [&](HttpReply&& reply) { result = reply; });
    while (client_.active() > 0) client_.run(std::chrono::seconds{1});
    return result;
  }
  std::string trust(const TlsServer& server) {
    std::ofstream(ca_file_) << server.pem();
    return ca_file_;
  }

  std::string ca_file_ = testing::TempDir() + "http_tls_test.XXXXXX";
  HttpClient client_;
};

TEST_F(HttpTls, AKnownCertificateIsTrusted) {
  const TlsServer server("IP:127.0.0.1");
  const HttpReply reply = exchange(server, trust(server));
  EXPECT_EQ(reply.status, 200) << reply.error;
  EXPECT_EQ(server.requests(), 1);
}

TEST_F(HttpTls, AnUnknownCertificateIsNotEvenAfterATrustedOne) {
  const TlsServer server("IP:127.0.0.1"), other("IP:127.0.0.1");
  EXPECT_EQ(exchange(server, trust(server)).status, 200);
  for (const TlsServer* stranger : {&server, &other}) {
    const HttpReply reply = exchange(*stranger, stranger == &server ? "" : ca_file_);
    EXPECT_EQ(reply.outcome, Outcome::not_sent);
    EXPECT_EQ(reply.failure, HttpFailure::tls) << reply.error;
  }
  EXPECT_EQ(server.requests(), 1);
  EXPECT_EQ(other.requests(), 0);
  EXPECT_EQ(exchange(server, ca_file_).status, 200);
}

TEST_F(HttpTls, ACertificateForAnotherNameIsNot) {
  const TlsServer server("DNS:elsewhere.example");
  const HttpReply reply = exchange(server, trust(server));
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::tls) << reply.error;
  EXPECT_EQ(server.requests(), 0);
}

TEST_F(HttpTls, AnExpiredCertificateIsNot) {
  const TlsServer server("IP:127.0.0.1", -60);
  const HttpReply reply = exchange(server, trust(server));
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::tls) << reply.error;
  EXPECT_EQ(server.requests(), 0);
}

TEST_F(HttpTls, AnOldProtocolIsNot) {
  const TlsServer server("IP:127.0.0.1", 3600, TLS1_1_VERSION);
  const HttpReply reply = exchange(server, trust(server));
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::tls) << reply.error;
}

TEST_F(HttpTls, AMissingCaFileIsOurOwnFault) {
  const TlsServer server("IP:127.0.0.1");
  const HttpReply reply = exchange(server, "/nonexistent/ca.pem");
  EXPECT_EQ(reply.outcome, Outcome::not_sent);
  EXPECT_EQ(reply.failure, HttpFailure::local) << reply.error;
  EXPECT_EQ(server.requests(), 0);
}

}  // namespace
}  // namespace objectlink
