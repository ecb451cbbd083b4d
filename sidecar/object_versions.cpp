#include "object_versions.hpp"

#include <utility>

#include "s3_etag.hpp"
#include "upload_proof.hpp"

namespace objectlink {
namespace {

bool looks_recorded(const Work& work, const ListedVersion& version) {
  const bool same_bytes = same_etag(work.etag, version.etag) && (!work.size || *work.size == version.size);
  if (work.version_id.empty()) return !work.etag.empty() && same_bytes;
  if (work.version_id != version.version_id) return false;
  // "null" is no identity: whoever stores while versioning is suspended takes the place of what has it.
  return version.version_id != null_version || work.etag.empty() || same_bytes;
}

bool is_bare_link(const Work& work) {
  return !work.payload && !work.sha256 && work.etag.empty() && work.version_id.empty();
}

// May have been uploaded by us: in a try whose reply was lost, perhaps.
bool may_be_ours(const Work& work, const ListedVersion& version) {
  if (work.payload) return version.size == work.payload->size;
  return work.sha256 && (!work.size || *work.size == version.size);
}

}  // namespace

SortedVersions sort_versions(const Work& work, const std::vector<ListedVersion>& versions) {
  SortedVersions sorted;
  bool recorded_seen = false;
  bool first = true;
  for (const ListedVersion& version : versions) {
    if (version.key != work.key) continue;
    const bool newest = std::exchange(first, false);
    if (version.is_marker) {
      sorted.markers.push_back(version);
      continue;
    }
    // Of those that look alike only one was recorded. A link that never was proved means whatever is there now: nothing, if
    // a delete marker is the newest.
    const bool recorded = !recorded_seen && (looks_recorded(work, version) || (newest && is_bare_link(work)));
    recorded_seen = recorded_seen || recorded;
    if (recorded)
      sorted.ours.push_back(version);
    else if (may_be_ours(work, version))
      sorted.doubtful.push_back(version);
    else
      sorted.foreign.push_back(version);
  }
  return sorted;
}

bool is_our_upload(const Work& work, const HeadReply& head) {
  // A fresh key is of our making, so only we have ever stored that content under it.
  if (work.payload && !work.payload->chosen_key) return compare(head, *work.payload, {}) == Likeness::same;
  const std::optional<Sha256> digest = work.payload ? work.payload->sha256 : work.sha256;
  return digest && head.metadata_sha256 && *head.metadata_sha256 == *digest &&
         (!head.sha256 || *head.sha256 == *digest);
}

}  // namespace objectlink
