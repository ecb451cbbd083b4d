// Why does an UPDATE that leaves the linked column alone cost nothing?
#pragma once

namespace objectlink {

/// Hooks into the start of statements; called once, when the module is loaded.
void watch_updates();

}  // namespace objectlink
