// Goal: over any time no more requests than the rate, and, where they are wanted all the time, no fewer.
// Method: a clock that the test moves.
#include "rate_limit.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

using namespace std::chrono_literals;

RateLimit::Time at(std::chrono::milliseconds time) { return RateLimit::Time{} + 1h + time; }

// As the scrub does: what is allowed is taken, then it waits until it is told.
std::size_t taken_within(RateLimit& limit, std::chrono::milliseconds from, std::chrono::milliseconds length) {
  std::size_t taken = 0;
  for (auto now = at(from); now < at(from + length); now = std::max(now + 1ms, limit.next())) {
    const std::size_t allowed = limit.allowance(now);
    limit.take(allowed);
    taken += allowed;
  }
  return taken;
}

TEST(RateLimit, TakesAsManyAsItIsAllowedAndNoMore) {
  for (const double rate : {1.0, 3.0, 10.0, 100.0, 1000.0}) {
    RateLimit limit(rate);
    const auto taken = static_cast<double>(taken_within(limit, 0ms, 20'000ms));
    EXPECT_GE(taken, rate * 20 - 1) << rate;
    EXPECT_LE(taken, rate * 20 + std::max(1.0, rate / 4) + 1) << rate;
  }
}

TEST(RateLimit, WhatWasNotUsedDoesNotComeAllAtOnce) {
  RateLimit limit(100);
  limit.take(limit.allowance(at(0ms)));
  EXPECT_EQ(limit.allowance(at(3'600'000ms)), 25u);
}

TEST(RateLimit, OneASecondBeginsWithOne) {
  RateLimit limit(1);
  EXPECT_EQ(limit.allowance(at(0ms)), 1u);
  limit.take(1);
  EXPECT_EQ(limit.allowance(at(999ms)), 0u);
  EXPECT_GE(limit.next(), at(1000ms));
  EXPECT_LE(limit.next(), at(1001ms));
  EXPECT_EQ(limit.allowance(at(1000ms)), 1u);
}

TEST(RateLimit, AClockThatStandsStillAllowsNothingNew) {
  RateLimit limit(10);
  limit.take(limit.allowance(at(0ms)));
  for (int i = 0; i < 100; ++i) EXPECT_EQ(limit.allowance(at(0ms)), 0u);
}

TEST(RateLimit, AHigherRateHoldsFromNowOn) {
  RateLimit limit(1);
  taken_within(limit, 0ms, 2000ms);
  limit.set(100);
  EXPECT_NEAR(static_cast<double>(taken_within(limit, 2000ms, 1000ms)), 100, 26);
}

}  // namespace
}  // namespace objectlink
