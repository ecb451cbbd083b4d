// Goal: a store that answers nobody is paused, asked by one probe at a time, and back at once when it answers.
// Method: time moved by hand, fixed seeds; jitter is checked against its bounds over many seeds.
#include "store_health.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace objectlink {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using Time = StoreHealth::Time;

S3Error error(ErrorClass klass, long status, std::string code = "Some") {
  S3Error error;
  error.klass = klass;
  error.status = status;
  error.code = std::move(code);
  return error;
}

const S3Error unreachable = error(ErrorClass::store, 0, "ConnectFailed");
const S3Error refusal = error(ErrorClass::store, 403, "AccessDenied");
const S3Error expired = error(ErrorClass::credentials, 400, "ExpiredToken");
const S3Error server_error = error(ErrorClass::transient, 500, "InternalError");
const S3Error timeout = error(ErrorClass::transient, 0, "Timeout");
const S3Error slow_down = error(ErrorClass::throttled, 503, "SlowDown");

class StoreHealthTest : public testing::Test {
 protected:
  // Fails often enough to be paused; returns when the pause ends.
  Time pause(const S3Error& why = unreachable) {
    for (unsigned i = 0; i < StoreHealth::failures_max && !health_.is_paused(); ++i) health_.failed(why, now_);
    return health_.paused_until().value();
  }
  // Waits for the pause to end, and lets a probe fail.
  milliseconds next_pause() {
    now_ = *health_.paused_until();
    EXPECT_EQ(health_.allowance(now_, 0, 5), 1u);
    health_.failed(unreachable, now_);
    return std::chrono::duration_cast<milliseconds>(*health_.paused_until() - now_);
  }

  Time now_ = Time{} + 1h;
  StoreHealth health_{1};
};

TEST_F(StoreHealthTest, AtFirstTheStoreIsWell) {
  EXPECT_FALSE(health_.is_paused());
  EXPECT_FALSE(health_.paused_until());
  EXPECT_EQ(health_.allowance(now_, 99, 7), 7u);
  EXPECT_FALSE(health_.succeeded());
}

TEST_F(StoreHealthTest, APauseThatWasTakenOverIsUntriedUntilSomethingCameOfAProbe) {
  EXPECT_FALSE(health_.is_untried());
  health_.begin_paused(now_);
  EXPECT_TRUE(health_.is_untried());
  EXPECT_EQ(health_.allowance(now_, 0, 7), 1u);
  EXPECT_TRUE(health_.is_untried()) << "it is under way";
  health_.failed(unreachable, now_);
  EXPECT_FALSE(health_.is_untried());
  health_.begin_paused(now_);
  EXPECT_TRUE(health_.succeeded());
  EXPECT_FALSE(health_.is_untried());
}

TEST_F(StoreHealthTest, AStoreThatCannotBeReachedIsPausedAtOnce) {
  EXPECT_TRUE(health_.failed(unreachable, now_));
  EXPECT_TRUE(health_.is_paused());
  EXPECT_EQ(health_.allowance(now_, 0, 7), 0u);
}

TEST_F(StoreHealthTest, RefusalsPauseOnlyWhenTheyKeepComing) {
  for (const S3Error& why : {refusal, expired}) {
    StoreHealth health(1);
    for (unsigned i = 1; i < StoreHealth::refusals_max; ++i) {
      EXPECT_FALSE(health.failed(why, now_));
      EXPECT_FALSE(health.is_paused());
    }
    EXPECT_TRUE(health.failed(why, now_));
    EXPECT_TRUE(health.is_paused());
  }
}

TEST_F(StoreHealthTest, FailuresWithoutAClearFaultTakeLonger) {
  for (const S3Error& why : {server_error, timeout, slow_down}) {
    StoreHealth health(1);
    for (unsigned i = 1; i < StoreHealth::failures_max; ++i) EXPECT_FALSE(health.failed(why, now_));
    EXPECT_FALSE(health.is_paused());
    EXPECT_TRUE(health.failed(why, now_));
    EXPECT_TRUE(health.is_paused());
  }
}

