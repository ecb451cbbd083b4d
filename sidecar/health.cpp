#include "health.hpp"

#include <nlohmann/json.hpp>
#include <utility>

#include "redact.hpp"

namespace objectlink {

Health::Health(std::function<void()> on_heartbeat) : on_heartbeat_(std::move(on_heartbeat)) {}

void Health::heartbeat() {
  {
    const std::lock_guard lock(mutex_);
    last_beat_ = Clock::now();
  }
  if (on_heartbeat_) on_heartbeat_();
}

void Health::set_database_connected() {
  const std::lock_guard lock(mutex_);
  connected_ = true;
  database_reason_.clear();
}

void Health::set_database_down(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  connected_ = false;
  database_reason_ = reason;
}

void Health::set_store_broken(const std::string& store, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  broken_stores_[store] = reason;
}

void Health::set_store_well(const std::string& store) {
  const std::lock_guard lock(mutex_);
  broken_stores_.erase(store);
}

HealthReport Health::report(Clock::time_point now) const {
  const std::lock_guard lock(mutex_);
  HealthReport report;
  nlohmann::ordered_json reasons = nlohmann::ordered_json::array();
  const auto silent = std::chrono::duration_cast<std::chrono::milliseconds>(now - last_beat_);
  report.alive = silent < stall_limit;
  if (!report.alive) {
    reasons.push_back({{"kind", "loop"}, {"reason", "the work loop has not come round"}});
  }
  report.ready = report.alive && connected_;
  if (!connected_) reasons.push_back({{"kind", "database"}, {"reason", redact_text(database_reason_)}});
  for (const auto& [store, reason] : broken_stores_) {
    reasons.push_back({{"kind", "store"}, {"store", store}, {"reason", redact_text(reason)}});
  }
  report.healthy = reasons.empty();
  nlohmann::ordered_json json;
  json["status"] = report.healthy ? "ok" : "failing";
  json["reasons"] = std::move(reasons);
  json["seconds_since_heartbeat"] = static_cast<double>(silent.count()) / 1000;
  report.json = json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return report;
}

}  // namespace objectlink
