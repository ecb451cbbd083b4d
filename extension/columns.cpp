// Columns by name.
#include "columns.hpp"

#include <cstring>

namespace objectlink {

const FormData_pg_attribute* find_column(TupleDesc columns, const char* name) noexcept {
  for (int i = 0; i < columns->natts; ++i) {
    const FormData_pg_attribute* column = TupleDescAttr(columns, i);
    if (!column->attisdropped && std::strcmp(NameStr(column->attname), name) == 0) return column;
  }
  return nullptr;
}

}  // namespace objectlink