TEST_F(StoreHealthTest, ASuccessInBetweenStartsTheCountAgain) {
  for (int round = 0; round < 5; ++round) {
    for (unsigned i = 1; i < StoreHealth::refusals_max; ++i) health_.failed(refusal, now_);
    EXPECT_FALSE(health_.succeeded());
  }
  EXPECT_FALSE(health_.is_paused());
}

TEST_F(StoreHealthTest, WhatWasNotSentInTimeSaysNothingOfTheStore) {
  for (unsigned i = 0; i < 3 * StoreHealth::failures_max; ++i)
    EXPECT_FALSE(health_.failed(error(ErrorClass::transient, 0, "NotSentInTime"), now_));
  EXPECT_FALSE(health_.is_paused());
  EXPECT_FALSE(health_.failed(refusal, now_));  // nor were they counted
}

TEST_F(StoreHealthTest, WhatWasNotSentInTimeDoesNotLengthenAPause) {
  now_ = pause();
  ASSERT_EQ(health_.allowance(now_, 0, 1), 1u);
  health_.failed(error(ErrorClass::transient, 0, "NotSentInTime"), now_);
  EXPECT_EQ(health_.paused_until(), now_);
  EXPECT_EQ(health_.allowance(now_, 0, 1), 1u);
}

TEST_F(StoreHealthTest, WhilePausedNothingIsStartedAndAfterwardsOneProbe) {
  const Time end = pause();
  EXPECT_EQ(health_.allowance(end - 1ms, 0, 7), 0u);
  EXPECT_EQ(health_.allowance(end, 1, 7), 0u);  // something is still under way
  EXPECT_EQ(health_.allowance(end, 0, 7), 1u);
  EXPECT_EQ(health_.allowance(end, 1, 7), 0u);  // the probe itself
  EXPECT_EQ(health_.allowance(end, 0, 0), 0u);
  EXPECT_EQ(health_.allowance(end + 24h, 0, 7), 1u);
  EXPECT_TRUE(health_.is_paused());  // until the probe succeeds
}

TEST_F(StoreHealthTest, LateFailuresNeverLengthenThePause) {
  const Time end = pause();
  for (unsigned i = 0; i < 40; ++i) EXPECT_FALSE(health_.failed(timeout, now_ + i * 1ms));
  EXPECT_EQ(health_.paused_until(), end);
  // Nor when they come after its end: they were sent before it began, for no probe was allowed yet.
  for (unsigned i = 0; i < 40; ++i) EXPECT_FALSE(health_.failed(timeout, end + i * 1s));
  EXPECT_EQ(health_.paused_until(), end);
  EXPECT_EQ(health_.allowance(end + 40s, 0, 7), 1u);
}

TEST_F(StoreHealthTest, APauseAfterAProbeIsNotLengthenedEither) {
  pause();
  next_pause();
  const Time end = *health_.paused_until();
  EXPECT_FALSE(health_.failed(timeout, end + 1s));
  EXPECT_EQ(health_.paused_until(), end);
}

TEST_F(StoreHealthTest, AProbeThatFailsPausesAgainAndNobodyIsToldTwice) {
  now_ = pause();
  ASSERT_EQ(health_.allowance(now_, 0, 7), 1u);
  EXPECT_FALSE(health_.failed(server_error, now_));
  EXPECT_GT(*health_.paused_until(), now_);
  EXPECT_EQ(health_.allowance(now_, 0, 7), 0u);
}

TEST_F(StoreHealthTest, AProbeThatSucceedsEndsThePause) {
  now_ = pause();
  ASSERT_EQ(health_.allowance(now_, 0, 7), 1u);
  EXPECT_TRUE(health_.succeeded());
  EXPECT_FALSE(health_.succeeded());
  EXPECT_FALSE(health_.is_paused());
  EXPECT_EQ(health_.allowance(now_, 99, 7), 7u);
}

