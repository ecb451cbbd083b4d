// Which column of the fired relation holds the links, and which link does a row hold? The column is found by name,
// because its number differs between partitions.
#pragma once

#include "postgres.hpp"

#include <optional>
#include <string_view>

namespace objectlink {

/// The arguments of a link trigger: attachment id, column name and, for a text column, the store's name.
struct LinkArguments {
  std::int32_t attachment;
  const char* column;
  const char* store;  // nullptr: the column is a storage_ref
};

struct LinkColumn {
  AttrNumber number;
  bool is_text;  // holds keys of the store named in the arguments
};

/// Raises if the trigger was not created by attach().
LinkArguments read_link_arguments(const Trigger& trigger);

/// Raises undefined_column if the column was renamed or dropped, datatype_mismatch if its type holds no links.
LinkColumn find_link_column(const TriggerData& fired, const LinkArguments& arguments);

enum class RowSide : std::uint8_t { before, after };

/// The row's link as a detoasted storage_ref. None if the column is NULL, or an empty text.
/// Text that is no valid key raises on the after side; on the before side it never was a link.
std::optional<Datum> link_of(TupleTableSlot* row, LinkColumn column, const LinkArguments& arguments, RowSide side);

}  // namespace objectlink
