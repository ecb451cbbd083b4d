// May this user link this key in this store? The store must be a foreign server of objectlink, the user needs USAGE on
// it, and the key must be below the store's prefix and not objectlink's own.
#pragma once

#include "core/storage_ref.hpp"

#include "postgres.hpp"

namespace objectlink {

/// Raises undefined_object, insufficient_privilege or invalid_parameter_value unless all of that holds.
/// A store is remembered until its server changes; a privilege until then or until the transaction ends.
void check_store_access(RefParts parts, Oid user);

/// Registers for changes of foreign servers; called once, when the module is loaded.
void watch_stores();

}  // namespace objectlink