TEST_F(StoreHealthTest, ALateSuccessEndsThePauseToo) {
  pause();
  EXPECT_TRUE(health_.succeeded());
  EXPECT_EQ(health_.allowance(now_, 0, 7), 7u);
}

TEST_F(StoreHealthTest, PausesGrowUpToTheirCap) {
  milliseconds ceiling = StoreHealth::pause.base;
  milliseconds length = std::chrono::duration_cast<milliseconds>(pause() - now_);
  for (int round = 0; round < 40; ++round) {
    EXPECT_GE(length, ceiling / 2) << round;
    EXPECT_LE(length, ceiling) << round;
    ceiling = std::min(ceiling * 2, StoreHealth::pause.cap);
    length = next_pause();
  }
  EXPECT_EQ(ceiling, StoreHealth::pause.cap);
}

TEST_F(StoreHealthTest, ASuccessMakesPausesShortAgain) {
  pause();
  for (int round = 0; round < 10; ++round) next_pause();
  health_.succeeded();
  EXPECT_LE(pause() - now_, StoreHealth::pause.base);
}

TEST_F(StoreHealthTest, PausesAreSpreadOverTheirWholeRange) {
  milliseconds shortest = 1h, longest = 0ms;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    StoreHealth health(seed);
    health.failed(unreachable, now_);
    const auto length = std::chrono::duration_cast<milliseconds>(*health.paused_until() - now_);
    shortest = std::min(shortest, length);
    longest = std::max(longest, length);
  }
  const milliseconds base = StoreHealth::pause.base;
  EXPECT_GE(shortest, base / 2);
  EXPECT_LT(shortest, base / 2 + base / 10);
  EXPECT_GT(longest, base - base / 10);
  EXPECT_LE(longest, base);
}

TEST_F(StoreHealthTest, TheSameSeedPausesTheSame) {
  StoreHealth other(1);
  other.failed(unreachable, now_);
  EXPECT_EQ(pause(), other.paused_until());
}

TEST_F(StoreHealthTest, NewSettingsAreProbedAtOnce) {
  pause();
  health_.probe_now(now_);
  EXPECT_TRUE(health_.is_paused());
  EXPECT_EQ(health_.allowance(now_, 0, 7), 1u);
}

TEST_F(StoreHealthTest, NewSettingsOfAWellStorePauseNothing) {
  health_.probe_now(now_);
  EXPECT_FALSE(health_.is_paused());
  EXPECT_EQ(health_.allowance(now_, 3, 7), 7u);
}

TEST_F(StoreHealthTest, AnObjectWaitsAtLeastForTheEndOfThePause) {
  pause();
  for (int round = 0; round < 8; ++round) next_pause();
  for (int i = 0; i < 100; ++i) EXPECT_GE(now_ + health_.retry_delay(unreachable, now_), *health_.paused_until());
}

TEST_F(StoreHealthTest, RetriesAreDelayedWithinTheirBounds) {
  health_.failed(server_error, now_);
  const auto longest = [&](const S3Error& why) {
    milliseconds most = 0ms;
    for (int i = 0; i < 500; ++i) {
      const milliseconds delay = health_.retry_delay(why, now_);
      EXPECT_GE(delay, 0ms);
      most = std::max(most, delay);
    }
    return most;
  };
  EXPECT_LE(longest(server_error), 100ms);  // 50 ms, doubled by one failure
  EXPECT_GT(longest(server_error), 80ms);
  EXPECT_LE(longest(slow_down), 2s);
  EXPECT_GT(longest(slow_down), 1600ms);
}

TEST_F(StoreHealthTest, TheStoresWishIsHonouredWithinReason) {
  S3Error busy = slow_down;
  busy.retry_after = 3s;
  EXPECT_EQ(health_.retry_delay(busy, now_), 3s);
  busy.retry_after = 1h;
  EXPECT_LE(health_.retry_delay(busy, now_), 6s);  // at most 5 s above our own
  EXPECT_GE(health_.retry_delay(busy, now_), 5s);
}

}  // namespace
}  // namespace objectlink
