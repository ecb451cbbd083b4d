// How do many HTTP requests run at once in one thread?
// The only door to libcurl: one multi handle, kept-alive connections, pooled easy handles. Knows nothing of S3.
// Never follows redirects, never reads netrc or proxy variables, never repeats a request whose outcome is unknown
// (libcurl would, on a kept-alive connection that was closed; only GET and HEAD may).
// The first client makes the process ignore SIGPIPE, unless it has a handler.
// One thread, but for wake(). Completions are called from run(), may call start(), must not throw or call run().
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "http_message.hpp"

namespace objectlink {

class HttpClient {
 public:
  using Completion = std::function<void(HttpReply&&)>;

  struct Options {
    std::size_t max_transfers = 256;           // at once; more wait in a queue, their timeouts not yet running
    std::size_t max_header_bytes = 64 * 1024;  // all headers of a reply together
    std::chrono::seconds max_idle{30};         // a connection idle for longer is not used again
    std::string user_agent = "objectlinkd";
    std::string proxy = {};  // empty: none, whatever the environment says
  };

  HttpClient();
  explicit HttpClient(Options options);
  ~HttpClient();  // abandons what is under way: completions are not called
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void start(HttpRequest request, Completion done);

  // Requests whose completion has not been called yet, waiting ones included.
  std::size_t active() const;

  // Moves transfers on and calls completions. Waits at most `wait` for something to happen: a transfer's progress,
  // wake(), or `watched_fd` becoming readable (-1: none; e.g. the database's socket). True: a completion was called.
  bool run(std::chrono::milliseconds wait, int watched_fd = -1);

  // Ends a waiting run(), or the next one. From any thread.
  void wake();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace objectlink
