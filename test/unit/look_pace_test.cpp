// Goal: rare work is looked for when it is said to wait, and now and then by a busy store; never again and again.
// Method: time moved by hand.
#include "look_pace.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

using namespace std::chrono_literals;

class LookPaceTest : public testing::Test {
 protected:
  LookPace::Time now_ = LookPace::Time{} + 1h;
  LookPace pace_;
};

TEST_F(LookPaceTest, LooksAtOnceAndThenWhenToldOnly) {
  EXPECT_TRUE(pace_.is_due(now_));
  pace_.looked(now_);
  EXPECT_FALSE(pace_.is_due(now_ + 24h));
  EXPECT_FALSE(pace_.next());
  EXPECT_FALSE(pace_.look_now(now_ + LookPace::interval - 1ms)) << "it has just looked";
  EXPECT_TRUE(pace_.look_now(now_ + LookPace::interval));
  EXPECT_TRUE(pace_.is_due(now_ + LookPace::interval));
}

TEST_F(LookPaceTest, ABusyStoreLooksByItself) {
  pace_.looked(now_);
  pace_.keep_looking(now_);
  EXPECT_EQ(pace_.next(), now_ + LookPace::interval);
  pace_.keep_looking(now_ + 3s);
  EXPECT_EQ(pace_.next(), now_ + LookPace::interval) << "not put off by being asked again";
  pace_.looked(now_);
  pace_.keep_looking(now_ + 10s);
  EXPECT_EQ(pace_.next(), now_ + 10s);
}

TEST_F(LookPaceTest, AfterWhatToldNothingItWaitsWhateverIsSaid) {
  pace_.looked(now_);
  pace_.try_again(now_);
  EXPECT_EQ(pace_.next(), now_ + LookPace::retry_interval);
  EXPECT_FALSE(pace_.look_now(now_ + LookPace::retry_interval - 1ms));
  EXPECT_TRUE(pace_.is_due(now_ + LookPace::retry_interval));
  pace_.look_at_once();
  EXPECT_TRUE(pace_.is_due(now_));
}

}  // namespace
}  // namespace objectlink
