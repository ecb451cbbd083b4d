#include "run_in_hand.hpp"

#include "log.hpp"
#include "retry.hpp"
#include "work.hpp"

namespace objectlink {

using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr unsigned page_tries_max = 5;  // of one page, before the run fails
constexpr Backoff page_backoff{milliseconds{200}, seconds{10}};

}  // namespace

bool is_outage(const S3Error& error) { return error.status == 0 && error.klass == ErrorClass::store; }

// A right to list that lacks, or a listing that makes no sense, says nothing of uploads and deletions.
void tell_health(Errand& errand, const S3Error& error) {
  const bool answered = error.status != 0 && error.status < 500 && error.klass != ErrorClass::throttled &&
                        error.klass != ErrorClass::clock && error.klass != ErrorClass::redirect &&
                        error.klass != ErrorClass::credentials;
  if (!answered) errand.store_failed(error);
}

bool PageTries::is_last() const { return tries_ + 1 >= page_tries_max; }

// What answers, and not with a page that can be believed, fails the run after some tries.
std::optional<PageTries::Time> PageTries::failed(Errand& errand, Database& database, const RunInHand& run,
                                                 const std::string& after, const S3Error& error, Time now) {
  tell_health(errand, error);
  if (is_outage(error)) return now;
  log::warning("reconcile.page_failed", error.describe(),
               {{"store", run.store_name}, {"run", run.id}, {"after", after}, {"tries", tries_ + 1}});
  if (++tries_ < page_tries_max) return now + retry_delay(page_backoff, tries_, error.retry_after, rng_);
  database.query("SELECT objectlink.fail_run($1, $2, $3, $4, $5, $6)", run.store, run.epoch, run.id,
                 to_string(error.klass), presentable(error.code), presentable(message_of(error)));
  log::error("reconcile.failed", error.describe(), {{"store", run.store_name}, {"run", run.id}});
  return std::nullopt;
}

}  // namespace objectlink
