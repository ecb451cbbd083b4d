// How does a test get a server that misbehaves exactly as it wants?
// Raw sockets on 127.0.0.1, one thread a connection. For each request that arrives whole the test's function says which
// bytes go back and what becomes of the connection. Knows HTTP only so far as to find a request's end.
#pragma once

#include <netinet/in.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace objectlink {

class LoopbackServer {
 public:
  enum class After { keep, close, hold };  // hold: neither answer nor close, until the test ends
  struct Answer {
    std::string bytes;
    After after = After::keep;
  };
  using Handler = std::function<Answer(const std::string& request)>;

  explicit LoopbackServer(Handler handler) : handler_(std::move(handler)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(listener_, generic, length) != 0 || ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, generic, &length) != 0)
      throw std::runtime_error("no listener");
    port_ = ntohs(address.sin_port);
    accepting_ = std::thread([this] { accept_all(); });
  }

  ~LoopbackServer() {
    ::shutdown(listener_, SHUT_RDWR);
    accepting_.join();
    {
      const std::lock_guard lock(mutex_);
      for (int fd : connections_) ::shutdown(fd, SHUT_RDWR);
    }
    for (std::thread& thread : serving_) thread.join();
    for (int fd : connections_) ::close(fd);
    ::close(listener_);
  }

  LoopbackServer(const LoopbackServer&) = delete;
  LoopbackServer& operator=(const LoopbackServer&) = delete;

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }
  std::size_t connections() const {
    const std::lock_guard lock(mutex_);
    return connections_.size();
  }

 private:
  void accept_all() {
    for (int fd = 0; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      const std::lock_guard lock(mutex_);
      connections_.push_back(fd);
      serving_.emplace_back([this, fd] { serve(fd); });
    }
  }

  void serve(int fd) {
    std::string received;
    char buffer[16384];
    for (ssize_t count = 0; (count = ::read(fd, buffer, sizeof buffer)) > 0;) {
      received.append(buffer, static_cast<std::size_t>(count));
      for (std::size_t size = 0; (size = request_size(received)) > 0; received.erase(0, size)) {
        {
          const std::lock_guard lock(mutex_);
          requests_.push_back(received.substr(0, size));
        }
        const Answer answer = handler_(received.substr(0, size));
        (void)!::send(fd, answer.bytes.data(), answer.bytes.size(), MSG_NOSIGNAL);
        if (answer.after == After::close) {
          ::shutdown(fd, SHUT_RDWR);
          return;
        }
        if (answer.after == After::hold) {
          while (::read(fd, buffer, sizeof buffer) > 0) {
          }
          return;
        }
      }
    }
  }

  // 0: not whole yet.
  static std::size_t request_size(const std::string& received) {
    const std::size_t end = received.find("\r\n\r\n");
    if (end == std::string::npos) return 0;
    std::size_t body = 0;
    for (std::size_t line = received.find("\r\n"); line < end; line = received.find("\r\n", line + 2))
      if (::strncasecmp(received.c_str() + line + 2, "content-length:", 15) == 0)
        body = std::stoul(received.substr(line + 2 + 15));
    return received.size() >= end + 4 + body ? end + 4 + body : 0;
  }

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<int> connections_;
  std::vector<std::thread> serving_;
  std::vector<std::string> requests_;
  std::thread accepting_;
};

}  // namespace objectlink
