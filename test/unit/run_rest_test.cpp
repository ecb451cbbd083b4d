// Goal: a run works all the time while it is alone, and its share beside others, however it is cut into pieces.
// Method: time moved by hand.
#include "run_rest.hpp"

#include <gtest/gtest.h>

#include <random>

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
      rest_.looked(share);
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

TEST_F(RunRestTest, WhoComesSlowsItWithinHalfASecond) {
  time_for(100, 20ms, 1);
  RunRest::Duration worked{};
  const RunRest::Time came = now_;
  while (now_ < came + 500ms) {
    work(20ms, 0.1);
    worked += 20ms;
  }
  EXPECT_LE(worked, 120ms);
  time_for(4, 20ms, 0.1);
  EXPECT_EQ(time_for(10, 20ms, 0.1), 2s) << "its share, and no more";
}

TEST_F(RunRestTest, WhoIsGoneIsForgottenSoon) {
  time_for(100, 20ms, 0.1);
  const RunRest::Time left = now_;
  EXPECT_EQ(time_for(5, 20ms, 1), 1s) << "a gap of a few looks may be one between two statements";
  while (time_for(1, 20ms, 1) > 22ms) ASSERT_LE(now_, left + 5s);
  time_for(200, 20ms, 1);
  EXPECT_EQ(time_for(100, 20ms, 1), 2s);
}

// What a run would take of its time, had it as much work: 100 s of it, its looks falling on a rhythm that somebody is at work in.
double share_beside(RunRest& rest, RunRest::Duration every, RunRest::Duration busy) {
  std::mt19937 rng(7);
  std::uniform_int_distribution<int> piece_us(1000, 8000);
  RunRest::Duration worked{};
  RunRest::Time now = RunRest::Time{} + 1h;
  const RunRest::Time begun = now;
  while (worked < 100s) {
    const std::chrono::microseconds piece{piece_us(rng)};
    now += piece;
    worked += piece;
    rest.worked(piece);
    if (rest.wants_look()) rest.looked(now.time_since_epoch() % every < busy ? 0.1 : 1);
    now += rest.rest(now);
  }
  return std::chrono::duration<double>(worked) / std::chrono::duration<double>(now - begun);
}

TEST_F(RunRestTest, ATinyStatementNowAndThenCostsItLittle) {
  RunRest polled, used;
  EXPECT_NEAR(share_beside(polled, 50ms, 1ms), 0.73, 0.05) << "a fiftieth of the looks see it";
  EXPECT_NEAR(share_beside(used, 50ms, 10ms), 0.22, 0.05);
}

TEST_F(RunRestTest, AClientBetweenTwoStatementsIsAtWork) {
  RunRest rest;
  EXPECT_NEAR(share_beside(rest, 5ms, 4ms), 0.1, 0.01);
}

TEST_F(RunRestTest, TheFirstLookIsNotAveragedWithNone) {
  EXPECT_EQ(time_for(1, 20ms, 0.1), 200ms);
  EXPECT_LT(time_for(10, 20ms, 1), 1200ms) << "nor does it weigh more than the others";
}

TEST_F(RunRestTest, NoRestIsLongerThanTheLimit) { EXPECT_EQ(time_for(1, 5s, 0.01), 5s + RunRest::rest_max); }

}  // namespace
}  // namespace objectlink
