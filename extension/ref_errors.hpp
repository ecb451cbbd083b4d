// How does a flaw in a reference, a store's name or a key become an error the user understands?
#pragma once

#include "core/storage_ref.hpp"

#include "postgres.hpp"

namespace objectlink {

enum class RefPart : std::uint8_t { whole, store, key };

/// Raises invalid_parameter_value: this text is no valid reference, store name or key; what is wrong, and where.
[[noreturn]] void raise_ref_problem(RefPart part, std::string_view text, RefProblem problem);

}  // namespace objectlink
