#include "metrics.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <array>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "process_statistics.hpp"

namespace objectlink {

namespace {

using prometheus::Counter;
using prometheus::Gauge;
using prometheus::Histogram;

const Histogram::BucketBoundaries request_buckets_seconds{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
                                                          0.5,   1,      2.5,   5,    10,    30,   60};
const Histogram::BucketBoundaries phase_buckets_seconds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                                        0.1,    0.25,  0.5,    1,     2.5,  5,     10};

// A family and its series by label values. prometheus-cpp hashes a map of labels at each look-up; work is counted
// thousands of times a second, so the pointers are kept here.
template <typename Metric, std::size_t LabelCount>
class Series {
 public:
  Series(prometheus::Family<Metric>& family, std::array<const char*, LabelCount> labels)
      : family_(family), labels_(labels) {}

  template <typename... Extra>
  Metric& at(const std::array<std::string_view, LabelCount>& values, const Extra&... extra) {
    const std::lock_guard lock(mutex_);
    const auto found = known_.find(values);
    if (found != known_.end()) return *found->second;
    prometheus::Labels labels;
    std::array<std::string, LabelCount> key;
    for (std::size_t i = 0; i < LabelCount; ++i) {
      key[i] = std::string(values[i]);
      labels.emplace(labels_[i], key[i]);
    }
    return *known_.emplace(std::move(key), &family_.Add(labels, extra...)).first->second;
  }

  // All series whose first label has this value.
  void remove(std::string_view first) {
    const std::lock_guard lock(mutex_);
    for (auto i = known_.begin(); i != known_.end();) {
      if (i->first[0] != first) {
        ++i;
        continue;
      }
      family_.Remove(i->second);
      i = known_.erase(i);
    }
  }

  template <typename Function>
  void for_each(std::string_view first, const Function& function) {
    const std::lock_guard lock(mutex_);
    for (auto& [key, metric] : known_) {
      if (key[0] == first) function(*metric);
    }
  }

 private:
  struct Less {
    using is_transparent = void;
    template <typename Left, typename Right>
    bool operator()(const Left& left, const Right& right) const {
      for (std::size_t i = 0; i < LabelCount; ++i) {
        const int order = std::string_view(left[i]).compare(std::string_view(right[i]));
        if (order != 0) return order < 0;
      }
      return false;
    }
  };

