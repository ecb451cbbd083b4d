// Does the daemon have to be woken for this transaction's work?
#pragma once

namespace objectlink {

/// Rings at commit, at most once a transaction, as the setting objectlink.notify says. Cheap when called again.
void ring_doorbell();

}  // namespace objectlink
