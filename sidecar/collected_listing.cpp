#include "collected_listing.hpp"

#include <utility>
#include <vector>

namespace objectlink {

using std::chrono::milliseconds;

std::optional<CollectedListing::Time> CollectedListing::next_turn() const {
  if (!page_) return not_before_;
  return page_->arrived ? std::optional(Time{}) : std::nullopt;
}

void CollectedListing::list(Time now) {
  auto page = std::make_shared<Page>();
  page_ = page;
  page->asked_at = now;
  errand_.send_and_read(
      [prefix = run_->prefix, token = token_, size = run_->page_size](S3RequestBuilder& builder,
                                                                      const Signing& signing) {
        ListObjects list;
        list.prefix = prefix;
        list.continuation_token = token;
        list.max_keys = size;
        return builder.list_objects_v2(signing, list);
      },
      [page, prefix = run_->prefix](HttpReply& reply) {
        page->listed.reset();
        page->error.reset();
        auto listed = read_page_in_any_order(reply, prefix);
        page->store_time = store_time(reply);
        if (!listed.ok()) {
          page->error = listed.error();
          return;
        }
        page->listed = std::move(listed.value());
        std::string().swap(reply.body);
      },
      [self = shared_from_this(), page](const HttpReply& reply) {
        if (page != self->page_) return;
        page->arrived = true;
        if (!page->listed && !page->error) page->error = classify(reply);
        if (page->listed) self->errand_.store_answered();
      });
}

CollectedListing::Outcome CollectedListing::failed(Database& database, Time now, const S3Error& error) {
  const auto page = std::exchange(page_, nullptr);  // the error may be its
  const auto again = tries_.failed(errand_, database, *run_, token_, error, now);
  if (!again) return Outcome::over;
  not_before_ = *again;
  return Outcome::progress;
}

CollectedListing::Outcome CollectedListing::turn(Database& database, Time now) {
  if (!page_ || !page_->arrived) return Outcome::nothing;
  if (page_->error) return failed(database, now, *page_->error);
  const ListedPage& listed = *page_->listed;
  std::vector<std::string_view> keys, etags;
  std::vector<std::int64_t> sizes;
  std::vector<std::optional<std::string>> ages;
  for (const ListedKey& key : listed.keys) {
    keys.push_back(key.key);
    sizes.push_back(key.size);
    etags.push_back(key.etag);
    ages.push_back(key.age ? std::optional(std::to_string(key.age->count())) : std::nullopt);
  }
  std::optional<std::int64_t> store_time_ms;
  if (page_->store_time)
    store_time_ms = std::chrono::duration_cast<milliseconds>(page_->store_time->time_since_epoch()).count();
  const auto since = std::chrono::ceil<milliseconds>(std::chrono::steady_clock::now() - page_->asked_at);
  const Rows rows = database.query(
      "SELECT objectlink.collect_page($1, $2, $3, $4, $5, $6, $7, $8::text[], $9::bigint[], $10::text[], "
      "$11::bigint[])",
      run_->store, run_->epoch, run_->id, token_, listed.last ? std::nullopt : std::optional(listed.next_token),
      store_time_ms, since.count(), text_array(keys), int_array(sizes), text_array(etags), text_array(ages));
  const std::string_view state = rows.text(0, 0);
  if (state == "stalled") {
    S3Error error;
    error.klass = ErrorClass::conflict;
    error.code = "ListingStalled";
    error.message = "the listing goes on, but this page shows nothing new";
    error.status = 200;
    return failed(database, now, error);
  }
  if (state != "collecting") return Outcome::over;
  tries_.succeeded();
  token_ = listed.next_token;
  page_.reset();
  not_before_ = now;
  return Outcome::progress;
}

}  // namespace objectlink
