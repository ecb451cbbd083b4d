// Goal: of the versions under a key only those are deleted that were recorded or carry our digest.
// Method: each case is a key's history and what the registry knows; failure cases are other people's versions.
#include "object_versions.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace objectlink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ListedVersion version(std::string id, std::string etag = "e", std::int64_t size = 4, std::string key = "k") {
  return {.key = std::move(key),
          .version_id = std::move(id),
          .is_marker = false,
          .is_latest = false,
          .size = size,
          .etag = '"' + etag + '"'};
}
ListedVersion marker(std::string id, std::string key = "k") {
  return {
      .key = std::move(key), .version_id = std::move(id), .is_marker = true, .is_latest = false, .size = 0, .etag = {}};
}
std::vector<std::string> ids(const std::vector<ListedVersion>& versions) {
  std::vector<std::string> all;
  for (const ListedVersion& each : versions) all.push_back(each.version_id);
  return all;
}

Work stored(std::string version_id, bool uploaded = true) {
  Work work;
  work.key = "k";
  work.verified = true;
  work.etag = "\"e\"";
  work.size = 4;
  work.version_id = std::move(version_id);
  if (uploaded) work.sha256 = sha256("ours");
  return work;
}

Work waiting(bool chosen_key) {
  Work work;
  work.key = "k";
  Payload& payload = work.payload.emplace();
  payload.size = 4;
  payload.sha256 = sha256("ours");
  payload.md5 = md5("ours");
  payload.chosen_key = chosen_key;
  return work;
}

HeadReply head(const std::string& content, bool with_metadata) {
  HeadReply reply;
  reply.size = std::ssize(content);
  reply.etag = '"' + hex(md5(content)) + '"';
  if (with_metadata) reply.metadata_sha256 = sha256(content);
  return reply;
}

TEST(Versions, TheRecordedOneIsOurs) {
  const auto sorted = sort_versions(stored("v2", false), {version("v3"), version("v2"), version("v1")});
  EXPECT_THAT(ids(sorted.ours), ElementsAre("v2"));
  EXPECT_THAT(ids(sorted.foreign), ElementsAre("v3", "v1"));  // an equal ETag is no identity
  EXPECT_THAT(sorted.doubtful, IsEmpty());
}

TEST(Versions, OfAnUploadOthersOfItsSizeHaveToBeLookedAt) {
  const auto sorted = sort_versions(stored("v2"), {version("v3", "other"), version("v2"), version("v1", "e", 5)});
  EXPECT_THAT(ids(sorted.doubtful), ElementsAre("v3"));
  EXPECT_THAT(ids(sorted.foreign), ElementsAre("v1"));
}

TEST(Versions, LongerKeysAndMarkersAreNotMixedUp) {
  const auto sorted =
      sort_versions(stored("v1"), {marker("m1"), version("v1"), version("v1", "e", 4, "k/"), marker("m2", "kk")});
  EXPECT_THAT(ids(sorted.ours), ElementsAre("v1"));
  EXPECT_THAT(ids(sorted.markers), ElementsAre("m1"));
  EXPECT_THAT(sorted.foreign, IsEmpty());
}

TEST(Versions, AnUnknownVersionIsTheNewestThatLooksLikeIt) {
  const auto sorted = sort_versions(stored("", false), {version("v3", "x"), version("v2"), version("null")});
  EXPECT_THAT(ids(sorted.ours), ElementsAre("v2"));
  EXPECT_THAT(ids(sorted.foreign), ElementsAre("v3", "null"));
}

TEST(Versions, NullIsNoIdentity) {
  EXPECT_THAT(ids(sort_versions(stored("null", false), {version("null")}).ours), ElementsAre("null"));
  for (const auto& replaced : {version("null", "other"), version("null", "e", 5)})
    EXPECT_THAT(sort_versions(stored("null", false), {replaced}).ours, IsEmpty());
}

TEST(Versions, ALinkThatWasNeverProvedMeansWhatIsThereNow) {
  Work link;
  link.key = "k";
  EXPECT_THAT(ids(sort_versions(link, {version("v2"), version("v1")}).ours), ElementsAre("v2"));
  // A marker: nothing is there now.
  EXPECT_THAT(sort_versions(link, {marker("m"), version("v1")}).ours, IsEmpty());
}

TEST(Versions, ContentThatWaitsIsNeverGuessed) {
  const auto sorted = sort_versions(waiting(true), {version("v2"), version("v1", "e", 5)});
  EXPECT_THAT(sorted.ours, IsEmpty());
  EXPECT_THAT(ids(sorted.doubtful), ElementsAre("v2"));
}

TEST(Versions, OnlyOurDigestMakesAVersionOurs) {
  EXPECT_TRUE(is_our_upload(stored("v"), head("ours", true)));
  EXPECT_FALSE(is_our_upload(stored("v"), head("ours", false)));  // somebody's copy of the same bytes
  EXPECT_FALSE(is_our_upload(stored("v"), head("them", true)));
  EXPECT_FALSE(is_our_upload(stored("v", false), head("ours", true)));
  EXPECT_TRUE(is_our_upload(waiting(true), head("ours", true)));
  EXPECT_FALSE(is_our_upload(waiting(true), head("ours", false)));
  EXPECT_TRUE(is_our_upload(waiting(false), head("ours", false)));  // nobody else knows that key
  EXPECT_FALSE(is_our_upload(waiting(false), head("them", true)));
}

TEST(Versions, ADigestThatTheStoreContradictsIsALie) {
  HeadReply reply = head("them", false);
  reply.metadata_sha256 = sha256("ours");
  reply.sha256 = sha256("them");
  EXPECT_FALSE(is_our_upload(stored("v"), reply));
}

}  // namespace
}  // namespace objectlink
