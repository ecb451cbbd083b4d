// Goal: sums agree exactly if keys, sizes and ETags do, whatever the order; blocks cover a page with no gap; a range ends where it should.
// Method: pages made up, and each changed in one place.
#include "page_sums.hpp"

#include <gtest/gtest.h>

#include <set>

#include "core/key_digest.hpp"

namespace objectlink {
namespace {

ListedPage page_of(std::size_t count, const std::string& prefix = "k") {
  ListedPage page;
  page.last = true;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(100'000 + i);
    page.keys.push_back({prefix + number, static_cast<std::int64_t>(i), "\"e" + number + "\"", std::nullopt});
  }
  return page;
}

TEST(PageSums, BlocksCoverThePage) {
  for (const std::size_t count : {0u, 1u, 63u, 64u, 65u, 1000u}) {
    const auto blocks = sum_blocks(page_of(count), "", 1);
    ASSERT_FALSE(blocks.empty());
    EXPECT_EQ(blocks.back().end, count);
    std::size_t begin = 0, ours = 0;
    for (const KeyBlock& block : blocks) {
      EXPECT_LE(block.end - begin, block_keys_max);
      EXPECT_TRUE(block.end > begin || count == 0);
      begin = block.end;
      ours += block.ours;
    }
    EXPECT_EQ(ours, count);
  }
}

TEST(PageSums, LeavesOutWhatIsNotOurs) {
  ListedPage page;
  for (const char* key : {".objectlink/owner/x", "a", "docs/", "docs/a", "docs2"})
    page.keys.push_back({key, 1, "e", {}});
  EXPECT_EQ(sum_blocks(page, "", 1).front().ours, 4u);
  const auto below = sum_blocks(page, "docs/", 1).front();
  EXPECT_EQ(below.ours, 1u);
  EXPECT_EQ(below.keys, hash_key(1, "docs/a"));
}

TEST(PageSums, AnyChangeShows) {
  const auto sums = [](const ListedPage& page) {
    const KeyBlock block = sum_blocks(page, "", 42).front();
    return std::pair(block.keys, block.contents);
  };
  const ListedPage page = page_of(20);
  for (std::size_t i = 0; i < page.keys.size(); ++i) {
    ListedPage changed = page;
    changed.keys[i].size += 1;
    EXPECT_EQ(sums(changed).first, sums(page).first);
    EXPECT_NE(sums(changed).second, sums(page).second);
    changed = page;
    changed.keys[i].etag += "x";
    EXPECT_NE(sums(changed).second, sums(page).second);
    changed = page;
    changed.keys[i].key += "x";
    EXPECT_NE(sums(changed).first, sums(page).first);
    EXPECT_NE(sums(changed).second, sums(page).second);
    changed = page;
    std::swap(changed.keys[i].etag, changed.keys[(i + 1) % 20].etag);
    EXPECT_NE(sums(changed).second, sums(page).second);
    changed = page;
    changed.keys.erase(changed.keys.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_NE(sums(changed).first, sums(page).first);
  }
}

TEST(KeyDigest, QuotesAndCaseOfAnEtagMeanNothing) {
  const auto hash = [](std::string_view etag) { return hash_content(7, 8, 9, etag); };
  EXPECT_EQ(hash("\"ABCDEF\""), hash("abcdef"));
  EXPECT_NE(hash("abcdef"), hash("abcdeg"));
  EXPECT_NE(hash(""), hash("0"));
  EXPECT_NE(hash(std::string(64, 'a')), hash(std::string(65, 'a')));
}

TEST(KeyDigest, DependsOnEveryByteAndOnTheSeed) {
  std::set<std::uint64_t> seen;
  std::size_t count = 0;
  for (const std::uint64_t seed : {0ull, 1ull, ~0ull}) {
    for (std::size_t size = 0; size < 40; ++size) {
      for (std::size_t at = 0; at <= size; ++at) {
        std::string key(size, 'a');
        if (at < size) key[at] = 'b';
        seen.insert(hash_key(seed, key));
        ++count;
      }
    }
  }
  EXPECT_EQ(seen.size(), count);
}

TEST(CutPage, EndsWhereTheRangeEnds) {
  ListedPage page = page_of(10);
  page.last = false;
  page.up_to = page.keys.back().key;
  ListedPage cut = page;
  cut_page(cut, std::nullopt);
  EXPECT_EQ(cut.keys.size(), 10u);
  EXPECT_FALSE(cut.last);
  cut_page(cut, "k2");
  EXPECT_EQ(cut.keys.size(), 10u);
  EXPECT_FALSE(cut.last);
  cut_page(cut, page.up_to);  // nothing of the range lies behind
  EXPECT_EQ(cut.keys.size(), 10u);
  EXPECT_TRUE(cut.last);
  cut = page;
  cut_page(cut, page.keys[3].key);
  EXPECT_EQ(cut.keys.size(), 4u);
  EXPECT_TRUE(cut.last);
  cut = page;
  cut_page(cut, "a");
  EXPECT_TRUE(cut.keys.empty());
  EXPECT_TRUE(cut.last);
}

}  // namespace
}  // namespace objectlink
