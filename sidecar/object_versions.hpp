// Which of the versions under a key are ours, and which are somebody's history?
// Pure. An upload whose reply was lost is repeated, and then has left more than one version of our content. A version is ours
// if it is the one that was recorded, or if it carries our digest; an equal ETag alone says nothing: somebody may have stored
// the same bytes before.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "s3_reply.hpp"
#include "work.hpp"

namespace objectlink {

inline constexpr std::string_view null_version = "null";

struct SortedVersions {
  std::vector<ListedVersion> ours;
  std::vector<ListedVersion> doubtful;  // other versions that may be ours: only their heads can tell
  std::vector<ListedVersion> foreign;   // somebody else's
  std::vector<ListedVersion> markers;   // delete markers, whoever made them
};

// `versions`: as listed under a prefix, newest first; those of longer keys are left out. What `work` does not know of
// its object is not compared.
SortedVersions sort_versions(const Work& work, const std::vector<ListedVersion>& versions);

// Does the head of a doubtful version show that it is ours?
bool is_our_upload(const Work& work, const HeadReply& head);

}  // namespace objectlink
