// Would this daemon work if it were started now? (--check-config)
// Looks at the database, the extension, privileges and the credentials of every store. Sends nothing to any store.
#pragma once

#include <iosfwd>

#include "config.hpp"

namespace objectlink {

// Prints a line a finding, then "OK" or how many problems. Returns an exit code.
int check_config(const Config& config, std::ostream& out);

}  // namespace objectlink
