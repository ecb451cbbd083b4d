#include "health_server.hpp"

#include <httplib.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <thread>

namespace objectlink {

namespace {

constexpr std::size_t handler_threads = 2;
constexpr std::size_t request_body_bytes_max = 1024;
constexpr std::time_t idle_seconds_max = 5;

void answer(httplib::Response& response, bool well, const std::string& json) {
  response.status = well ? 200 : 503;
  response.set_content(json + "\n", "application/json");
}

}  // namespace

ListenAddress parse_listen_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) throw std::invalid_argument("'" + text + "' is not host:port");
  ListenAddress address;
  address.host = text.substr(0, colon);
  if (address.host.starts_with('[') && address.host.ends_with(']')) {
    address.host = address.host.substr(1, address.host.size() - 2);
  } else if (address.host.find(':') != std::string::npos) {
    throw std::invalid_argument("'" + text + "': an IPv6 address is written [address]:port");
  }
  if (address.host.empty()) throw std::invalid_argument("'" + text + "' names no host (127.0.0.1, or 0.0.0.0 for all)");
  const char* const end = text.data() + text.size();
  const auto [parsed_end, error] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (error != std::errc() || parsed_end != end || address.port < 0 || address.port > 65535) {
    throw std::invalid_argument("'" + text + "': the port is not a number from 0 to 65535");
  }
  return address;
}

struct HealthServer::Listener {
  httplib::Server server;
  std::thread thread;
  int port = 0;
};

HealthServer::HealthServer(const ListenAddress& address, const Metrics& metrics, const Health& health)
    : listener_(std::make_unique<Listener>()) {
  httplib::Server& server = listener_->server;
  server.new_task_queue = [] { return new httplib::ThreadPool(handler_threads); };  // httplib owns it
  server.set_payload_max_length(request_body_bytes_max);
  server.set_keep_alive_max_count(1);  // a silent client must not hold one of the few threads
  server.set_read_timeout(idle_seconds_max);
  server.set_write_timeout(idle_seconds_max);
  // httplib would set SO_REUSEPORT, and a second daemon would share the port instead of being told.
  server.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  });
  server.Get("/metrics", [&metrics](const httplib::Request&, httplib::Response& response) {
    response.set_content(metrics.exposition(), "text/plain; version=0.0.4; charset=utf-8");
  });
  server.Get("/healthz", [&health](const httplib::Request&, httplib::Response& response) {
    const HealthReport report = health.report();
    answer(response, report.healthy, report.json);
  });
  server.Get("/readyz", [&health](const httplib::Request&, httplib::Response& response) {
    const HealthReport report = health.report();
    answer(response, report.ready, report.json);
  });
  server.Get("/livez", [&health](const httplib::Request&, httplib::Response& response) {
    const HealthReport report = health.report();
    answer(response, report.alive, report.json);
  });

  const std::string shown = address.host + ":" + std::to_string(address.port);
  errno = 0;
  if (address.port == 0) {
    listener_->port = server.bind_to_any_port(address.host);
  } else if (server.bind_to_port(address.host, address.port)) {
    listener_->port = address.port;
  }
  if (listener_->port <= 0) {
    const int reason = errno;
    throw HealthServerError("cannot listen on " + shown +
                            (reason != 0 ? std::string(": ") + std::strerror(reason) : ""));
  }
  listener_->thread = std::thread([&server] { server.listen_after_bind(); });
  // stop() is lost on a server that does not run yet.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds{1};
  while (!server.is_running() && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
}

HealthServer::~HealthServer() {
  listener_->server.stop();
  listener_->thread.join();
}

int HealthServer::port() const noexcept { return listener_->port; }

}  // namespace objectlink
