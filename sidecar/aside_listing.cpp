#include "aside_listing.hpp"

#include <utility>
#include <vector>

#include "listed_page.hpp"
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

// A range that is not the first, or has got on, shows that somebody has asked before.
AsideListing::AsideListing(Errand& errand, std::shared_ptr<RunInHand> run, RangeBounds bounds, std::uint64_t seed)
    : KeyRange(std::move(bounds)),
      errand_(errand),
      run_(std::move(run)),
      of_versions_(run_->aside == "versions"),
      key_(bounds_.after),
      item_(bounds_.item),
      tries_(seed),
      versioning_known_(!of_versions_ || bounds_.number > 0 || !bounds_.after.empty()),
      reader_(std::make_shared<VersionsReader>(bounds_.after)) {}

std::optional<AsideListing::Time> AsideListing::next_turn() const {
  if (done_) return Time{};
  if (!page_) return not_before_;
  return page_->arrived ? std::optional(Time{}) : std::nullopt;
}

std::optional<std::string> AsideListing::position() const {
  const bool may_split = of_versions_ && versioning_known_ && !done_ && can_be_ours(key_) &&
                         errand_.traits().capabilities.list_order == Support::yes;
  if (!may_split || (page_ && page_->listed && page_->arrived)) return std::nullopt;
  return key_;
}

void AsideListing::ask_for_page(Database&, Time) {
  begun_ = true;
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
      [of_versions = of_versions_, prefix = run_->prefix, key = key_, item = item_, size = run_->page_size](
          S3RequestBuilder& builder, const Signing& signing) {
        if (!of_versions) return builder.list_multipart_uploads(signing, prefix, key, item);
        return builder.list_object_versions(
            signing, {.prefix = prefix, .key_marker = key, .version_id_marker = item, .max_keys = size});
      },
      [self = shared_from_this(), page](HttpReply& reply) {
        page->listed.reset();
        page->error.reset();
        // A try that is repeated begins from what the page before had left.
        self->read_ = std::make_shared<VersionsReader>(*self->reader_);
        auto listed = self->of_versions_ ? self->read_->read(reply) : read_uploads_page(reply);
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

KeyRange::Outcome AsideListing::turn(Database& database, Time now, bool) {
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

KeyRange::Outcome AsideListing::leave_out(Database& database, const std::string& note) {
  database.query("SELECT objectlink.skip_aside($1, $2, $3, $4, $5, $6)", run_->store, run_->epoch, run_->id,
                 run_->aside, std::exchange(run_->requests, 0), note);
  return Outcome::stopped;
}

KeyRange::Outcome AsideListing::failed(Database& database, Time now, const S3Error& error) {
  const auto page = std::exchange(page_, nullptr);  // the error may be its
  if (is_refused(error) || (tries_.is_last() && !is_outage(error))) {
    log::warning("reconcile.aside_left_out", error.describe(),
                 {{"store", run_->store_name}, {"run", run_->id}, {"what", run_->aside}});
    return leave_out(database, run_->aside + " were not listed: " + presentable(error.describe()));
  }
  const auto again = tries_.failed(errand_, database, *run_, key_, error, now);
  if (!again) return Outcome::stopped;
  not_before_ = *again;
  return Outcome::progress;
}

// The range may have become shorter since the page was asked for.
KeyRange::Outcome AsideListing::hand_over(Database& database, Time now) {
  AsidePage& listed = *page_->listed;
  if (!listed.last && listed.next_key == key_ && listed.next_item == item_) {
    S3Error error;
    error.klass = ErrorClass::conflict;
    error.code = "ListingStalled";
    error.message = "the listing goes on, but this page shows nothing new";
    error.status = 200;
    return failed(database, now, error);
  }
  cut_page(listed, bounds_.up_to);
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
  const bool moves = !listed.resume_key.empty();
  const std::string resume_key = moves ? listed.resume_key : bounds_.after;
  const std::string resume_item = moves ? listed.resume_item : bounds_.item;
  const auto reached = listed.last ? std::nullopt : std::optional(resume_key);
  const int requests = std::exchange(run_->requests, 0);
  const Rows rows =
      of_versions_
          ? database.query(
                "SELECT objectlink.note_versions($1, $2, $3, $4, $5, $6, $7, $8::text[], $9::text[], $10::boolean[], "
                "$11::bigint[], $12::text[], $13::bigint[])",
                run_->store, run_->epoch, run_->id, bounds_.number, bounds_.after, reached, requests, text_array(keys),
                text_array(items), text_array(markers), int_array(sizes), text_array(etags), text_array(ages))
          : database.query(
                "SELECT objectlink.note_uploads($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text[], $11::text[], "
                "$12::bigint[], $13::bigint[])",
                run_->store, run_->epoch, run_->id, bounds_.number, bounds_.after, bounds_.item, reached, resume_item,
                requests, text_array(keys), text_array(items), text_array(initiated), text_array(ages));
  if (rows.text(0, 0) != "listing") return Outcome::stopped;
  tries_.succeeded();
  done_ = listed.last;
  bounds_.after = resume_key;
  bounds_.item = resume_item;
  key_ = listed.next_key;
  item_ = listed.next_item;
  if (first_key_.empty()) first_key_ = key_;
  ++pages_since_split_;
  reader_ = std::move(read_);
  page_.reset();
  not_before_ = now;
  return Outcome::progress;
}

}  // namespace objectlink
