// What happens when a backend loads the module.
#include "postgres.hpp"

#include "outbox.hpp"
#include "own_tables.hpp"
#include "settings.hpp"
#include "store_access.hpp"
#include "transaction_scope.hpp"
#include "unchanged_column.hpp"
#include "unlinked_row.hpp"

extern "C" {
PG_MODULE_MAGIC;
PGDLLEXPORT void _PG_init(void);
}

void _PG_init(void) {
  objectlink::define_settings();
  objectlink::watch_own_tables();
  objectlink::watch_transactions();
  objectlink::watch_stores();
  objectlink::watch_outbox();
  objectlink::watch_updates();
  objectlink::watch_row_keys();
}
