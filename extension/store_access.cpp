// Stores and privileges on them, remembered per session.
#include "store_access.hpp"

#include "core/store_option_values.hpp"

#include "boundary.hpp"
#include "transaction_scope.hpp"

#include <cstring>

namespace objectlink {

namespace {

constexpr char wrapper_name[] = "objectlink";
constexpr long stores_expected = 16;
constexpr long stores_max = 1024;  // then all are forgotten; a bound, not a tuning knob

struct Store {
  NameData name;  // the hash key
  Oid server;
  Oid allowed_user;          // passed the privilege check in ...
  std::uint64_t allowed_in;  // ... this transaction
  std::size_t prefix_bytes;
  char prefix[key_bytes_max];
};

HTAB* stores = nullptr;
Store* latest = nullptr;  // rows of one statement mostly name one store
bool stale = true;

void at_server_change([[maybe_unused]] Datum arg, [[maybe_unused]] int cache, [[maybe_unused]] uint32 hash) {
  stale = true;
}

void forget_stores() {
  latest = nullptr;
  if (stores != nullptr) hash_destroy(stores);
  stores = nullptr;
  HASHCTL control = {};
  control.keysize = NAMEDATALEN;
  control.entrysize = sizeof(Store);
  stores = hash_create("objectlink stores", stores_expected, &control, HASH_ELEM | HASH_STRINGS);
  // Last, so that a failure above leaves the cache stale.
  stale = false;
}

NameData name_of(std::string_view store) {
  NameData name = {};
  std::memcpy(NameStr(name), store.data(), store.size());
  return name;
}

// Reads the option of the server into the store as the daemon reads it.
void read_store_prefix(const ForeignServer* server, Store& store) {
  const char* text = "";
  ListCell* cell = nullptr;
  foreach (cell, server->options) {
    DefElem* const option = lfirst_node(DefElem, cell);
    if (std::strcmp(option->defname, "prefix") == 0) text = defGetString(option);
  }
  Failure failure;
  guarded(failure, [&](Failure& out) {
    std::string prefix;
    if (const auto problem = read_prefix(text, prefix)) {
      out.set(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE, "invalid value for option \"prefix\" of the store",
              problem->what + ".", {});
      return;
    }
    store.prefix_bytes = prefix.copy(store.prefix, sizeof store.prefix);
  });
  raise_failure(failure);
}

[[noreturn]] void raise_missing_store(const char* name, bool is_other_server) {
  ereport(ERROR, errcode(ERRCODE_UNDEFINED_OBJECT), errmsg("store \"%s\" does not exist", name),
          is_other_server ? errdetail("A foreign server of that name exists, but its wrapper is not objectlink.") : 0,
          errhint("Create it: CREATE SERVER %s FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint '...', bucket '...').",
                  quote_identifier(name)));
}

Store* find_store(std::string_view store_name) {
  if (stale || hash_get_num_entries(stores) >= stores_max) forget_stores();
  if (latest != nullptr && store_name == NameStr(latest->name)) return latest;

  const NameData name = name_of(store_name);
  bool found = false;
  auto* entry = static_cast<Store*>(hash_search(stores, NameStr(name), HASH_FIND, &found));
  if (entry != nullptr) {
    latest = entry;
    return entry;
  }

  const ForeignServer* const server = GetForeignServerByName(NameStr(name), true);
  if (server == nullptr || std::strcmp(GetForeignDataWrapper(server->fdwid)->fdwname, wrapper_name) != 0)
    raise_missing_store(NameStr(name), server != nullptr);
  Store fresh = {};
  fresh.name = name;
  fresh.server = server->serverid;
  read_store_prefix(server, fresh);

  entry = static_cast<Store*>(hash_search(stores, NameStr(name), HASH_ENTER, &found));
  *entry = fresh;
  latest = entry;
  return entry;
}

void check_usage(Store& store, Oid user) {
  if (store.allowed_user == user && store.allowed_in == transaction_number()) return;
  if (pg_foreign_server_aclcheck(store.server, user, ACL_USAGE) != ACLCHECK_OK)
    ereport(ERROR, errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
            errmsg("permission denied for store \"%s\"", NameStr(store.name)),
            errhint("Grant it: GRANT USAGE ON FOREIGN SERVER %s TO %s.", quote_identifier(NameStr(store.name)),
                    quote_identifier(GetUserNameFromId(user, false))));
  store.allowed_user = user;
  store.allowed_in = transaction_number();
}

void check_place(const Store& store, std::string_view key) {
  const std::string_view prefix{store.prefix, store.prefix_bytes};
  const int key_bytes = static_cast<int>(key.size());
  if (key.starts_with(reserved_prefix))
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("key \"%.*s\" is reserved", key_bytes, key.data()),
            errdetail("Keys below .objectlink/ belong to objectlink itself."), errhint("Use another key."));
  if (!key.starts_with(prefix) || key.size() == prefix.size())
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE),
            errmsg("key \"%.*s\" is not below the prefix of store \"%s\"", key_bytes, key.data(), NameStr(store.name)),
            errdetail("The prefix is \"%.*s\".", static_cast<int>(prefix.size()), prefix.data()),
            errhint("A storage_ref holds the full key in the bucket, including the prefix."));
}

}  // namespace

void check_store_access(RefParts parts, Oid user) {
  Store* const store = find_store(parts.store);
  check_usage(*store, user);
  check_place(*store, parts.key);
}

void watch_stores() {
  CacheRegisterSyscacheCallback(FOREIGNSERVEROID, at_server_change, Datum{0});
  CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, at_server_change, Datum{0});
}

}  // namespace objectlink
