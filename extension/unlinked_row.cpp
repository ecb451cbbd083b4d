// Describes unlinked rows: which relation, which key. An INSERT pays nothing for it.
#include "unlinked_row.hpp"

#include "settings.hpp"

#include <array>

namespace objectlink {

namespace {

constexpr long relations_expected = 32;
constexpr long relations_max = 8192;  // then all are forgotten; a bound, not a tuning knob

// What was learned about one relation, until it changes.
struct RowKey {
  Oid relation;  // the hash key; each partition has columns, and a key, of its own
  bool valid;    // no change of the relation was noticed since
  bool learned;  // to the end
  Oid shown;     // the root of a partition, else the relation itself
  int count;     // 0: no primary key
  std::array<AttrNumber, INDEX_MAX_KEYS> columns;
  TupleDesc shape;  // of the record of the key's values
};

HTAB* known = nullptr;
MemoryContext known_context = nullptr;

// to_jsonb() asks the call for the type of its argument.
struct ToJsonb {
  FmgrInfo function;
  TupleDesc with_row;
  TupleDesc without_row;
};

ToJsonb* to_jsonb = nullptr;

void forget_all() {
  if (known_context != nullptr) MemoryContextReset(known_context);
  known = nullptr;
}

void at_relation_change([[maybe_unused]] Datum arg, Oid relation) {
  if (known == nullptr) return;
  if (OidIsValid(relation)) {
    auto* const entry = static_cast<RowKey*>(hash_search(known, &relation, HASH_FIND, nullptr));
    if (entry != nullptr) entry->valid = false;
    return;
  }
  HASH_SEQ_STATUS all;
  hash_seq_init(&all, known);
  while (auto* const entry = static_cast<RowKey*>(hash_seq_search(&all))) entry->valid = false;
}

void make_hash() {
  if (known_context == nullptr)
    known_context = AllocSetContextCreate(TopMemoryContext, "objectlink row keys", ALLOCSET_DEFAULT_SIZES);
  forget_all();
  HASHCTL control = {};
  control.keysize = sizeof(Oid);
  control.entrysize = sizeof(RowKey);
  control.hcxt = known_context;
  known = hash_create("objectlink row keys", relations_expected, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

// The columns of the primary key, in its order; a deferrable one is a key as well.
void learn_columns(Relation relation, RowKey& entry) {
  entry.count = 0;
  List* const indexes = RelationGetIndexList(relation);
  const ListCell* cell = nullptr;
  foreach (cell, indexes) {
    HeapTuple const tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
    if (!HeapTupleIsValid(tuple)) continue;
    const FormData_pg_index* const index = reinterpret_cast<Form_pg_index>(GETSTRUCT(tuple));
    if (index->indisprimary)
      for (; entry.count < index->indnkeyatts; ++entry.count)
        entry.columns[static_cast<std::size_t>(entry.count)] = index->indkey.values[entry.count];
    ReleaseSysCache(tuple);
  }
  list_free(indexes);
}

void learn(Relation relation, RowKey& entry) {
  // Said first, so that a change that is noticed while it is learned makes it invalid again. What an error leaves is not learned.
  entry.valid = true;
  entry.learned = false;
  entry.shown = RelationGetRelid(relation);
  // None while the partition is being detached concurrently.
  List* const ancestors = relation->rd_rel->relispartition ? get_partition_ancestors(entry.shown) : NIL;
  if (ancestors != NIL) entry.shown = llast_oid(ancestors);
  learn_columns(relation, entry);
  if (entry.count == 0) {
    entry.learned = true;
    return;
  }

  MemoryContext const old = MemoryContextSwitchTo(known_context);
  if (entry.shape != nullptr) FreeTupleDesc(entry.shape);
  entry.shape = nullptr;
  entry.shape = CreateTemplateTupleDesc(entry.count);
  for (int i = 0; i < entry.count; ++i) {
    const AttrNumber number = entry.columns[static_cast<std::size_t>(i)];
    TupleDescCopyEntry(entry.shape, static_cast<AttrNumber>(i + 1), RelationGetDescr(relation), number);
  }
  BlessTupleDesc(entry.shape);
  MemoryContextSwitchTo(old);
  entry.learned = true;
}

RowKey& row_key_of(Relation relation) {
  if (known == nullptr || hash_get_num_entries(known) >= relations_max) make_hash();
  const Oid oid = RelationGetRelid(relation);
  bool found = false;
  auto& entry = *static_cast<RowKey*>(hash_search(known, &oid, HASH_ENTER, &found));
  if (!found) {
    entry.valid = false;
    entry.learned = false;
    entry.shape = nullptr;
  }
  if (!entry.valid || !entry.learned) learn(relation, entry);
  return entry;
}

TupleDesc image_shape(bool with_row) {
  const TupleDesc shape = CreateTemplateTupleDesc(with_row ? 3 : 2);
  TupleDescInitEntry(shape, 1, "act", TEXTOID, -1, 0);
  TupleDescInitEntry(shape, 2, "relation", TEXTOID, -1, 0);
  if (with_row) TupleDescInitEntry(shape, 3, "row", RECORDOID, -1, 0);
  return BlessTupleDesc(shape);
}

ToJsonb& to_jsonb_call() {
  if (to_jsonb != nullptr) return *to_jsonb;
  MemoryContext const old = MemoryContextSwitchTo(TopMemoryContext);
  auto* const made = static_cast<ToJsonb*>(palloc0(sizeof(ToJsonb)));
  fmgr_info_cxt(F_TO_JSONB, &made->function, TopMemoryContext);
  Node* const argument = reinterpret_cast<Node*>(makeNullConst(RECORDOID, -1, InvalidOid));
  fmgr_info_set_expr(reinterpret_cast<Node*>(makeFuncExpr(F_TO_JSONB, JSONBOID, list_make1(argument), InvalidOid,
                                                          InvalidOid, COERCE_EXPLICIT_CALL)),
                     &made->function);
  made->with_row = image_shape(true);
  made->without_row = image_shape(false);
  MemoryContextSwitchTo(old);
  to_jsonb = made;
  return *to_jsonb;
}

Datum record_of(TupleDesc shape, const Datum* values, const bool* nulls) {
  return HeapTupleGetDatum(heap_form_tuple(shape, const_cast<Datum*>(values), const_cast<bool*>(nulls)));
}

Datum key_of(const RowKey& key, TupleTableSlot* row) {
  std::array<Datum, INDEX_MAX_KEYS> values;
  std::array<bool, INDEX_MAX_KEYS> nulls;
  for (std::size_t i = 0; i < static_cast<std::size_t>(key.count); ++i)
    values[i] = slot_getattr(row, key.columns[i], &nulls[i]);
  return record_of(key.shape, values.data(), nulls.data());
}

}  // namespace

Datum row_image(Relation relation, TupleTableSlot* old_row, const char* act) {
  const RowKey& key = row_key_of(relation);
  ToJsonb& call = to_jsonb_call();
  const bool with_row = old_row != nullptr && key.count > 0 && record_row_keys_setting();
  const char* const name =
      quote_qualified_identifier(get_namespace_name(get_rel_namespace(key.shown)), get_rel_name(key.shown));
  const std::array<Datum, 3> values = {CStringGetTextDatum(act), CStringGetTextDatum(name),
                                       with_row ? key_of(key, old_row) : Datum{0}};
  const std::array<bool, 3> nulls = {false, false, !with_row};
  const Datum image = record_of(with_row ? call.with_row : call.without_row, values.data(), nulls.data());
  return FunctionCall1(&call.function, image);
}

void watch_row_keys() { CacheRegisterRelcacheCallback(at_relation_change, Datum{0}); }

}  // namespace objectlink
