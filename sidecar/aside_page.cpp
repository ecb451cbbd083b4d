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

// Where the listing goes on has to stand in the database.
std::optional<S3Error> go_on_behind(AsidePage& page, const HttpReply& reply, const std::string& key,
                                    const std::string& item) {
  if (!can_be_ours(key) || !can_be_ours(item))
    return flaw(reply, "ListingForeign", "a page of the listing ends with a key that the database cannot hold");
  page.next_key = key;
  page.next_item = item;
  return std::nullopt;
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
  if (!page.last)
    if (auto found = go_on_behind(page, reply, listing.next_key_marker, listing.next_upload_id_marker)) return *found;
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
    if (version.key != key_) {
      end_key();
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
  if (page.last)
    end_key();
  else if (auto found = go_on_behind(page, reply, listing.versions.back().key, listing.versions.back().version_id))
    return *found;
  return page;
}

}  // namespace objectlink
