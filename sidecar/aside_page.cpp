#include "aside_page.hpp"

#include <algorithm>
#include <utility>

#include "listed_page.hpp"

namespace objectlink {
namespace {

using std::chrono::milliseconds;

S3Error flaw(const HttpReply& reply, const char* code, const char* message) {
  S3Error error;
  error.klass = ErrorClass::conflict;
  error.code = code;
  error.message = message;
  error.status = static_cast<int>(reply.status);
  return error;
}

}  // namespace

S3Result<AsidePage> read_uploads_page(const HttpReply& reply) {
  auto parsed = parse_list_multipart_uploads(reply);
  if (!parsed.ok()) return parsed.error();
  const UploadsPage& listing = parsed.value();
  const auto now = store_time(reply);
  AsidePage page;
  page.last = !listing.truncated;
  for (const ListedUpload& upload : listing.uploads) {
    if (!can_be_ours(upload.key) || !can_be_ours(upload.upload_id)) continue;
    AsideEntry entry;
    entry.key = upload.key;
    entry.item = upload.upload_id;
    entry.age = age_at(now, upload.initiated);
    if (upload.initiated)
      entry.initiated_ms = std::chrono::duration_cast<milliseconds>(upload.initiated->time_since_epoch()).count();
    page.entries.push_back(std::move(entry));
  }
  if (page.last) return page;
  // Where the listing goes on has to stand in the database.
  if (!can_be_ours(listing.next_key_marker) || !can_be_ours(listing.next_upload_id_marker))
    return flaw(reply, "ListingForeign", "a page of the listing ends with a key that the database cannot hold");
  page.next_key = page.resume_key = listing.next_key_marker;
  page.next_item = page.resume_item = listing.next_upload_id_marker;
  return page;
}

S3Result<AsidePage> VersionsReader::read(const HttpReply& reply) {
  auto parsed = parse_list_object_versions(reply);
  if (!parsed.ok()) return parsed.error();
  const VersionsPage& listing = parsed.value();
  if (!listing.in_order || (!listing.versions.empty() && listing.versions.front().key < key_))
    return flaw(reply, "ListingOutOfOrder", "the store does not list versions in the order of keys");
  const auto now = store_time(reply);
  AsidePage page;
  page.last = !listing.truncated;
  const auto end_key = [this, &page] {
    if (marker_) page.entries.push_back(std::move(*marker_));
    marker_.reset();
  };
  for (const ListedVersion& version : listing.versions) {
    if (version.key == after_) continue;
    if (version.key != key_) {
      end_key();
      if (key_ != after_ && can_be_ours(key_)) page.resume_key = key_;
      key_ = version.key;
    }
    if (!version.is_marker) marker_.reset();  // it hides this one
    if (!can_be_ours(version.key) || !can_be_ours(version.version_id)) continue;
    AsideEntry entry;
    entry.key = version.key;
    entry.item = version.version_id;
    entry.is_marker = version.is_marker;
    entry.size = version.size;
    entry.etag = version.etag;
    entry.age = age_at(now, version.last_modified);
    if (!version.is_latest)
      page.entries.push_back(std::move(entry));
    else if (version.is_marker)
      marker_ = std::move(entry);
  }
  if (page.last) {
    end_key();
    return page;
  }
  page.next_key = listing.versions.back().key;
  page.next_item = listing.versions.back().version_id;
  return page;
}

void cut_page(AsidePage& page, const std::optional<std::string>& range_end) {
  if (!range_end) return;
  std::erase_if(page.entries, [&range_end](const AsideEntry& entry) { return entry.key > *range_end; });
  page.last |= page.next_key > *range_end;
}

}  // namespace objectlink
