// The only door to the server's headers. They are C and define macros that disturb C++, so nothing else includes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

// All other symbols of the module stay hidden (-fvisibility=hidden): PostgreSQL loads modules into one namespace.
#define PGDLLEXPORT __attribute__((visibility("default")))

extern "C" {
#include "postgres.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/tableam.h"
#include "access/twophase.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "commands/async.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "funcapi.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/sortsupport.h"
#include "utils/syscache.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"
}

// Defines a function that SQL can call by the symbol objectlink_<name>.
#define OBJECTLINK_FUNCTION(name)                               \
  extern "C" {                                                  \
  PGDLLEXPORT Datum objectlink_##name(FunctionCallInfo fcinfo); \
  PG_FUNCTION_INFO_V1(objectlink_##name);                       \
  }                                                             \
  Datum objectlink_##name([[maybe_unused]] FunctionCallInfo fcinfo)

namespace objectlink {

/// The bytes of a detoasted (perhaps short-headed) varlena. Valid as long as the varlena.
inline std::string_view varlena_bytes(const struct varlena* value) {
  return {VARDATA_ANY(value), static_cast<std::size_t>(VARSIZE_ANY_EXHDR(value))};
}

/// Bytes of a datum of a type that is stored like text; detoasts into the current memory context where needed.
inline std::string_view datum_bytes(Datum datum) { return varlena_bytes(PG_DETOAST_DATUM_PACKED(datum)); }

}  // namespace objectlink
