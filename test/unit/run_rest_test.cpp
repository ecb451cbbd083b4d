// Goal: a run works all the time while it is alone, and its share beside others, however it is cut into pieces.
// Method: time moved by hand.
#include "run_rest.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

using namespace std::chrono_literals;

class RunRestTest : public testing::Test {
 protected:
  // Works, looks if it is time to, and rests; the time that passes is the work's and the rest's.
  void work(RunRest::Duration time, double share) {
    now_ += time;
    rest_.worked(time);
    if (rest_.wants_look()) {
      ++looks_;
      rest_.looked(now_, share);
    }
    const RunRest::Duration rest = rest_.rest(now_);
    EXPECT_EQ(rest_.is_resting(now_), rest > 0s);
    now_ += rest;
    EXPECT_FALSE(rest_.is_resting(now_));
  }
  RunRest::Duration time_for(int pieces, RunRest::Duration piece, double share) {
    const RunRest::Time begun = now_;
    for (int i = 0; i < pieces; ++i) work(piece, share);
    return now_ - begun;
  }

  RunRest::Time now_ = RunRest::Time{} + 1h;
  RunRest rest_;
  int looks_ = 0;
};

TEST_F(RunRestTest, AloneItNeverRests) {
  EXPECT_EQ(time_for(100, 8ms, 1), 800ms);
  EXPECT_EQ(looks_, 34) << "the first at once, then one in 20 ms of work";
}

TEST_F(RunRestTest, BesideOthersItWorksItsShare) {
  EXPECT_EQ(time_for(100, 8ms, 0.1), 8s);
  EXPECT_EQ(time_for(20, 1ms, 0.25), 20 * 10ms - 6ms) << "as it was seen last, up to the next look";
  EXPECT_EQ(time_for(100, 1ms, 0.25), 400ms);
}

TEST_F(RunRestTest, OneLookThatSeesNobodyIsNotBelievedAtOnce) {
  work(20ms, 0.5);
  const RunRest::Time seen = now_ - 20ms;
  EXPECT_EQ(time_for(1, 20ms, 1), 40ms);
  while (now_ + 20ms < seen + RunRest::believed) EXPECT_EQ(time_for(1, 20ms, 1), 40ms);
  EXPECT_EQ(time_for(10, 20ms, 1), 200ms) << "they are gone";
}

TEST_F(RunRestTest, NoRestIsLongerThanTheLimit) { EXPECT_EQ(time_for(1, 5s, 0.01), 5s + RunRest::rest_max); }

}  // namespace
}  // namespace objectlink
