// How does a test let a job talk to a store that follows a script?
// A fake Errand: builds what the job sends with the real request builder, answers in order with the replies that the test
// has written down, and keeps what came of it. The requests are answered in run(), never inside of send(), as in the daemon.
// A script that is too short or too long fails the test.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "errand.hpp"
#include "s3_reply_builder.hpp"

namespace objectlink {

class ScriptedErrand final : public Errand {
 public:
  // What the job has ended with, where it was no result of its own: the daemon decides what becomes of it.
  struct Failure {
    Work work;
    std::string cause;
    S3Error error;
  };

  ~ScriptedErrand() override {
    EXPECT_TRUE(script_.empty()) << script_.size() << " replies were never asked for";
    EXPECT_TRUE(waiting_.empty()) << "run() was not called";
  }

  // The next reply; `first` runs before the job sees it.
  void answer(HttpReply reply, std::function<void()> first = {}) {
    script_.emplace_back(std::move(reply), std::move(first));
  }

  // Until nothing is under way.
  void run() {
    while (!waiting_.empty()) {
      const auto done = std::move(waiting_.front().second);
      std::string method = std::move(waiting_.front().first);
      waiting_.pop_front();
      if (script_.empty()) {
        ADD_FAILURE() << "no reply is left for " << method;
        return waiting_.clear();
      }
      auto [reply, first] = std::move(script_.front());
      script_.pop_front();
      if (first) first();
      reply.method = method;
      done(reply);
    }
  }

  // "PUT /docs/a%20b?uploadId=1": one for each request, in order.
  std::vector<std::string> transcript() const {
    std::vector<std::string> lines;
    for (const HttpRequest& request : sent) lines.push_back(request.method + " " + request.url.substr(endpoint.size()));
    return lines;
  }

  static std::string header(const HttpRequest& request, std::string_view name) {
    for (const auto& [key, value] : request.headers)
      if (key == name) return value;
    return "(none)";
  }

  // The job's only end: a result. Fails the test if there is another, or none.
  Result result() const {
    EXPECT_EQ(results.size(), 1u);
    EXPECT_EQ(failures.size(), 0u) << failures.front().error.describe();
    return results.size() == 1 ? results.front() : Result{};
  }

  // The job's only end: an error.
  Failure failure() const {
    EXPECT_EQ(results.size(), 0u);
    EXPECT_EQ(failures.size(), 1u);
    return failures.size() == 1 ? failures.front() : Failure{};
  }

  void send(bool mutating, Transport::Build build, Transport::Done done) override {
    HttpRequest request =
        build(builder_, Signing{credentials_, std::chrono::sys_days{std::chrono::year{2024} / 2 / 29}});
    // Whatever changes the store is bound to the lease, and nothing else is.
    EXPECT_EQ(mutating, request.method != "HEAD" && request.method != "GET") << request.method << " " << request.url;
    waiting_.emplace_back(request.method, std::move(done));
    sent.push_back(std::move(request));
  }

  void send_and_read(Transport::Build build, Transport::Read read, Transport::Done done) override {
    send(false, std::move(build), [read = std::move(read), done = std::move(done)](const HttpReply& reply) {
      HttpReply copy = reply;
      read(copy);
      done(copy);
    });
  }

  void destroy(Transport::Build build, Transport::Done done) override {
    send(true, std::move(build), std::move(done));
    destroying.push_back(sent.back().method + " " + sent.back().url.substr(endpoint.size()));
  }

  std::string read_content(const std::string& key, std::int64_t offset, std::int64_t length) override {
    const auto found = content.find(key);
    if (found == content.end() || offset > std::ssize(found->second)) return {};
    return found->second.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(length));
  }

  void settle(Result result) override { results.push_back(std::move(result)); }

  void store_answered() override {
    ++answers;
    bucket_known = true;
  }

  void store_failed(const S3Error& error) override { store_failures.push_back(error); }

  void settle_error(const Work& work, const char* cause, const S3Error& error) override {
    failures.push_back({work, cause, error});
  }

  bool bucket_is_known() const override { return bucket_known; }

  const StoreTraits& traits() const override { return store_traits; }

  static constexpr std::string_view endpoint = "http://127.0.0.1:9000";

  bool bucket_known = false;
  StoreTraits store_traits;
  std::map<std::string, std::string> content;  // by key: what waits in the database
  std::vector<HttpRequest> sent;
  std::vector<Result> results;
  std::vector<Failure> failures;
  std::vector<S3Error> store_failures;
  std::vector<std::string> destroying;  // of the transcript: what was sent as removing something
  int answers = 0;                      // how often the store was said to be well

 private:
  const Credentials credentials_{.access_key_id = "AKID", .secret_access_key = Secret("secret")};
  S3RequestBuilder builder_{StoreEndpoint{.endpoint = std::string(endpoint), .bucket = "docs"}};
  std::deque<std::pair<HttpReply, std::function<void()>>> script_;
  std::deque<std::pair<std::string, Transport::Done>> waiting_;
};

inline HttpReply timed_out() { return lost(HttpReply::Outcome::unknown, HttpFailure::timeout); }
inline HttpReply unreachable() { return lost(HttpReply::Outcome::not_sent, HttpFailure::connect); }
inline HttpReply too_late() { return lost(HttpReply::Outcome::not_sent, HttpFailure::too_late); }

// The reply to a HEAD of an object that is there.
inline HttpReply head_reply(std::size_t size, const std::string& etag, HttpHeaders more = {}) {
  more.emplace_back("content-length", std::to_string(size));
  if (!etag.empty()) more.emplace_back("etag", etag);
  return replied(200, {}, std::move(more));
}

}  // namespace objectlink
