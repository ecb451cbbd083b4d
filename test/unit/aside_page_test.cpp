// Goal: of uploads every one is told, of versions those that are not current and markers that hide nothing, also where the versions of a key are spread over
// pages; a page that is not what it should be tells nothing.
// Method: replies written down, well and broken.
#include "aside_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "s3_reply_builder.hpp"

namespace objectlink {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

HttpReply replied_with(const std::string& body, const std::string& date = "Thu, 01 Jan 2026 00:01:00 GMT") {
  HttpReply reply;
  reply.outcome = HttpReply::Outcome::replied;
  reply.method = "GET";
  reply.status = 200;
  if (!date.empty()) reply.headers.emplace_back("date", date);
  reply.body = body;
  return reply;
}

std::string upload(const std::string& key, const std::string& id,
                   const std::string& initiated = "2026-01-01T00:00:00.500Z") {
  return "<Upload><Key>" + key + "</Key><UploadId>" + id + "</UploadId><Initiated>" + initiated +
         "</Initiated></Upload>";
}

HttpReply uploads(const std::string& entries, bool truncated = false,
                  const std::string& date = "Thu, 01 Jan 2026 00:01:00 GMT") {
  return replied_with("<ListMultipartUploadsResult><IsTruncated>" + std::string(truncated ? "true" : "false") +
                          "</IsTruncated>" + entries + "</ListMultipartUploadsResult>",
                      date);
}

std::string version(const std::string& key, const std::string& id, bool latest, bool marker = false) {
  const std::string name = marker ? "DeleteMarker" : "Version";
  return "<" + name + "><Key>" + key + "</Key><VersionId>" + id + "</VersionId><IsLatest>" +
         (latest ? "true" : "false") + "</IsLatest><LastModified>2026-01-01T00:00:00.500Z</LastModified>" +
         (marker ? "" : "<ETag>\"e\"</ETag><Size>7</Size>") + "</" + name + ">";
}

HttpReply versions(const std::string& entries, bool truncated = false) {
  return replied_with("<ListVersionsResult><IsTruncated>" + std::string(truncated ? "true" : "false") +
                      "</IsTruncated>" + entries + "</ListVersionsResult>");
}

std::vector<std::string> items(const S3Result<AsidePage>& page) {
  std::vector<std::string> all;
  if (!page.ok()) return {page.error().code};
  for (const AsideEntry& entry : page->entries) all.push_back(entry.key + " " + entry.item);
  return all;
}

TEST(UploadsOfABucket, AreToldWithTheirAge) {
  const auto page = read_uploads_page(uploads(upload("a", "1") + upload("a", "2"), true));
  EXPECT_THAT(items(page), ElementsAre("a 1", "a 2"));
  EXPECT_EQ(page->entries[0].age, milliseconds(58'500));  // by the store's clock, less the second in which it tells it
  EXPECT_EQ(page->entries[0].initiated_ms, 1'767'225'600'500);
  EXPECT_FALSE(page->last);
  EXPECT_EQ(page->next_key, "a");
  EXPECT_EQ(page->next_item, "2");
  EXPECT_TRUE(read_uploads_page(uploads(""))->last);
}

TEST(UploadsOfABucket, AgesAreUnknownRatherThanWrong) {
  EXPECT_EQ(read_uploads_page(uploads(upload("a", "1"), false, ""))->entries[0].age, std::nullopt);
  const auto page = read_uploads_page(uploads(upload("a", "1", "yesterday")));
  EXPECT_EQ(page->entries[0].age, std::nullopt);
  EXPECT_EQ(page->entries[0].initiated_ms, std::nullopt);
}

TEST(UploadsOfABucket, LeavesOutWhatTheDatabaseCannotHold) {
  const std::string foreign = upload("a\xff", "1") + upload(std::string(1025, 'k'), "1");
  EXPECT_THAT(items(read_uploads_page(uploads(foreign + upload("b", "1")))), ElementsAre("b 1"));
  EXPECT_THAT(items(read_uploads_page(uploads(upload("b", "1") + foreign, true))), ElementsAre("ListingForeign"));
}

TEST(VersionsOfABucket, CurrentOnesAreNoMatter) {
  EXPECT_THAT(items(VersionsReader().read(versions(version("a", "1", true) + version("b", "1", true)))), IsEmpty());
}

TEST(VersionsOfABucket, TellsWhatIsNotCurrent) {
  const auto page = VersionsReader().read(
      versions(version("a", "3", true) + version("a", "2", false, true) + version("a", "1", false)));
  EXPECT_THAT(items(page), ElementsAre("a 2", "a 1"));
  EXPECT_TRUE(page->entries[0].is_marker);
  EXPECT_FALSE(page->entries[1].is_marker);
  EXPECT_EQ(page->entries[1].size, 7);
  EXPECT_EQ(page->entries[1].etag, "\"e\"");
  EXPECT_EQ(page->entries[1].age, milliseconds(58'500));
}

TEST(VersionsOfABucket, AMarkerThatHidesSomethingIsNone) {
  EXPECT_THAT(items(VersionsReader().read(versions(version("a", "2", true, true) + version("a", "1", false)))),
              ElementsAre("a 1"));
  EXPECT_THAT(items(VersionsReader().read(versions(version("a", "3", true, true) + version("a", "2", false, true) +
                                                   version("a", "1", false) + version("b", "1", true, true)))),
              ElementsAre("a 2", "a 1", "b 1"));
  EXPECT_THAT(items(VersionsReader().read(
                  versions(version("a", "2", true, true) + version("a", "1", false, true) + version("b", "1", true)))),
              ElementsAre("a 1", "a 2"));
}

TEST(VersionsOfABucket, AKeyGoesOnWithTheNextPage) {
  VersionsReader hides;
  EXPECT_THAT(items(hides.read(versions(version("a", "2", true, true), true))), IsEmpty());
  EXPECT_THAT(items(hides.read(versions(version("a", "1", false)))), ElementsAre("a 1"));
  VersionsReader alone;
  EXPECT_THAT(items(alone.read(versions(version("a", "2", true, true), true))), IsEmpty());
  EXPECT_THAT(items(alone.read(versions(version("b", "1", true)))), ElementsAre("a 2"));
  VersionsReader last;
  EXPECT_THAT(items(last.read(versions(version("a", "2", true, true), true))), IsEmpty());
  EXPECT_THAT(items(last.read(versions(""))), ElementsAre("a 2"));
}

TEST(VersionsOfABucket, OutOfOrderTheyTellNothing) {
  EXPECT_THAT(items(VersionsReader().read(versions(version("b", "1", false) + version("a", "1", false)))),
              ElementsAre("ListingOutOfOrder"));
  VersionsReader reader;
  EXPECT_TRUE(reader.read(versions(version("b", "1", false), true)).ok());
  EXPECT_THAT(items(reader.read(versions(version("a", "1", false)))), ElementsAre("ListingOutOfOrder"));
}

TEST(AsidePages, WhatIsBrokenTellsNothing) {
  for (const std::string body : {"", "<x/>", "<ListVersionsResult/>", "<ListMultipartUploadsResult/>"}) {
    EXPECT_FALSE(read_uploads_page(replied_with(body)).ok()) << body;
    EXPECT_FALSE(VersionsReader().read(replied_with(body)).ok()) << body;
  }
}

}  // namespace
}  // namespace objectlink
