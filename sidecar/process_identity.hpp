// Is the process that owned a store before us dead for certain?
// Only for a process of this host, this boot and this process namespace can that be known; then its requests can't be
// sent any more and nobody has to wait for them. Anything else counts as possibly alive.
#pragma once

#include <string>
#include <string_view>

namespace objectlink {

// boot id, process namespace, process id and its start time, separated by spaces; empty if /proc does not say.
std::string own_process_identity();

bool is_certainly_dead(std::string_view identity);

}  // namespace objectlink
