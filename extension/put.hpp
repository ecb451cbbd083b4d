// On whose behalf is content handed over?
#pragma once

#include "postgres.hpp"

namespace objectlink {

/// The user who called put(), while it is under way; otherwise the current user.
Oid put_caller();

}  // namespace objectlink
