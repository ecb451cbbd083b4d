// What can this store do? Tries it out on throwaway objects below .objectlink/probe/<id>/, one request after the other, and
// takes them away again; also what an earlier probe of the same id, killed in the middle, has left there.
// A reply decides only if it could not be anything else: a refusal for want of permission or a timeout decides nothing.
#pragma once

#include <functional>
#include <string>

#include "capabilities.hpp"
#include "errand.hpp"

namespace objectlink {

struct ProbeFindings {
  Capabilities capabilities;
  bool complete = false;  // false: the store did not answer, and it is to be tried again
  std::string error;      // why something could not be found out; empty: everything was
};

void probe_capabilities(Errand& errand, const std::string& id, std::function<void(const ProbeFindings&)> done);

}  // namespace objectlink
