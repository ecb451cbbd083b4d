// The SQL type storage_ref: input, output, construction, parts, comparison, hashing.
// Stored as a varlena that holds exactly the text form, so the cast to text costs nothing; ordered bytewise.
#include "core/storage_ref.hpp"

#include "postgres.hpp"
#include "ref_errors.hpp"

#include <algorithm>
#include <cstring>

namespace objectlink {

namespace {

struct varlena* new_varlena(std::size_t bytes) {
  auto* const value = static_cast<struct varlena*>(palloc(VARHDRSZ + bytes));
  SET_VARSIZE(value, VARHDRSZ + bytes);
  return value;
}

Datum ref_datum(std::string_view text) {
  if (const RefProblem problem = check_storage_ref(text)) raise_ref_problem(RefPart::whole, text, problem);
  struct varlena* const value = new_varlena(text.size());
  std::memcpy(VARDATA(value), text.data(), text.size());
  return PointerGetDatum(value);
}

int compare(std::string_view a, std::string_view b) noexcept {
  const int order = std::memcmp(a.data(), b.data(), std::min(a.size(), b.size()));
  if (order != 0) return order;
  return a.size() < b.size() ? -1 : static_cast<int>(a.size() > b.size());
}

// Comparison of two arguments. Detoasted copies are freed, because btree calls this often in one memory context.
int compare_arguments(FunctionCallInfo fcinfo) {
  struct varlena* const a = PG_GETARG_VARLENA_PP(0);
  struct varlena* const b = PG_GETARG_VARLENA_PP(1);
  const int order = compare(varlena_bytes(a), varlena_bytes(b));
  PG_FREE_IF_COPY(a, 0);
  PG_FREE_IF_COPY(b, 1);
  return order;
}

// Values of different length differ, which is known without detoasting.
bool equal_arguments(FunctionCallInfo fcinfo) {
  const Datum a = PG_GETARG_DATUM(0);
  const Datum b = PG_GETARG_DATUM(1);
  return toast_raw_datum_size(a) == toast_raw_datum_size(b) && compare_arguments(fcinfo) == 0;
}

int sort_compare(Datum a, Datum b, [[maybe_unused]] SortSupport support) {
  struct varlena* const left = PG_DETOAST_DATUM_PACKED(a);
  struct varlena* const right = PG_DETOAST_DATUM_PACKED(b);
  const int order = compare(varlena_bytes(left), varlena_bytes(right));
  if (PointerGetDatum(left) != a) pfree(left);
  if (PointerGetDatum(right) != b) pfree(right);
  return order;
}

}  // namespace

OBJECTLINK_FUNCTION(storage_ref_in) {
  const char* const text = PG_GETARG_CSTRING(0);
  PG_RETURN_DATUM(ref_datum(text));
}

OBJECTLINK_FUNCTION(storage_ref_out) {
  const std::string_view text = varlena_bytes(PG_GETARG_VARLENA_PP(0));
  PG_RETURN_CSTRING(pnstrdup(text.data(), text.size()));
}

OBJECTLINK_FUNCTION(storage_ref_recv) {
  auto* const buffer = reinterpret_cast<StringInfo>(PG_GETARG_POINTER(0));
  int bytes = 0;
  const char* const text = pq_getmsgtext(buffer, buffer->len - buffer->cursor, &bytes);
  PG_RETURN_DATUM(ref_datum({text, static_cast<std::size_t>(bytes)}));
}

OBJECTLINK_FUNCTION(storage_ref_send) {
  const std::string_view text = varlena_bytes(PG_GETARG_VARLENA_PP(0));
  StringInfoData buffer;
  pq_begintypsend(&buffer);
  pq_sendtext(&buffer, text.data(), static_cast<int>(text.size()));
  PG_RETURN_BYTEA_P(pq_endtypsend(&buffer));
}

OBJECTLINK_FUNCTION(storage_ref_from_text) { PG_RETURN_DATUM(ref_datum(datum_bytes(PG_GETARG_DATUM(0)))); }

OBJECTLINK_FUNCTION(storage_ref_from_parts) {
  const std::string_view store = datum_bytes(PG_GETARG_DATUM(0));
  const std::string_view key = datum_bytes(PG_GETARG_DATUM(1));
  if (const RefProblem problem = check_store_name(store)) raise_ref_problem(RefPart::store, store, problem);
  if (const RefProblem problem = check_key(key)) raise_ref_problem(RefPart::key, key, problem);
  struct varlena* const value = new_varlena(ref_scheme.size() + store.size() + 1 + key.size());
  char* to = VARDATA(value);
  to += ref_scheme.copy(to, ref_scheme.size());
  to += store.copy(to, store.size());
  *to++ = '/';
  key.copy(to, key.size());
  PG_RETURN_POINTER(value);
}

OBJECTLINK_FUNCTION(storage_ref_store) {
  const RefParts parts = split_storage_ref(datum_bytes(PG_GETARG_DATUM(0)));
  auto* const name = static_cast<Name>(palloc0(NAMEDATALEN));
  parts.store.copy(NameStr(*name), NAMEDATALEN - 1);
  PG_RETURN_NAME(name);
}

OBJECTLINK_FUNCTION(storage_ref_key) {
  const RefParts parts = split_storage_ref(datum_bytes(PG_GETARG_DATUM(0)));
  PG_RETURN_TEXT_P(cstring_to_text_with_len(parts.key.data(), static_cast<int>(parts.key.size())));
}

OBJECTLINK_FUNCTION(storage_ref_eq) { PG_RETURN_BOOL(equal_arguments(fcinfo)); }
OBJECTLINK_FUNCTION(storage_ref_ne) { PG_RETURN_BOOL(!equal_arguments(fcinfo)); }
OBJECTLINK_FUNCTION(storage_ref_lt) { PG_RETURN_BOOL(compare_arguments(fcinfo) < 0); }
OBJECTLINK_FUNCTION(storage_ref_le) { PG_RETURN_BOOL(compare_arguments(fcinfo) <= 0); }
OBJECTLINK_FUNCTION(storage_ref_gt) { PG_RETURN_BOOL(compare_arguments(fcinfo) > 0); }
OBJECTLINK_FUNCTION(storage_ref_ge) { PG_RETURN_BOOL(compare_arguments(fcinfo) >= 0); }
OBJECTLINK_FUNCTION(storage_ref_cmp) { PG_RETURN_INT32(compare_arguments(fcinfo)); }

OBJECTLINK_FUNCTION(storage_ref_sortsupport) {
  auto* const support = reinterpret_cast<SortSupport>(PG_GETARG_POINTER(0));
  support->comparator = sort_compare;
  PG_RETURN_VOID();
}

OBJECTLINK_FUNCTION(storage_ref_hash) {
  struct varlena* const value = PG_GETARG_VARLENA_PP(0);
  const std::string_view text = varlena_bytes(value);
  const Datum hash = hash_any(reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  PG_FREE_IF_COPY(value, 0);
  PG_RETURN_DATUM(hash);
}

OBJECTLINK_FUNCTION(storage_ref_hash_extended) {
  struct varlena* const value = PG_GETARG_VARLENA_PP(0);
  const std::string_view text = varlena_bytes(value);
  const auto seed = static_cast<uint64>(PG_GETARG_INT64(1));
  const Datum hash =
      hash_any_extended(reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()), seed);
  PG_FREE_IF_COPY(value, 0);
  PG_RETURN_DATUM(hash);
}

}  // namespace objectlink
