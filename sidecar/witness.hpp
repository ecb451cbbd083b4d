// Would the store do for another object what it refuses for this one? Puts, looks at and deletes a small object of our own, below
// .objectlink/probe/, and says which of the three the store did. Asked for when nothing else is done there that would show it.
#pragma once

#include <functional>
#include <string>

#include "blame.hpp"
#include "errand.hpp"

namespace objectlink {

// did: for each kind that the store did, as it comes. ended: always, at the end. id: as capability_probe.hpp has it.
void ask_witness(Errand& errand, const std::string& id, std::function<void(WorkKind)> did, std::function<void()> ended);

}  // namespace objectlink
