// Goal: a store that throttles gets fewer requests at once, never none, and all of them again when it has recovered.
// Method: time moved by hand.
#include "pace.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

using namespace std::chrono_literals;

TEST(Pace, BeginsAtItsMaximum) {
  EXPECT_EQ(Pace(32).limit(), 32u);
  EXPECT_EQ(Pace(0).limit(), 1u);
}

TEST(Pace, IsHalvedOnceASecondAndNeverBelowOne) {
  Pace pace(32);
  Pace::Time now{};
  for (const unsigned expected : {16u, 8u, 4u, 2u, 1u, 1u}) {
    for (int i = 0; i < 30; ++i) pace.throttled(now);
    EXPECT_EQ(pace.limit(), expected);
    now += 1s;
  }
}

TEST(Pace, RisesByOneForEachWindowOfSuccesses) {
  Pace pace(4);
  pace.throttled(Pace::Time{});
  EXPECT_EQ(pace.limit(), 2u);
  pace.succeeded();
  EXPECT_EQ(pace.limit(), 2u);
  for (int i = 0; i < 2; ++i) pace.succeeded();
  EXPECT_EQ(pace.limit(), 3u);
  for (int i = 0; i < 100; ++i) pace.succeeded();
  EXPECT_EQ(pace.limit(), 4u);
}

TEST(Pace, KeepsWhatItHasLearnedWhenTheOptionChanges) {
  Pace pace(32);
  pace.set_max(16);
  EXPECT_EQ(pace.limit(), 16u);
  pace.set_max(64);
  EXPECT_EQ(pace.limit(), 64u);
  pace.throttled(Pace::Time{});
  pace.set_max(40);
  EXPECT_EQ(pace.limit(), 32u);
  pace.set_max(8);
  EXPECT_EQ(pace.limit(), 8u);
}

}  // namespace
}  // namespace objectlink
