// How does the process begin and end? Reads the config, sets up what surrounds the work loop, hands over to it.
#include <malloc.h>

#include <exception>
#include <iostream>
#include <memory>

#include "check_config.hpp"
#include "config.hpp"
#include "dsn.hpp"
#include "exit_code.hpp"
#include "health.hpp"
#include "health_server.hpp"
#include "log.hpp"
#include "loop.hpp"
#include "metrics.hpp"
#include "service_notify.hpp"
#include "stop_signal.hpp"

namespace objectlink {

namespace {

// Null: none was asked for, or the default address is taken (a second daemon on this host). Throws HealthServerError
// for an address that somebody chose.
std::unique_ptr<HealthServer> start_health_server(const Config& config, const Metrics& metrics, const Health& health) {
  if (config.metrics_address.empty() || (config.once && config.metrics_address_is_default)) return nullptr;
  try {
    auto server = std::make_unique<HealthServer>(parse_listen_address(config.metrics_address), metrics, health);
    log::info("health_server.started", "serving /metrics and /healthz", {{"port", server->port()}});
    return server;
  } catch (const HealthServerError& error) {
    if (!config.metrics_address_is_default) throw;
    log::warning("health_server.unavailable",
                 std::string(error.what()) + "; going on without metrics and health checks");
    return nullptr;
  }
}

int run(const Config& config) {
  for (const std::string& warning : config.warnings) log::warning("config.warning", warning);
  StopSignal stop(config.drain_timeout);
  Metrics metrics;
  Health health(service_notify::watchdog);
  std::unique_ptr<HealthServer> health_server;
  try {
    health_server = start_health_server(config, metrics, health);
  } catch (const HealthServerError& error) {
    log::error("health_server.failed", error.what());
    return exit_code::usage;
  }
  log::info("daemon.started", "objectlinkd is running",
            {{"version", OBJECTLINK_VERSION},
             {"name", config.name},
             {"dsn", redacted_dsn(config.dsn)},
             {"config_file", config.config_file}});
  const int code = run_daemon(config, metrics, health, stop);
  log::info("daemon.stopped", "objectlinkd has ended", {{"exit_code", code}});
  return code;
}

}  // namespace

}  // namespace objectlink

int main(int argc, char** argv) {
  using namespace objectlink;
  // A daemon that mostly waits: few arenas, or each thread would keep memory of its own.
  mallopt(M_ARENA_MAX, 2);
  try {
    const ParsedConfig parsed = parse_config(argc, argv);
    if (!parsed.config) return parsed.exit_code;
    log::set_up(parsed.config->log_format, parsed.config->log_level);
    if (parsed.config->check_config) return check_config(*parsed.config, std::cout);
    return run(*parsed.config);
  } catch (const std::exception& error) {
    log::error("daemon.failed", error.what());
    return exit_code::unexpected;
  }
}
