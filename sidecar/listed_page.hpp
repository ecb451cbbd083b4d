// What may be believed of one page of a listing, and what does it say in terms of the database?
// Pure. A page that is out of order, holds what was not asked for or goes on with nothing is no page: nothing follows from it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "s3_error.hpp"
#include "s3_reply.hpp"

namespace objectlink {

struct ListedKey {
  std::string key;
  std::int64_t size = 0;
  std::string etag;
  // Since it was written, by the store's own clock, and less than that rather than more. None: the store does not say.
  std::optional<std::chrono::milliseconds> age;
};

struct ListedPage {
  std::vector<ListedKey> keys;   // rising
  bool last = false;             // nothing follows
  std::string up_to;             // the page tells of everything up to this key; empty if it is the last
  std::size_t foreign_keys = 0;  // that cannot be keys of ours: no UTF-8, too long
  std::string next_token;        // where a listing in any order goes on; empty if it is the last
};

// `after`: it was asked to begin behind this key. `store_time`: when the store sent it, by its own clock.
S3Result<ListedPage> read_listed_page(const HttpReply& reply, std::string_view prefix, std::string_view after);

// The same of a store that lists in an order of its own: the keys stand as they came, and up_to says nothing.
S3Result<ListedPage> read_page_in_any_order(const HttpReply& reply, std::string_view prefix);

// Leaves out what lies behind the end of a range. With the range's last key the page is the last.
void cut_page(ListedPage& page, const std::optional<std::string>& range_end);

// Only such keys can stand in the database.
bool can_be_ours(std::string_view key);

// How old what was modified then is at a time of the store's clock, and rather less than that.
std::optional<std::chrono::milliseconds> age_at(std::optional<std::chrono::system_clock::time_point> store_time,
                                                std::optional<std::chrono::system_clock::time_point> last_modified);

// When the store sent a reply, by its own clock, in whole seconds.
std::optional<std::chrono::system_clock::time_point> store_time(const HttpReply& reply);

}  // namespace objectlink
