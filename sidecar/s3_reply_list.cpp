// Replies about many objects at once: listings and DeleteObjects. See s3_reply.hpp.
#include "s3_reply.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "core/uri.hpp"
#include "s3_reply_root.hpp"
#include "s3_time.hpp"
#include "s3_xml.hpp"

namespace objectlink {
namespace {

// A store that does not know encoding-type sends keys as they are, and does not echo it.
class KeyReader {
 public:
  explicit KeyReader(const pugi::xml_node& root) : encoded_(child_text(root, "EncodingType") == "url") {}

  std::optional<std::string> read(const pugi::xml_node& entry) const {
    const std::string_view text = child_text(entry, "Key");
    if (text.empty()) return std::nullopt;
    return encoded_ ? percent_decode(text, true) : std::string(text);
  }

 private:
  bool encoded_;
};

// Finds the requested object that an entry of the reply is about.
class Requested {
 public:
  explicit Requested(const std::vector<ObjectVersion>& objects) : objects_(objects) {
    for (std::size_t i = 0; i < objects.size(); ++i) by_key_.emplace(objects[i].key, i);
  }

  template <class Use>
  void each(const pugi::xml_node& entry, Use use) const {
    const std::string_view version = child_text(entry, "VersionId");
    const auto [first, last] = by_key_.equal_range(child_text(entry, "Key"));
    for (auto at = first; at != last; ++at) {
      const std::string& wanted = objects_[at->second].version_id;
      // A reply that names another version than the one asked for is not about it.
      const bool same = wanted == version || wanted.empty() || (version.empty() && std::next(first) == last);
      if (same) use(at->second);
    }
  }

