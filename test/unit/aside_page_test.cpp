// Goal: of uploads every one is told, of versions those that are not current and markers that hide nothing, also where the versions of a key are spread over
// pages; a page that is not what it should be tells nothing.
// Method: replies written down, well and broken.
#include "aside_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

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
  EXPECT_THAT(items(VersionsReader("").read(versions(version("a", "1", true) + version("b", "1", true)))), IsEmpty());
}

TEST(VersionsOfABucket, TellsWhatIsNotCurrent) {
  const auto page = VersionsReader("").read(
      versions(version("a", "3", true) + version("a", "2", false, true) + version("a", "1", false)));
  EXPECT_THAT(items(page), ElementsAre("a 2", "a 1"));
  EXPECT_TRUE(page->entries[0].is_marker);
  EXPECT_FALSE(page->entries[1].is_marker);
  EXPECT_EQ(page->entries[1].size, 7);
  EXPECT_EQ(page->entries[1].etag, "\"e\"");
  EXPECT_EQ(page->entries[1].age, milliseconds(58'500));
}

TEST(VersionsOfABucket, AMarkerThatHidesSomethingIsNone) {
  EXPECT_THAT(items(VersionsReader("").read(versions(version("a", "2", true, true) + version("a", "1", false)))),
              ElementsAre("a 1"));
  EXPECT_THAT(items(VersionsReader("").read(versions(version("a", "3", true, true) + version("a", "2", false, true) +
                                                     version("a", "1", false) + version("b", "1", true, true)))),
              ElementsAre("a 2", "a 1", "b 1"));
  EXPECT_THAT(items(VersionsReader("").read(
                  versions(version("a", "2", true, true) + version("a", "1", false, true) + version("b", "1", true)))),
              ElementsAre("a 1", "a 2"));
}

TEST(VersionsOfABucket, AKeyGoesOnWithTheNextPage) {
  VersionsReader hides("");
  EXPECT_THAT(items(hides.read(versions(version("a", "2", true, true), true))), IsEmpty());
  EXPECT_THAT(items(hides.read(versions(version("a", "1", false)))), ElementsAre("a 1"));
  VersionsReader alone("");
  EXPECT_THAT(items(alone.read(versions(version("a", "2", true, true), true))), IsEmpty());
  EXPECT_THAT(items(alone.read(versions(version("b", "1", true)))), ElementsAre("a 2"));
  VersionsReader last("");
  EXPECT_THAT(items(last.read(versions(version("a", "2", true, true), true))), IsEmpty());
  EXPECT_THAT(items(last.read(versions(""))), ElementsAre("a 2"));
}

TEST(VersionsOfABucket, OutOfOrderTheyTellNothing) {
  EXPECT_THAT(items(VersionsReader("").read(versions(version("b", "1", false) + version("a", "1", false)))),
              ElementsAre("ListingOutOfOrder"));
  VersionsReader reader("");
  EXPECT_TRUE(reader.read(versions(version("b", "1", false), true)).ok());
  EXPECT_THAT(items(reader.read(versions(version("a", "1", false)))), ElementsAre("ListingOutOfOrder"));
}

TEST(VersionsOfABucket, TheListingIsBegunAnewBetweenTwoKeysOnly) {
  VersionsReader reader("");
  const auto first =
      reader.read(versions(version("a", "1", true) + version("b", "1", true) + version("c", "4", true), true));
  EXPECT_EQ(first->resume_key, "b");
  EXPECT_EQ(first->next_key, "c");
  EXPECT_EQ(first->next_item, "4");
  EXPECT_EQ(reader.read(versions(version("c", "3", false) + version("c", "2", false), true))->resume_key, "");
  EXPECT_EQ(
      reader.read(versions(version("c", "1", false) + version("d\xff", "1", true) + version("e", "1", true), true))
          ->resume_key,
      "c")
      << "not a key that the database cannot hold";
}

TEST(VersionsOfABucket, WhatBelongsToTheRangeBeforeIsLeftOut) {
  VersionsReader reader("b");
  EXPECT_THAT(items(reader.read(versions(version("b", "3", true, true), true))), IsEmpty());
  const auto page =
      reader.read(versions(version("b", "2", false) + version("c", "2", true) + version("c", "1", false), true));
  EXPECT_THAT(items(page), ElementsAre("c 1"));
  EXPECT_EQ(page->resume_key, "");
  EXPECT_THAT(items(VersionsReader("b").read(versions(version("a", "1", true)))), ElementsAre("ListingOutOfOrder"));
}

TEST(AsidePages, AreCutWhereTheRangeEnds) {
  AsidePage page;
  for (const char* key : {"a", "b", "c"}) page.entries.emplace_back().key = key;
  page.next_key = "c";
  AsidePage other = page;
  cut_page(page, std::nullopt);
  EXPECT_EQ(page.entries.size(), 3);
  cut_page(page, "c");
  EXPECT_EQ(page.entries.size(), 3);
  EXPECT_FALSE(page.last) << "the last key may have more versions";
  cut_page(page, "b");
  EXPECT_EQ(page.entries.size(), 2);
  EXPECT_TRUE(page.last);
  other.last = true;
  other.next_key.clear();
  cut_page(other, "d");
  EXPECT_TRUE(other.last);
}

// A bucket, and a store that lists it in pages, beginning with the versions of the marked key, as RGW does, or behind them.
class VersionsByRanges : public testing::TestWithParam<bool> {
 protected:
  struct Entry {
    std::string key, id;
    bool latest, marker;
  };
  int any(int limit) { return std::uniform_int_distribution<int>(0, limit - 1)(rng_); }

  void fill() {
    entries_.clear();
    for (int key = 0; key < 12; ++key) {
      const int count = any(4) == 0 ? any(12) : 1 + any(2);
      for (int id = count; id > 0; --id)
        entries_.push_back(
            {"k" + std::string(1, static_cast<char>('a' + key)), std::to_string(id), id == count, any(3) == 0});
    }
  }
  HttpReply list(const std::string& key, const std::string& id, std::size_t size) const {
    std::size_t at = 0;
    for (; at < entries_.size(); ++at) {
      const Entry& entry = entries_[at];
      if (entry.key > key || (entry.key == key && id.empty() && GetParam())) break;
      if (entry.key == key && entry.id == id) {
        ++at;
        break;
      }
    }
    std::string body;
    const std::size_t end = std::min(entries_.size(), at + size);
    for (; at < end; ++at) body += version(entries_[at].key, entries_[at].id, entries_[at].latest, entries_[at].marker);
    return versions(body, end < entries_.size());
  }
  // One range, by daemons that vanish now and then; its end may come nearer meanwhile, and is returned.
  std::optional<std::string> list_range(const std::string& begin, std::optional<std::string> up_to,
                                        std::set<std::string>& found) {
    std::string after = begin, key = begin, id;
    VersionsReader reader(after);
    while (true) {
      auto page = reader.read(list(key, id, 1 + any(5)));
      if (!page.ok()) {
        ADD_FAILURE() << page.error().describe();
        return std::nullopt;
      }
      const std::string nearer = "k" + std::string(1, static_cast<char>('a' + any(12)));
      if (any(8) == 0 && nearer > key && nearer > after && (!up_to || nearer < *up_to)) up_to = nearer;
      cut_page(page.value(), up_to);
      for (const auto& item : items(page)) {
        found.insert(item);
        ranges_.insert(item + " " + begin);
      }
      if (page->last) return up_to;
      if (!page->resume_key.empty()) after = page->resume_key;
      key = page->next_key;
      id = page->next_item;
      if (any(6) == 0) {
        reader = VersionsReader(after);
        key = after;
        id.clear();
      }
    }
  }

  std::mt19937 rng_{11};
  std::vector<Entry> entries_;
  std::set<std::string> ranges_;  // which of them has told of what
};

TEST_P(VersionsByRanges, TellTheSameAsOnePage) {
  for (int round = 0; round < 500; ++round) {
    fill();
    const auto all = items(VersionsReader("").read(list("", "", 1000)));
    std::set<std::string> found;
    ranges_.clear();
    std::string begin;
    while (true) {
      const auto end = list_range(begin, std::nullopt, found);
      if (!end) break;
      begin = *end;
    }
    ASSERT_EQ(found, std::set(all.begin(), all.end())) << "round " << round;
    ASSERT_EQ(ranges_.size(), found.size()) << "each by one range";
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, VersionsByRanges, testing::Bool());

TEST(AsidePages, WhatIsBrokenTellsNothing) {
  for (const std::string body : {"", "<x/>", "<ListVersionsResult/>", "<ListMultipartUploadsResult/>"}) {
    EXPECT_FALSE(read_uploads_page(replied_with(body)).ok()) << body;
    EXPECT_FALSE(VersionsReader("").read(replied_with(body)).ok()) << body;
  }
}

}  // namespace
}  // namespace objectlink
