#include "absence.hpp"

#include <algorithm>

#include "s3_xml_text.hpp"

namespace objectlink {
namespace {

template <class Entries>
KeyPage pick_keys(const Entries& entries, bool truncated, bool in_order, std::string_view after,
                  std::string_view prefix) {
  KeyPage page{.after = after, .prefix = prefix, .keys = {}, .truncated = truncated, .in_order = in_order};
  page.keys.reserve(entries.size());
  for (const auto& entry : entries) page.keys.push_back(entry.key);
  return page;
}

// Nothing can be learned from a page that is not what was asked for.
bool is_believable(const KeyPage& page) {
  if (!page.in_order || !std::ranges::is_sorted(page.keys)) return false;
  if (page.truncated && page.keys.empty()) return false;
  return page.keys.empty() || page.keys.front() > page.after;
}

}  // namespace

KeyPage key_page(const ListPage& page, std::string_view after, std::string_view prefix) {
  return pick_keys(page.objects, page.truncated, page.in_order, after, prefix);
}

KeyPage key_page(const VersionsPage& page, std::string_view after, std::string_view prefix) {
  return pick_keys(page.versions, page.truncated, page.in_order, after, prefix);
}

PageProof prove_by_page(std::span<const std::string> keys, const KeyPage& page) {
  PageProof proof;
  const bool believable = is_believable(page);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const std::string_view key = keys[i];
    const bool behind_its_begin = key > page.after && key.starts_with(page.prefix);
    const bool before_its_end = !page.truncated || (!page.keys.empty() && key <= page.keys.back());
    if (!believable || !behind_its_begin || !before_its_end || !xml_safe(key))
      proof.unproved.push_back(i);
    else if (std::ranges::binary_search(page.keys, key))
      proof.listed.push_back(i);
    else
      proof.absent.push_back(i);
  }
  return proof;
}

std::string just_before(std::string_view key) {
  std::string before(key);
  // Off with the last character, not only its last byte: the store takes nothing but UTF-8.
  while (!before.empty() && (static_cast<unsigned char>(before.back()) & 0xc0) == 0x80) before.pop_back();
  if (before.empty()) return before;
  const auto last = static_cast<unsigned char>(before.back());
  before.pop_back();
  // "a1" follows "a0~": so what else begins with "a" does not stand in between.
  if (last > '!' && last < 0x7f) before.append(1, static_cast<char>(last - 1)).append("~");
  return before;
}

}  // namespace objectlink
