// Which column of the fired relation holds the links, and which link does a row hold? Columns are found by name,
// because their numbers differ between partitions.
#pragma once

#include "postgres.hpp"

#include <optional>
#include <string_view>

namespace objectlink {

/// The arguments of a link trigger: attachment id, column name, for a text column the store's name, and the name of the
/// column that marks rows as deleted.
struct LinkArguments {
  std::int32_t attachment;
  const char* column;
  const char* store;        // nullptr: the column is a storage_ref
  const char* soft_delete;  // nullptr: no row is marked
};

/// Where among a trigger's arguments the soft-delete column is.
constexpr int soft_delete_argument = 3;

struct LinkColumn {
  AttrNumber number;
  bool is_text;            // holds keys of the store named in the arguments
  AttrNumber soft_delete;  // marks rows as deleted; 0: none does
  bool soft_delete_is_boolean;
};

/// Raises if the trigger was not created by attach().
LinkArguments read_link_arguments(const Trigger& trigger);

/// Raises undefined_column if the column was renamed or dropped, datatype_mismatch if its type holds no links.
LinkColumn find_link_column(const TriggerData& fired, const LinkArguments& arguments);

enum class RowSide : std::uint8_t { before, after };

/// Whether the row is marked as deleted: true, or anything but NULL in a column that is no boolean.
bool is_marked_deleted(TupleTableSlot* row, LinkColumn column);

/// The row's link as a detoasted storage_ref. None if the column is NULL, or an empty text, or the row is marked as deleted.
/// Text that is no valid key raises on the after side; on the before side it never was a link.
std::optional<Datum> link_of(TupleTableSlot* row, LinkColumn column, const LinkArguments& arguments, RowSide side);

}  // namespace objectlink