  prometheus::Family<Metric>& family_;
  const std::array<const char*, LabelCount> labels_;
  std::mutex mutex_;
  std::map<std::array<std::string, LabelCount>, Metric*, Less> known_;
};

prometheus::Family<Counter>& counter(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
prometheus::Family<Gauge>& gauge(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
prometheus::Family<Histogram>& histogram(prometheus::Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

constexpr std::array<const char*, 3> phase_names{"apply", "fetch", "settle"};

}  // namespace

struct Metrics::Series {
  prometheus::Registry registry;

  objectlink::Series<Counter, 3> operations{
      counter(registry, "objectlink_operations_total", "Finished operations on objects."),
      {"store", "operation", "outcome"}};
  objectlink::Series<Counter, 2> errors{
      counter(registry, "objectlink_errors_total", "Errors by class, repeated attempts included."), {"store", "class"}};
  objectlink::Series<Counter, 1> bytes{
      counter(registry, "objectlink_uploaded_bytes_total", "Bytes of content proved to be stored."), {"store"}};
  Counter& outbox_rows{
      counter(registry, "objectlink_outbox_rows_total", "Outbox rows applied to the registry.").Add({})};
  Counter& sessions{counter(registry, "objectlink_database_sessions_total", "Database sessions established.").Add({})};

  objectlink::Series<Gauge, 1> in_flight{
      gauge(registry, "objectlink_requests_in_flight", "Requests sent to the store and not yet answered."), {"store"}};
  objectlink::Series<Gauge, 1> queue{
      gauge(registry, "objectlink_queue_objects", "Objects fetched as work and not yet settled."), {"store"}};
  objectlink::Series<Gauge, 2> store_state{
      gauge(registry, "objectlink_store_state", "1 for the state a store is in, as this daemon sees it."),
      {"store", "state"}};
  objectlink::Series<Gauge, 2> breaker{gauge(registry, "objectlink_store_breaker",
                                             "1 for the state of a store's circuit breaker: closed, open, half_open."),
                                       {"store", "state"}};
  objectlink::Series<Gauge, 1> concurrency{gauge(registry, "objectlink_store_concurrency",
                                                 "Requests that may run at once; lowered while the store throttles."),
                                           {"store"}};
  objectlink::Series<Gauge, 2> stuck{
      gauge(registry, "objectlink_stuck_objects", "Objects on their way for longer than they should, by state."),
      {"store", "state"}};
  objectlink::Series<Gauge, 2> dead{
      gauge(registry, "objectlink_dead_letters", "Work that was given up and waits for a decision."),
      {"store", "operation"}};
  objectlink::Series<Gauge, 2> findings{gauge(registry, "objectlink_open_findings", "Open findings of runs, by kind."),
                                        {"store", "kind"}};
  objectlink::Series<Gauge, 1> to_delete{
      gauge(registry, "objectlink_findings_to_delete", "Findings whose objects are to be deleted and are not yet."),
      {"store"}};
  objectlink::Series<Gauge, 2> rows{gauge(registry, "objectlink_row_failures",
                                          "Objects whose rows could not be brought in line, by what was to be done."),
                                    {"store", "kind"}};
  objectlink::Series<Gauge, 2> last_run{
      gauge(registry, "objectlink_last_run", "1 for the state of a store's last run of reconcile_storage()."),
      {"store", "state"}};
  objectlink::Series<Gauge, 2> trouble{
      gauge(registry, "objectlink_inconsistent_objects", "Objects that are missing from their store, or corrupt."),
      {"store", "state"}};
  objectlink::Series<Gauge, 1> oldest{
      gauge(registry, "objectlink_oldest_unsettled_seconds", "Age of the oldest object that is pending or deleting."),
      {"store"}};
  objectlink::Series<Counter, 1> scrubbed_bytes{
      counter(registry, "objectlink_scrub_read_bytes_total", "Bytes of content read again to be proved."), {"store"}};
  objectlink::Series<Gauge, 1> scrubbed_since{
      gauge(registry, "objectlink_scrub_proved_since_seconds",
            "When the last whole round of proofs began, since 1970: all that was there then was looked at since."),
      {"store"}};
  objectlink::Series<Counter, 1> reconcile_rest{
      counter(registry, "objectlink_reconcile_rest_seconds_total",
              "Time for which runs rested, so that other sessions could work."),
      {"store"}};
  objectlink::Series<Gauge, 1> overdue{
      gauge(registry, "objectlink_scrub_overdue_seconds",
            "By how much the round of proofs takes longer than its interval, or has not begun; 0: it is in time."),
      {"store"}};
  objectlink::Series<Counter, 1> requeued{
      counter(registry, "objectlink_requeued_objects_total", "Objects found without a due time, and made due again."),
      {"store"}};
  objectlink::Series<Counter, 2> repeats{
      counter(registry, "objectlink_request_retries_total", "Requests repeated at once, by the class of what failed."),
      {"store", "class"}};
  objectlink::Series<Counter, 1> skipped_repeats{
      counter(registry, "objectlink_request_retries_denied_total", "Repeats left out because the quota was used up."),
      {"store"}};
  Gauge& connected{gauge(registry, "objectlink_database_connected", "1 while a database session lives.").Add({})};

  objectlink::Series<Histogram, 2> requests{
      histogram(registry, "objectlink_request_seconds", "Duration of a request to the store."), {"store", "operation"}};
  std::array<Histogram*, phase_names.size()> phases{};

  Gauge& cpu{gauge(registry, "process_cpu_seconds_total", "CPU time of the process.").Add({})};
  Gauge& resident{gauge(registry, "process_resident_memory_bytes", "Resident memory.").Add({})};
  Gauge& virtual_memory{gauge(registry, "process_virtual_memory_bytes", "Virtual memory.").Add({})};
  Gauge& start_time{gauge(registry, "process_start_time_seconds", "Start of the process since 1970.").Add({})};
  Gauge& descriptors{gauge(registry, "process_open_fds", "Open file descriptors.").Add({})};

  Series() {
    gauge(registry, "objectlink_build_info", "1, with the version of objectlinkd as a label.")
        .Add({{"version", OBJECTLINK_VERSION}})
        .Set(1);
    auto& family = histogram(registry, "objectlink_loop_phase_seconds", "Duration of a phase of the work loop.");
    for (std::size_t i = 0; i < phases.size(); ++i) {
      phases[i] = &family.Add({{"phase", phase_names[i]}}, phase_buckets_seconds);
    }
  }
};

Metrics::Metrics() : series_(std::make_unique<Series>()) {}
Metrics::~Metrics() = default;

void Metrics::count_operation(std::string_view store, std::string_view operation, std::string_view outcome,
                              std::uint64_t count) {
  series_->operations.at({store, operation, outcome}).Increment(static_cast<double>(count));
}

void Metrics::count_error(std::string_view store, std::string_view error_class, std::uint64_t count) {
  series_->errors.at({store, error_class}).Increment(static_cast<double>(count));
}

void Metrics::count_outbox_rows(std::uint64_t count) { series_->outbox_rows.Increment(static_cast<double>(count)); }

void Metrics::count_uploaded_bytes(std::string_view store, std::uint64_t bytes) {
  series_->bytes.at({store}).Increment(static_cast<double>(bytes));
}

void Metrics::observe_request(std::string_view store, std::string_view operation, double seconds) {
  series_->requests.at({store, operation}, request_buckets_seconds).Observe(seconds);
}

void Metrics::observe_phase(Phase phase, double seconds) {
  series_->phases[static_cast<std::size_t>(phase)]->Observe(seconds);
}

void Metrics::set_in_flight(std::string_view store, double requests) { series_->in_flight.at({store}).Set(requests); }

void Metrics::set_queue(std::string_view store, double objects) { series_->queue.at({store}).Set(objects); }

void Metrics::set_store_state(std::string_view store, std::string_view state) {
  series_->store_state.for_each(store, [](Gauge& other) { other.Set(0); });
  series_->store_state.at({store, state}).Set(1);
}

void Metrics::set_breaker(std::string_view store, std::string_view state) {
  for (const char* each : {"closed", "open", "half_open"})
    series_->breaker.at({store, each}).Set(state == each ? 1 : 0);
}

void Metrics::set_concurrency(std::string_view store, double requests) {
  series_->concurrency.at({store}).Set(requests);
}

void Metrics::set_watched(std::string_view store, std::string_view what, std::string_view label, double number) {
  if (what == "stuck") series_->stuck.at({store, label}).Set(number);
  if (what == "dead") series_->dead.at({store, label}).Set(number);
  if (what == "trouble") series_->trouble.at({store, label}).Set(number);
  if (what == "finding") series_->findings.at({store, label}).Set(number);
  if (what == "to_delete") series_->to_delete.at({store}).Set(number);
  if (what == "rows") series_->rows.at({store, label}).Set(number);
  if (what == "run") series_->last_run.at({store, label}).Set(number);
  if (what == "oldest") series_->oldest.at({store}).Set(number);
  if (what == "overdue") series_->overdue.at({store}).Set(number);
}

void Metrics::count_scrubbed_bytes(std::string_view store, std::uint64_t bytes) {
  if (bytes > 0) series_->scrubbed_bytes.at({store}).Increment(static_cast<double>(bytes));
}

void Metrics::set_scrubbed_since(std::string_view store, double seconds) {
  series_->scrubbed_since.at({store}).Set(seconds);
}

void Metrics::count_reconcile_rest(std::string_view store, double seconds) {
  if (seconds > 0) series_->reconcile_rest.at({store}).Increment(seconds);
}

void Metrics::forget_scrub(std::string_view store) {
  series_->scrubbed_since.remove(store);
  series_->overdue.remove(store);
}

void Metrics::count_requeued(std::string_view store, std::uint64_t count) {
  series_->requeued.at({store}).Increment(static_cast<double>(count));
}

void Metrics::count_repeat(std::string_view store, std::string_view error_class) {
  series_->repeats.at({store, error_class}).Increment();
}

void Metrics::count_skipped_repeat(std::string_view store) { series_->skipped_repeats.at({store}).Increment(); }

void Metrics::set_connected(bool connected) {
  if (connected && series_->connected.Value() == 0) series_->sessions.Increment();
  series_->connected.Set(connected ? 1 : 0);
}

void Metrics::forget_store(std::string_view store) {
  series_->in_flight.remove(store);
  series_->queue.remove(store);
  series_->store_state.remove(store);
  series_->breaker.remove(store);
  series_->stuck.remove(store);
  series_->dead.remove(store);
  series_->trouble.remove(store);
  series_->findings.remove(store);
  series_->to_delete.remove(store);
  series_->rows.remove(store);
  series_->last_run.remove(store);
  series_->oldest.remove(store);
  series_->concurrency.remove(store);
  series_->scrubbed_since.remove(store);
  series_->overdue.remove(store);
}

std::string Metrics::exposition() const {
  const ProcessStatistics process = read_process_statistics();
  series_->cpu.Set(process.cpu_seconds);
  series_->resident.Set(process.resident_bytes);
  series_->virtual_memory.Set(process.virtual_bytes);
  series_->start_time.Set(process.start_time_seconds);
  series_->descriptors.Set(process.open_descriptors);
  return prometheus::TextSerializer().Serialize(series_->registry.Collect());
}

}  // namespace objectlink
