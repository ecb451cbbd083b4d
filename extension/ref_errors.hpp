// How does a flaw in a reference, a store's name or a key become an error the user understands?
#pragma once

#include "core/storage_ref.hpp"

#include "postgres.hpp"

namespace objectlink {

/// Raises invalid_parameter_value: `what` ("storage_ref", "store name", "key") is invalid, and where.
[[noreturn]] void raise_ref_problem(const char *what, std::string_view text, RefProblem problem);

} // namespace objectlink
