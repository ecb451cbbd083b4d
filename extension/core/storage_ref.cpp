// Checks and splits references to objects.
#include "core/storage_ref.hpp"

#include "core/utf8.hpp"

namespace objectlink {

namespace {

// The first C0 or C1 control character, or npos. `text` is well-formed UTF-8.
std::size_t find_control(std::string_view text) noexcept {
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto byte = static_cast<unsigned char>(text[at]);
    if (byte < 0x20 || byte == 0x7F) return at;
    if (byte == 0xC2 && static_cast<unsigned char>(text[at + 1]) < 0xA0) return at;
  }
  return std::string_view::npos;
}

RefProblem shifted(RefProblem problem, std::size_t offset) noexcept {
  problem.at += offset;
  return problem;
}

}  // namespace

RefProblem check_store_name(std::string_view store) noexcept {
  if (store.empty()) return {RefFlaw::store_empty, 0};
  if (store.size() > store_bytes_max) return {RefFlaw::store_too_long, store_bytes_max};
  if (const auto at = store.find('/'); at != std::string_view::npos) return {RefFlaw::store_slash, at};
  if (const auto at = find_malformed_utf8(store); at != std::string_view::npos) return {RefFlaw::store_malformed, at};
  if (const auto at = find_control(store); at != std::string_view::npos) return {RefFlaw::store_control, at};
  return {};
}

RefProblem check_key(std::string_view key) noexcept {
  if (key.empty()) return {RefFlaw::key_empty, 0};
  if (key.size() > key_bytes_max) return {RefFlaw::key_too_long, key_bytes_max};
  if (const auto at = key.find('\0'); at != std::string_view::npos) return {RefFlaw::key_nul, at};
  if (const auto at = find_malformed_utf8(key); at != std::string_view::npos) return {RefFlaw::key_malformed, at};
  return {};
}

RefProblem check_storage_ref(std::string_view text) noexcept {
  if (!text.starts_with(ref_scheme)) return {RefFlaw::scheme_missing, 0};
  const std::string_view rest = text.substr(ref_scheme.size());
  const std::size_t slash = rest.find('/');
  const std::string_view store = rest.substr(0, slash);
  if (const auto problem = check_store_name(store)) return shifted(problem, ref_scheme.size());
  if (slash == std::string_view::npos) return {RefFlaw::key_missing, text.size()};
  return shifted(check_key(rest.substr(slash + 1)), ref_scheme.size() + slash + 1);
}

RefParts split_storage_ref(std::string_view text) noexcept {
  const std::string_view rest = text.substr(ref_scheme.size());
  const std::size_t slash = rest.find('/');
  return {rest.substr(0, slash), rest.substr(slash + 1)};
}

std::string make_storage_ref(std::string_view store, std::string_view key) {
  std::string text;
  text.reserve(ref_scheme.size() + store.size() + 1 + key.size());
  text.append(ref_scheme).append(store).append(1, '/').append(key);
  return text;
}

const char* describe(RefFlaw flaw) noexcept {
  switch (flaw) {
    case RefFlaw::none: return "Nothing is wrong with it";
    case RefFlaw::scheme_missing: return "It does not begin with s3://";
    case RefFlaw::store_empty: return "The store name is empty";
    case RefFlaw::store_too_long: return "The store name is longer than 63 bytes";
    case RefFlaw::store_slash: return "The store name contains a slash";
    case RefFlaw::store_control: return "The store name contains a control character";
    case RefFlaw::store_malformed: return "The store name is not valid UTF-8";
    case RefFlaw::key_missing: return "No slash and no key follow the store name";
    case RefFlaw::key_empty: return "The key is empty";
    case RefFlaw::key_too_long: return "The key is longer than 1024 bytes";
    case RefFlaw::key_nul: return "The key contains a NUL byte";
    case RefFlaw::key_malformed: return "The key is not valid UTF-8";
  }
  return "It is not valid";
}

}  // namespace objectlink
