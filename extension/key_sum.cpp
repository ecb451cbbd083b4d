// The SQL aggregates sum_keys and sum_objects: what the rows, and what the registry, have in some blocks of keys, as sums that
// the daemon can compare with those of a listing (core/key_digest.hpp).
//
// Blocks come as text[]: a seed, how many bytes stand before the key in each value, and the last key of each block, rising.
// The result is text[]: a number for each block. Values come in any order; in that of keys it is fast, and equal ones count once.
#include "core/key_digest.hpp"

#include "postgres.hpp"

#include <algorithm>
#include <charconv>

namespace objectlink {

namespace {

// In the aggregate's memory.
struct Blocks {
  std::uint64_t seed;
  std::size_t skip;
  int count;
  int at;  // where the value before belongs
  bool begun;
  std::uint64_t last_hash;
  std::string_view* bounds;
  std::uint64_t* sums;
  bool* uneven;
};

template <class Number>
Number number_of(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size())
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid blocks of keys"),
            errdetail("They begin with a seed and a number of bytes."));
  return number;
}

Blocks* read_blocks(Datum array, MemoryContext context) {
  MemoryContext const before = MemoryContextSwitchTo(context);
  Datum* values = nullptr;
  int count = 0;
  deconstruct_array(DatumGetArrayTypePCopy(array), TEXTOID, -1, false, TYPALIGN_INT, &values, nullptr, &count);
  if (count < 3)
    ereport(ERROR, errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid blocks of keys"),
            errdetail("There is none."));
  auto* const blocks = static_cast<Blocks*>(palloc0(sizeof(Blocks)));
  blocks->seed = static_cast<std::uint64_t>(number_of<std::int64_t>(datum_bytes(values[0])));
  blocks->skip = static_cast<std::size_t>(number_of<std::uint32_t>(datum_bytes(values[1])));
  blocks->count = count - 2;
  blocks->bounds =
      static_cast<std::string_view*>(palloc(sizeof(std::string_view) * static_cast<std::size_t>(blocks->count)));
  for (int i = 0; i < blocks->count; ++i) blocks->bounds[i] = datum_bytes(values[i + 2]);
  blocks->sums = static_cast<std::uint64_t*>(palloc0(sizeof(std::uint64_t) * static_cast<std::size_t>(blocks->count)));
  blocks->uneven = static_cast<bool*>(palloc0(static_cast<std::size_t>(blocks->count)));
  MemoryContextSwitchTo(before);
  return blocks;
}

Blocks* blocks_of(FunctionCallInfo fcinfo) {
  MemoryContext context = nullptr;
  if (!AggCheckCallContext(fcinfo, &context))
    ereport(ERROR, errcode(ERRCODE_INTERNAL_ERROR), errmsg("called outside of an aggregate"));
  if (!PG_ARGISNULL(0)) return reinterpret_cast<Blocks*>(PG_GETARG_POINTER(0));
  if (PG_ARGISNULL(1))
    ereport(ERROR, errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("blocks of keys must not be NULL"));
  return read_blocks(PG_GETARG_DATUM(1), context);
}

// The block that a key belongs to; -1: behind all of them.
int find_block(Blocks& blocks, std::string_view key) {
  if (blocks.at > 0 && key <= blocks.bounds[blocks.at - 1]) blocks.at = 0;
  while (blocks.at < blocks.count && key > blocks.bounds[blocks.at]) ++blocks.at;
  if (blocks.at < blocks.count) return blocks.at;
  blocks.at = 0;
  return -1;
}

}  // namespace

OBJECTLINK_FUNCTION(sum_keys_step) {
  Blocks* const blocks = blocks_of(fcinfo);
  if (PG_ARGISNULL(2)) PG_RETURN_POINTER(blocks);
  std::string_view key = varlena_bytes(PG_GETARG_VARLENA_PP(2));
  key.remove_prefix(std::min(blocks->skip, key.size()));
  const std::uint64_t hash = hash_key(blocks->seed, key);
  if (blocks->begun && hash == blocks->last_hash) PG_RETURN_POINTER(blocks);
  blocks->begun = true;
  blocks->last_hash = hash;
  if (const int block = find_block(*blocks, key); block >= 0) blocks->sums[block] ^= hash;
  PG_RETURN_POINTER(blocks);
}

OBJECTLINK_FUNCTION(sum_objects_step) {
  Blocks* const blocks = blocks_of(fcinfo);
  if (PG_ARGISNULL(2) || PG_ARGISNULL(3)) PG_RETURN_POINTER(blocks);
  const std::string_view key = varlena_bytes(PG_GETARG_VARLENA_PP(2));
  const std::string_view state = varlena_bytes(PG_GETARG_VARLENA_PP(3));
  const bool stored = state == "stored";
  // Of what waits, or is on its way out, nothing follows from a listing.
  if (!stored && (state == "pending" || state == "unlinked" || state == "deleting" || state == "reserved"))
    PG_RETURN_POINTER(blocks);
  const int block = find_block(*blocks, key);
  if (block < 0) PG_RETURN_POINTER(blocks);
  if (!stored || PG_ARGISNULL(4) || PG_ARGISNULL(5)) {
    blocks->uneven[block] = true;
  } else {
    blocks->sums[block] ^= hash_content(blocks->seed, hash_key(blocks->seed, key), PG_GETARG_INT64(4),
                                        varlena_bytes(PG_GETARG_VARLENA_PP(5)));
  }
  PG_RETURN_POINTER(blocks);
}

OBJECTLINK_FUNCTION(sum_end) {
  if (PG_ARGISNULL(0)) PG_RETURN_NULL();  // there was no value
  const auto* const blocks = reinterpret_cast<const Blocks*>(PG_GETARG_POINTER(0));
  auto* const values = static_cast<Datum*>(palloc(sizeof(Datum) * static_cast<std::size_t>(blocks->count)));
  auto* const nulls = static_cast<bool*>(palloc(static_cast<std::size_t>(blocks->count)));
  for (int i = 0; i < blocks->count; ++i) {
    char text[24];
    const auto end = std::to_chars(text, text + sizeof text, static_cast<std::int64_t>(blocks->sums[i])).ptr;
    values[i] = PointerGetDatum(cstring_to_text_with_len(text, static_cast<int>(end - text)));
    nulls[i] = blocks->uneven[i];
  }
  int dimensions[] = {blocks->count};
  int lower_bounds[] = {1};
  PG_RETURN_ARRAYTYPE_P(
      construct_md_array(values, nulls, 1, dimensions, lower_bounds, TEXTOID, -1, false, TYPALIGN_INT));
}

}  // namespace objectlink
