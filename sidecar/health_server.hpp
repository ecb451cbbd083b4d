// Who answers /metrics, /healthz, /readyz and /livez? A small HTTP server on threads of its own.
// It only reads Metrics and Health, and takes no input but the path.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>

#include "health.hpp"
#include "metrics.hpp"

namespace objectlink {

class HealthServerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct ListenAddress {
  std::string host;
  int port = 0;  // 0: any free one
};

// "127.0.0.1:19432", "localhost:0", "[::1]:19432". Throws std::invalid_argument with a sentence for people.
ListenAddress parse_listen_address(const std::string& text);

class HealthServer {
 public:
  // Listens when it returns. Throws HealthServerError if the address can't be had. metrics and health must outlive it.
  HealthServer(const ListenAddress& address, const Metrics& metrics, const Health& health);
  ~HealthServer();  // stops; at most a second
  HealthServer(const HealthServer&) = delete;
  HealthServer& operator=(const HealthServer&) = delete;

  int port() const noexcept;

 private:
  struct Listener;
  std::unique_ptr<Listener> listener_;
};

}  // namespace objectlink
