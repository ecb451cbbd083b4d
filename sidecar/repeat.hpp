// May a request that has failed be sent again at once, within its operation? What may not goes back to the registry with a due
// time. Pure.
#pragma once

#include "http_message.hpp"
#include "s3_error.hpp"

namespace objectlink {

enum class Repeat { no, transient, throttled };

// Never one that changes the store and may have done so, or may yet do so: the registry has to know of that first. Nor one that
// took its whole timeout: the next would take as long again.
Repeat repeat_of(const HttpReply& reply, bool mutating);

}  // namespace objectlink
