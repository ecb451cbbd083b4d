// Facts with the lifetime of a (sub)transaction. The callbacks only assign: an error in one would be a PANIC at commit.
#include "transaction_scope.hpp"

#include "postgres.hpp"

#include <array>

namespace objectlink {

namespace {

constexpr std::size_t fact_count = 3;

// Nesting level of the transaction that holds each fact; 0: it does not hold.
std::array<int, fact_count> levels = {};
std::uint64_t number = 1;

int& level_of(Fact fact) noexcept { return levels[static_cast<std::size_t>(fact)]; }

void at_transaction_end(XactEvent event, [[maybe_unused]] void* arg) {
  switch (event) {
    case XACT_EVENT_COMMIT:
    case XACT_EVENT_PARALLEL_COMMIT:
    case XACT_EVENT_ABORT:
    case XACT_EVENT_PARALLEL_ABORT:
    case XACT_EVENT_PREPARE:
      levels.fill(0);
      ++number;
      break;
    case XACT_EVENT_PRE_COMMIT:
    case XACT_EVENT_PARALLEL_PRE_COMMIT:
    case XACT_EVENT_PRE_PREPARE: break;
  }
}

void at_savepoint_end(SubXactEvent event, [[maybe_unused]] SubTransactionId mine,
                      [[maybe_unused]] SubTransactionId parent, [[maybe_unused]] void* arg) {
  if (event != SUBXACT_EVENT_COMMIT_SUB && event != SUBXACT_EVENT_ABORT_SUB) return;
  const int ending = GetCurrentTransactionNestLevel();
  for (int& level : levels)
    if (level >= ending) level = event == SUBXACT_EVENT_COMMIT_SUB ? ending - 1 : 0;
}

}  // namespace

bool established(Fact fact) noexcept { return level_of(fact) != 0; }

void establish(Fact fact) noexcept { level_of(fact) = GetCurrentTransactionNestLevel(); }

std::uint64_t transaction_number() noexcept { return number; }

void watch_transactions() {
  RegisterXactCallback(at_transaction_end, nullptr);
  RegisterSubXactCallback(at_savepoint_end, nullptr);
}

}  // namespace objectlink
