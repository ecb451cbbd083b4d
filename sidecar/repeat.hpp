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

// Does the store refuse the keys the request was signed with, and has it therefore certainly done nothing? Signed with others, it may
// be sent once more. The reply to a HEAD does not say why it is refused: there it may be so.
bool refuses_credentials(const HttpReply& reply);

}  // namespace objectlink
