// Goal: never more content in memory than there is room for, but always one upload; what has no content any more is told, and holds up nothing.
// Method: a scripted store, content of known sizes, and the count of free bytes.
#include "pending_uploads.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "scripted_errand.hpp"

namespace objectlink {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class PendingUploadsTest : public testing::Test {
 protected:
  static constexpr UploadLimits limits{.multipart_threshold_bytes = 1000, .part_bytes = 80};

  void add(const std::string& key, std::int64_t size, bool there = true) {
    if (there) errand_.content[key] = std::string(static_cast<std::size_t>(size), 'x');
    Work work;
    work.key = key;
    work.state = "pending";
    work.payload.emplace().size = size;
    uploads_->add(std::move(work));
  }

  // Keys of the requests sent since the last time; each of them is refused.
  std::vector<std::string> sent() {
    std::vector<std::string> keys;
    for (const std::string& line : errand_.transcript()) {
      keys.push_back(line.substr(line.rfind('/') + 1));
      errand_.answer(replied(500, error_xml("InternalError")));
    }
    errand_.run();
    errand_.sent.clear();
    return keys;
  }

  ScriptedErrand errand_;
  std::int64_t free_ = 100;
  std::optional<PendingUploads> uploads_{std::in_place, errand_, free_};
};

TEST_F(PendingUploadsTest, WhatDoesNotFitWaitsForItsTurn) {
  add("a", 60);
  add("b", 50);
  add("c", 10);
  EXPECT_TRUE(uploads_->begin(limits).any);
  EXPECT_THAT(sent(), ElementsAre("a"));
  EXPECT_EQ(free_, 40);
  EXPECT_FALSE(uploads_->begin(limits).any);  // c would fit, and does not overtake
  uploads_->ended("nothing of ours");
  uploads_->ended("a");
  EXPECT_EQ(free_, 100);
  EXPECT_TRUE(uploads_->begin(limits).any);
  EXPECT_THAT(sent(), ElementsAre("b", "c"));
  EXPECT_EQ(free_, 40);
}

TEST_F(PendingUploadsTest, OneAlwaysFits) {
  add("huge", 500);
  add("small", 1);
  EXPECT_TRUE(uploads_->begin(limits).any);
  EXPECT_THAT(sent(), ElementsAre("huge"));
  EXPECT_EQ(free_, -400);
  uploads_->ended("huge");
  EXPECT_EQ(free_, 100);
}

TEST_F(PendingUploadsTest, OfAnUploadInPartsAPartIsHeld) {
  add("parts", 5000);
  EXPECT_TRUE(uploads_->begin(limits).any);
  EXPECT_EQ(errand_.transcript().front().substr(0, 4), "POST");
  EXPECT_EQ(free_, 20);
  sent();
}

TEST_F(PendingUploadsTest, WhatHasNoContentAnyMoreIsTold) {
  add("gone", 60, false);
  add("there", 60);
  const auto begun = uploads_->begin(limits);
  EXPECT_TRUE(begun.any);
  EXPECT_THAT(begun.gone, ElementsAre("gone"));
  EXPECT_THAT(sent(), ElementsAre("there"));
}

TEST_F(PendingUploadsTest, WhatIsDroppedIsNotBegun) {
  add("a", 60);
  add("b", 60);
  uploads_->begin(limits);
  EXPECT_THAT(uploads_->drop(), ElementsAre("b"));
  uploads_->ended("a");
  EXPECT_FALSE(uploads_->begin(limits).any);
  EXPECT_THAT(uploads_->drop(), IsEmpty());
  sent();
}

TEST_F(PendingUploadsTest, WhatIsHeldIsGivenBackAtTheEnd) {
  add("a", 60);
  uploads_->begin(limits);
  sent();
  uploads_.reset();
  EXPECT_EQ(free_, 100);
}

}  // namespace
}  // namespace objectlink
