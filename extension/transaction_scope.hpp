// What is already true in this transaction, so that it need not be done or asked again? Facts that end with the
// (sub)transaction that established them, as a lock or a notification does.
#pragma once

#include <cstdint>

namespace objectlink {

enum class Fact : std::uint8_t {
  outbox_locked,   // RowExclusiveLock on the outbox
  condemned_read,  // the marks of condemned keys, after that lock was taken
  bell_answered,   // the daemon was rung, or needs no ring
};

/// Whether the fact was established in this transaction and not undone by a rolled back savepoint.
bool established(Fact fact) noexcept;

/// Notes that the fact holds from here to the end of the current (sub)transaction, then for its parent if it commits.
void establish(Fact fact) noexcept;

/// A number that differs between top transactions of this session.
std::uint64_t transaction_number() noexcept;

/// Registers for ends of transactions; called once, when the module is loaded.
void watch_transactions();

}  // namespace objectlink