 private:
  const std::vector<ObjectVersion>& objects_;
  std::unordered_multimap<std::string_view, std::size_t> by_key_;
};

}  // namespace

std::size_t DeleteObjectsReply::errors() const {
  return static_cast<std::size_t>(
      std::count_if(objects.begin(), objects.end(), [](const DeletedObject& object) { return object.error; }));
}

S3Result<DeleteObjectsReply> parse_delete_objects(const HttpReply& reply, const std::vector<ObjectVersion>& requested) {
  pugi::xml_document document;
  const auto root = reply_root(reply, document, "DeleteResult");
  if (!root) return root.error();

  DeleteObjectsReply result;
  result.request_id = request_id_of(reply);
  for (const ObjectVersion& object : requested) {
    S3Error unnamed = unreadable(reply, "the reply does not mention this key");
    unnamed.code = "NotMentioned";
    result.objects.push_back({object.key, object.version_id, std::move(unnamed), false, {}});
  }
  const Requested index(requested);
  for (const pugi::xml_node& entry : root.value().children("Deleted")) {
    index.each(entry, [&](std::size_t i) {
      result.objects[i].error.reset();
      result.objects[i].delete_marker = child_bool(entry, "DeleteMarker").value_or(false);
      result.objects[i].marker_version_id = presentable(child_text(entry, "DeleteMarkerVersionId"));
    });
  }
  // After the successes: where the reply says both of a key, it is not proved to be gone.
  for (const pugi::xml_node& entry : root.value().children("Error")) {
    index.each(entry, [&](std::size_t i) {
      S3Error error = classify_code(child_text(entry, "Code"), child_text(entry, "Message"), reply);
      const bool missing = error.klass == ErrorClass::not_found;
      result.objects[i].error = missing ? std::nullopt : std::optional<S3Error>(std::move(error));
    });
  }
  return result;
}

S3Result<ListPage> parse_list_objects_v2(const HttpReply& reply) {
  pugi::xml_document document;
  const auto root = reply_root(reply, document, "ListBucketResult");
  if (!root) return root.error();

  ListPage page;
  page.request_id = request_id_of(reply);
  const auto truncated = child_bool(root.value(), "IsTruncated");
  if (!truncated) return unreadable(reply, "the listing does not say whether it is complete");
  page.truncated = *truncated;
  if (page.truncated) {
    page.next_token = child_text(root.value(), "NextContinuationToken");
    if (page.next_token.empty()) return unreadable(reply, "the listing goes on, but has no continuation token");
  }

  const KeyReader keys(root.value());
  page.objects.reserve(list_keys_max);
  for (const pugi::xml_node& entry : root.value().children("Contents")) {
    auto key = keys.read(entry);
    const auto size = child_number(entry, "Size");
    if (!key || !size) return unreadable(reply, "an entry of the listing has no readable key or size");
    if (!page.objects.empty() && *key <= page.objects.back().key) page.in_order = false;
    page.objects.push_back({std::move(*key), *size, presentable(child_text(entry, "ETag")),
                            parse_iso8601(child_text(entry, "LastModified"))});
  }
  const auto count = child_number(root.value(), "KeyCount");
  if (count && *count != static_cast<std::int64_t>(page.objects.size()))
    return unreadable(reply, "the listing has another number of keys than it says");
  return page;
}

S3Result<VersionsPage> parse_list_object_versions(const HttpReply& reply) {
  pugi::xml_document document;
  // RGW and AWS name the root differently.
  const char* const names[] = {"ListVersionsResult", "ListVersionResult"};
  auto root = reply_root(reply, document, names[0]);
  if (!root) root = reply_root(reply, document, names[1]);
  if (!root) return root.error();

  VersionsPage page;
  page.request_id = request_id_of(reply);
  const auto truncated = child_bool(root.value(), "IsTruncated");
  if (!truncated) return unreadable(reply, "the listing does not say whether it is complete");
  page.truncated = *truncated;
  const KeyReader keys(root.value());
  for (const pugi::xml_node& entry : root.value().children()) {
    const std::string_view name = entry.name();
    if (name != "Version" && name != "DeleteMarker") continue;
    ListedVersion version;
    auto key = keys.read(entry);
    version.version_id = child_text(entry, "VersionId");
    version.is_marker = name == "DeleteMarker";
    const auto size = child_number(entry, "Size");
    if (!key || version.version_id.empty() || (!version.is_marker && !size))
      return unreadable(reply, "an entry of the listing has no readable key, version or size");
    version.key = std::move(*key);
    version.is_latest = child_bool(entry, "IsLatest").value_or(false);
    version.size = size.value_or(0);
    version.etag = presentable(child_text(entry, "ETag"));
    version.last_modified = parse_iso8601(child_text(entry, "LastModified"));
    if (!page.versions.empty() && version.key < page.versions.back().key) page.in_order = false;
    page.versions.push_back(std::move(version));
  }
  if (page.truncated && page.versions.empty()) return unreadable(reply, "the listing goes on, but this page is empty");
  return page;
}

S3Result<UploadsPage> parse_list_multipart_uploads(const HttpReply& reply) {
  pugi::xml_document document;
  const auto root = reply_root(reply, document, "ListMultipartUploadsResult");
  if (!root) return root.error();

  UploadsPage page;
  const auto truncated = child_bool(root.value(), "IsTruncated");
  if (!truncated) return unreadable(reply, "the listing does not say whether it is complete");
  page.truncated = *truncated;
  const KeyReader keys(root.value());
  for (const pugi::xml_node& entry : root.value().children("Upload")) {
    auto key = keys.read(entry);
    std::string upload_id(child_text(entry, "UploadId"));
    if (!key || upload_id.empty()) return unreadable(reply, "an entry of the listing has no readable key or id");
    page.uploads.push_back({std::move(*key), std::move(upload_id), parse_iso8601(child_text(entry, "Initiated"))});
  }
  if (page.truncated) {
    // Not NextKeyMarker: some stores encode it, some do not, and it is the last entry anyway.
    if (page.uploads.empty()) return unreadable(reply, "the listing goes on, but this page is empty");
    page.next_key_marker = page.uploads.back().key;
    page.next_upload_id_marker = page.uploads.back().upload_id;
  }
  return page;
}

S3Result<PartsPage> parse_list_parts(const HttpReply& reply) {
  pugi::xml_document document;
  const auto root = reply_root(reply, document, "ListPartsResult");
  if (!root) return root.error();

  PartsPage page;
  const auto truncated = child_bool(root.value(), "IsTruncated");
  if (!truncated) return unreadable(reply, "the listing does not say whether it is complete");
  page.truncated = *truncated;
  std::int64_t last = 0;
  for (const pugi::xml_node& entry : root.value().children("Part")) {
    const auto number = child_number(entry, "PartNumber");
    if (!number || *number < 1 || *number > multipart_parts_max)
      return unreadable(reply, "an entry of the listing has no readable part number");
    last = std::max(last, *number);
    const auto came_in = parse_iso8601(child_text(entry, "LastModified"));
    if (!came_in)
      page.all_dated = false;
    else if (!page.youngest || *page.youngest < *came_in)
      page.youngest = came_in;
  }
  if (page.truncated) {
    if (last == 0) return unreadable(reply, "the listing goes on, but this page is empty");
    page.next_part_number = static_cast<int>(last);
  }
  return page;
}

}  // namespace objectlink
