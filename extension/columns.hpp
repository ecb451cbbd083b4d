// Which column of a relation has this name?
#pragma once

#include "postgres.hpp"

namespace objectlink {

/// The column, or nullptr. Dropped columns have no name.
const FormData_pg_attribute* find_column(TupleDesc columns, const char* name) noexcept;

}  // namespace objectlink
