#include "listed_page.hpp"

#include <algorithm>
#include <utility>

#include "core/utf8.hpp"
#include "s3_request.hpp"
#include "s3_time.hpp"

namespace objectlink {
namespace {

using std::chrono::milliseconds;

// Of the whole seconds in which stores tell the time.
constexpr milliseconds time_grain{1000};

S3Error flaw(const ListPage& page, const char* code, std::string message) {
  S3Error error;
  error.klass = ErrorClass::conflict;
  error.code = code;
  error.message = std::move(message);
  error.status = 200;
  error.request_id = page.request_id;
  return error;
}

std::optional<S3Error> find_foreign(const ListPage& page, std::string_view prefix) {
  const auto below = [prefix](const ListedObject& object) { return object.key.starts_with(prefix); };
  if (std::ranges::all_of(page.objects, below)) return std::nullopt;
  return flaw(page, "ListingForeign", "the listing shows keys that do not begin with the prefix it was asked for");
}

std::optional<S3Error> find_flaw(const ListPage& page, std::string_view prefix, std::string_view after) {
  const auto& objects = page.objects;
  if (page.truncated && objects.empty())
    return flaw(page, "ListingStalled", "the listing goes on, but this page is empty");
  if (!page.in_order || (!objects.empty() && objects.front().key <= after))
    return flaw(page, "ListingOutOfOrder", "the store does not list in the order of bytes");
  return find_foreign(page, prefix);
}

// Moves the keys out of the listing.
ListedPage to_listed_page(ListPage& listing, const HttpReply& reply) {
  ListedPage page;
  page.last = !listing.truncated;
  page.keys.reserve(listing.objects.size());
  const auto now = store_time(reply);
  for (ListedObject& object : listing.objects) {
    if (!can_be_ours(object.key)) {
      ++page.foreign_keys;
      continue;
    }
    page.keys.push_back(
        {std::move(object.key), object.size, std::move(object.etag), age_at(now, object.last_modified)});
  }
  return page;
}

}  // namespace

bool can_be_ours(std::string_view key) {
  return key.size() <= key_bytes_max && key.find('\0') == std::string_view::npos &&
         find_malformed_utf8(key) == std::string_view::npos;
}

std::optional<milliseconds> age_at(std::optional<std::chrono::system_clock::time_point> store_time,
                                   std::optional<std::chrono::system_clock::time_point> last_modified) {
  if (!store_time || !last_modified) return std::nullopt;
  return std::max(milliseconds{0}, std::chrono::duration_cast<milliseconds>(*store_time - *last_modified) - time_grain);
}

std::optional<std::chrono::system_clock::time_point> store_time(const HttpReply& reply) {
  const std::string* const date = reply.header("date");
  return date ? parse_http_date(*date) : std::nullopt;
}

void cut_page(ListedPage& page, const std::optional<std::string>& range_end) {
  if (!range_end) return;
  const auto end = std::ranges::upper_bound(page.keys, *range_end, {}, &ListedKey::key);
  if (end == page.keys.end() && !page.last && page.up_to < *range_end) return;
  page.keys.erase(end, page.keys.end());
  page.last = true;
  page.up_to.clear();
}

S3Result<ListedPage> read_listed_page(const HttpReply& reply, std::string_view prefix, std::string_view after) {
  auto parsed = parse_list_objects_v2(reply);
  if (!parsed.ok()) return parsed.error();
  ListPage& listing = parsed.value();
  if (auto found = find_flaw(listing, prefix, after)) return *found;
  ListedPage page = to_listed_page(listing, reply);
  if (page.last) return page;
  // The next page has to begin behind a key that the database can hold.
  if (page.keys.empty())
    return flaw(listing, "ListingForeign", "a whole page of the listing shows no key that could be one of ours");
  page.up_to = page.keys.back().key;
  return page;
}

S3Result<ListedPage> read_page_in_any_order(const HttpReply& reply, std::string_view prefix) {
  auto parsed = parse_list_objects_v2(reply);
  if (!parsed.ok()) return parsed.error();
  if (auto found = find_foreign(parsed.value(), prefix)) return *found;
  ListedPage page = to_listed_page(parsed.value(), reply);
  page.next_token = parsed.value().next_token;
  return page;
}

}  // namespace objectlink
