// Writes rows into the table objectlink.outbox. Who collects them, and when they must be written, is in outbox.
#pragma once

#include "outbox.hpp"

#include <span>

namespace objectlink {

/// Rows written by one call, at most.
inline constexpr std::size_t outbox_rows_max = 256;

/// Writes the rows in the current (sub)transaction. The outbox must be locked.
void write_outbox(std::span<const OutboxRow> rows);

}  // namespace objectlink
