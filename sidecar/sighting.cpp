#include "sighting.hpp"

#include "s3_etag.hpp"

namespace objectlink {

const char* to_string(Sighting sighting) {
  switch (sighting) {
    case Sighting::same: return "same";
    case Sighting::other: return "other";
    case Sighting::absent: return "absent";
  }
  return "other";
}

Sighting judge_sighting(const ProvedContent& proved, const Sight& sight) {
  if (!sight) return Sighting::absent;
  const auto same_if = [](bool same) { return same ? Sighting::same : Sighting::other; };
  if (proved.size && *proved.size != sight->size) return Sighting::other;
  if (proved.sha256 && sight->sha256) return same_if(*proved.sha256 == *sight->sha256);
  if (proved.etag.empty() || same_etag(proved.etag, sight->etag)) return Sighting::same;
  return same_if(proved.sha256 && sight->metadata_sha256 && *proved.sha256 == *sight->metadata_sha256);
}

}  // namespace objectlink
