// Goal: a page that is not what was asked for tells nothing; one that is tells every key, its age never too high, and how far it reaches.
// Method: replies written down, well and broken.
#include "listed_page.hpp"

#include <gtest/gtest.h>

#include "s3_reply_builder.hpp"

namespace objectlink {
namespace {

using std::chrono::milliseconds;

std::string entry(const std::string& key, const std::string& modified = "2026-01-01T00:00:00.500Z") {
  return "<Contents><Key>" + key + "</Key><LastModified>" + modified +
         "</LastModified><ETag>\"e\"</ETag><Size>7</Size></Contents>";
}

HttpReply listing(const std::string& entries, bool truncated = false,
                  const std::string& date = "Thu, 01 Jan 2026 00:01:00 GMT") {
  HttpReply reply;
  reply.outcome = HttpReply::Outcome::replied;
  reply.method = "GET";
  reply.status = 200;
  if (!date.empty()) reply.headers.emplace_back("date", date);
  reply.body = "<ListBucketResult><IsTruncated>" + std::string(truncated ? "true" : "false") + "</IsTruncated>" +
               (truncated ? "<NextContinuationToken>t</NextContinuationToken>" : "") +
               "<EncodingType>url</EncodingType>" + entries + "</ListBucketResult>";
  return reply;
}

std::string flaw(const HttpReply& reply, const char* prefix = "", const char* after = "") {
  const auto page = read_listed_page(reply, prefix, after);
  return page.ok() ? "" : page.error().code;
}

TEST(ListedPage, TellsKeysAgesAndHowFarItReaches) {
  const auto page = read_listed_page(listing(entry("a") + entry("b%20c"), true), "", "");
  ASSERT_TRUE(page.ok()) << page.error().describe();
  ASSERT_EQ(page->keys.size(), 2u);
  EXPECT_EQ(page->keys[1].key, "b c");
  EXPECT_EQ(page->keys[1].size, 7);
  EXPECT_EQ(page->keys[0].age, milliseconds(58'500));  // by the store's clock, less the second in which it tells it
  EXPECT_FALSE(page->last);
  EXPECT_EQ(page->up_to, "b c");
}

TEST(ListedPage, TheLastOneReachesToTheEnd) {
  for (const auto& reply : {listing(""), listing(entry("a"))}) {
    const auto page = read_listed_page(reply, "", "");
    ASSERT_TRUE(page.ok());
    EXPECT_TRUE(page->last);
    EXPECT_EQ(page->up_to, "");
  }
}

TEST(ListedPage, AgesAreUnknownRatherThanWrong) {
  EXPECT_EQ(read_listed_page(listing(entry("a"), false, ""), "", "")->keys[0].age, std::nullopt);
  EXPECT_EQ(read_listed_page(listing(entry("a", "yesterday")), "", "")->keys[0].age, std::nullopt);
  EXPECT_EQ(read_listed_page(listing(entry("a", "2026-01-01T00:02:00Z")), "", "")->keys[0].age, milliseconds(0));
}

TEST(ListedPage, IsNotBelievedOutOfOrder) {
  EXPECT_EQ(flaw(listing(entry("b") + entry("a"))), "ListingOutOfOrder");
  EXPECT_EQ(flaw(listing(entry("a") + entry("a"))), "ListingOutOfOrder");
  EXPECT_EQ(flaw(listing(entry("a")), "", "a"), "ListingOutOfOrder");
  EXPECT_EQ(flaw(listing(entry("a")), "", "b"), "ListingOutOfOrder");
  // UTF-16 puts U+1F600 before U+FFFD, UTF-8 behind it.
  EXPECT_EQ(flaw(listing(entry("%F0%9F%98%80") + entry("%EF%BF%BD"))), "ListingOutOfOrder");
}

TEST(ListedPage, IsNotBelievedWithKeysOfAnotherPrefix) {
  EXPECT_EQ(flaw(listing(entry("images/1") + entry("images2/1")), "images/"), "ListingForeign");
  EXPECT_EQ(flaw(listing(entry("images/1")), "images/"), "");
}

TEST(ListedPage, IsNotBelievedWhenItGoesOnWithNothing) {
  EXPECT_EQ(flaw(listing("", true)), "ListingStalled");
  EXPECT_NE(flaw(listing("<Contents><Key>a</Key></Contents>")), "");
  HttpReply cut = listing(entry("a"));
  cut.body.resize(cut.body.size() - 5);
  EXPECT_NE(flaw(cut), "");
}

TEST(ListedPage, CountsKeysThatCannotBeOurs) {
  const auto page = read_listed_page(listing(entry("a") + entry("b%FF") + entry(std::string(1025, 'c')), true), "", "");
  ASSERT_TRUE(page.ok()) << page.error().describe();
  EXPECT_EQ(page->keys.size(), 1u);
  EXPECT_EQ(page->foreign_keys, 2u);
  EXPECT_EQ(page->up_to, "a") << "what is behind it is listed again";
  EXPECT_EQ(flaw(listing(entry("b%FF"), true)), "ListingForeign");
}

}  // namespace
}  // namespace objectlink
