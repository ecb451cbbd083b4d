#include "loop.hpp"

#include <random>

#include "database.hpp"
#include "exit_code.hpp"
#include "log.hpp"
#include "reconnect.hpp"
#include "retry.hpp"
#include "service_notify.hpp"
#include "session.hpp"
#include "transport.hpp"

namespace objectlink {
namespace {

std::unique_ptr<Database> connect(const Config& config, Health& health, StopSignal& stop) {
  if (!config.once) {
    return connect_until_stopped(config.dsn, stop, [&health](const Connected& failed) {
      health.heartbeat();
      health.set_database_down(failed.message);
    });
  }
  Connected connected = Database::connect(config.dsn);
  if (!connected.database) log::error("database.unreachable", connected.message);
  return std::move(connected.database);
}

// Requests of the lost session end by themselves, at the latest after their timeouts; until then nothing may be owned
// again, or two requests for one object could be under way.
void wait_for_stragglers(Transport& transport, Health& health, StopSignal& stop) {
  transport.abandon();
  while (transport.active() > 0 && !stop.requested()) {
    health.heartbeat();
    transport.take_replies();
    if (transport.active() > 0) stop.wake_up().wait(std::chrono::milliseconds{100});
  }
}

}  // namespace

int run_daemon(const Config& config, Metrics& metrics, Health& health, StopSignal& stop) {
  Transport transport(static_cast<std::size_t>(config.concurrency), stop.wake_up());
  std::mt19937_64 rng{std::random_device{}()};
  service_notify::ready();
  unsigned losses = 0;
  while (!stop.requested()) {
    const auto database = connect(config, health, stop);
    if (!database) return config.once ? exit_code::database_unreachable : exit_code::ok;
    health.set_database_connected();
    metrics.set_connected(true);
    const auto since = std::chrono::steady_clock::now();
    try {
      Session session(config, *database, transport, metrics, health, stop);
      const int code = session.run();
      service_notify::stopping();
      return code;
    } catch (const DatabaseError& error) {
      log::error("session.lost", error.what(), {{"sqlstate", error.sqlstate()}, {"detail", error.detail()}});
      health.set_database_down(error.what());
    }
    metrics.set_connected(false);
    if (config.once) return exit_code::work_left;
    wait_for_stragglers(transport, health, stop);
    // A session that lived long was no failure; one that fails at once, again and again, must not spin.
    losses = std::chrono::steady_clock::now() - since > std::chrono::minutes{1} ? 0 : std::min(losses + 1, 10u);
    stop.wake_up().wait(full_jitter(reconnect_backoff, losses, rng));
  }
  return exit_code::ok;
}

}  // namespace objectlink
