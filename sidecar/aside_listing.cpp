#include "aside_listing.hpp"

#include <utility>
#include <vector>

#include "log.hpp"
#include "work.hpp"

namespace objectlink {
namespace {

// The listing is refused for good, not only this time.
bool is_refused(const S3Error& error) {
  return error.status == 400 || error.status == 403 || error.status == 404 || error.status == 405 ||
         error.status == 501;
}

std::optional<std::string> text_of(const std::optional<std::int64_t>& number) {
  return number ? std::optional(std::to_string(*number)) : std::nullopt;
}

}  // namespace

std::optional<AsideListing::Time> AsideListing::next_turn() const {
  if (!page_) return not_before_;
  return page_->arrived ? std::optional(Time{}) : std::nullopt;
}

void AsideListing::list(Time) {
  ++run_->requests;
  page_ = std::make_shared<Page>();
  if (versioning_known_)
    ask_page(page_);
  else
    ask_versioning(page_);
}

void AsideListing::ask_versioning(const std::shared_ptr<Page>& page) {
  page->is_about_versioning = true;
  errand_.send(
      false, [](S3RequestBuilder& builder, const Signing& signing) { return builder.get_bucket_versioning(signing); },
      [self = shared_from_this(), page](const HttpReply& reply) {
        if (page != self->page_) return;
        page->arrived = true;
        const auto versioning = parse_get_bucket_versioning(reply);
        if (versioning.ok())
          page->versioning = versioning.value();
        else if (is_refused(versioning.error()))
          page->versioning = self->errand_.traits().capabilities.versioning;  // as it was found out, if it was
        else
          page->error = versioning.error();
        if (!page->error) self->errand_.store_answered();
      });
}

void AsideListing::ask_page(const std::shared_ptr<Page>& page) {
  errand_.send_and_read(
      [kind = kind_, prefix = run_->prefix, key = key_, item = item_, size = run_->page_size](S3RequestBuilder& builder,
                                                                                              const Signing& signing) {
        if (kind == Kind::uploads) return builder.list_multipart_uploads(signing, prefix, key, item);
        return builder.list_object_versions(
            signing, {.prefix = prefix, .key_marker = key, .version_id_marker = item, .max_keys = size});
      },
      [self = shared_from_this(), page](HttpReply& reply) {
        page->listed.reset();
        page->error.reset();
        // A try that is repeated begins from what the page before had left.
        self->read_ = std::make_shared<VersionsReader>(*self->reader_);
        auto listed = self->kind_ == Kind::uploads ? read_uploads_page(reply) : self->read_->read(reply);
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

AsideListing::Outcome AsideListing::turn(Database& database, Time now) {
  if (!page_ || !page_->arrived) return Outcome::nothing;
  if (page_->error) return failed(database, now, *page_->error);
  if (!page_->is_about_versioning) return hand_over(database, now);
  versioning_known_ = true;
  const auto versioning = page_->versioning;
  page_.reset();
  if (!versioning) return leave_out(database, "versions were not listed: whether the bucket is versioned is not told");
  if (*versioning == Versioning::never) return leave_out(database, {});
  return Outcome::progress;
}

AsideListing::Outcome AsideListing::leave_out(Database& database, const std::string& note) {
  database.query("SELECT objectlink.skip_aside($1, $2, $3, $4, $5, $6)", run_->store, run_->epoch, run_->id, name(),
                 std::exchange(run_->requests, 0), note);
  return Outcome::over;
}

AsideListing::Outcome AsideListing::failed(Database& database, Time now, const S3Error& error) {
  const auto page = std::exchange(page_, nullptr);  // the error may be its
  if (is_refused(error) || (tries_.is_last() && !is_outage(error))) {
    log::warning("reconcile.aside_left_out", error.describe(),
                 {{"store", run_->store_name}, {"run", run_->id}, {"what", name()}});
    return leave_out(database, std::string(name()) + " were not listed: " + presentable(error.describe()));
  }
  const auto again = tries_.failed(errand_, database, *run_, key_, error, now);
  if (!again) return Outcome::over;
  not_before_ = *again;
  return Outcome::progress;
}

AsideListing::Outcome AsideListing::hand_over(Database& database, Time now) {
  const AsidePage& listed = *page_->listed;
  if (!listed.last && listed.next_key == key_ && listed.next_item == item_) {
    S3Error error;
    error.klass = ErrorClass::conflict;
    error.code = "ListingStalled";
    error.message = "the listing goes on, but this page shows nothing new";
    error.status = 200;
    return failed(database, now, error);
  }
  std::vector<std::string_view> keys, items, etags;
  std::vector<std::int64_t> sizes;
  std::vector<std::string> markers;
  std::vector<std::optional<std::string>> ages, initiated;
  for (const AsideEntry& entry : listed.entries) {
    keys.push_back(entry.key);
    items.push_back(entry.item);
    etags.push_back(entry.etag);
    sizes.push_back(entry.size);
    markers.emplace_back(entry.is_marker ? "true" : "false");
    ages.push_back(text_of(entry.age ? std::optional<std::int64_t>(entry.age->count()) : std::nullopt));
    initiated.push_back(text_of(entry.initiated_ms));
  }
  const auto next_key = listed.last ? std::nullopt : std::optional(listed.next_key);
  const int requests = std::exchange(run_->requests, 0);
  const Rows rows =
      kind_ == Kind::uploads
          ? database.query(
                "SELECT objectlink.note_uploads($1, $2, $3, $4, $5, $6, $7, $8, $9::text[], $10::text[], "
                "$11::bigint[], $12::bigint[])",
                run_->store, run_->epoch, run_->id, key_, item_, next_key, listed.next_item, requests, text_array(keys),
                text_array(items), text_array(initiated), text_array(ages))
          : database.query(
                "SELECT objectlink.note_versions($1, $2, $3, $4, $5, $6, $7, $8, $9::text[], $10::text[], "
                "$11::boolean[], $12::bigint[], $13::text[], $14::bigint[])",
                run_->store, run_->epoch, run_->id, key_, item_, next_key, listed.next_item, requests, text_array(keys),
                text_array(items), text_array(markers), int_array(sizes), text_array(etags), text_array(ages));
  if (rows.text(0, 0) != "listing") return Outcome::over;
  tries_.succeeded();
  key_ = listed.next_key;
  item_ = listed.next_item;
  reader_ = std::move(read_);
  page_.reset();
  not_before_ = now;
  return Outcome::progress;
}

}  // namespace objectlink
