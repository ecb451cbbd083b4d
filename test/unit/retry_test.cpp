// Goal: delays grow, are bounded, and spread; the quota neither grows without limit nor goes below zero.
// Method: fixed seeds, ceilings checked over many draws.
#include "retry.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace objectlink {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, CeilingDoublesUpToTheCap) {
  EXPECT_EQ(backoff_ceiling(transient_backoff, 0), 50ms);
  EXPECT_EQ(backoff_ceiling(transient_backoff, 1), 100ms);
  EXPECT_EQ(backoff_ceiling(transient_backoff, 8), 12'800ms);
  EXPECT_EQ(backoff_ceiling(transient_backoff, 9), 20s);
  EXPECT_EQ(backoff_ceiling(transient_backoff, std::numeric_limits<unsigned>::max()), 20s);
  EXPECT_EQ(backoff_ceiling({0ms, 20s}, std::numeric_limits<unsigned>::max()), 0ms);
  EXPECT_EQ(backoff_ceiling({30s, 20s}, 0), 20s);
}

TEST(Backoff, JitterUsesTheWholeRangeAndNoMore) {
  std::mt19937_64 rng(7);
  std::chrono::milliseconds least = 1h, most = 0ms;
  for (int i = 0; i < 2'000; ++i) {
    const auto delay = full_jitter(transient_backoff, 3, rng);
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_GE(least, 0ms);
  EXPECT_LE(least, 20ms);
  EXPECT_GE(most, 380ms);
  EXPECT_LE(most, 400ms);
}

TEST(Backoff, TheSameSeedGivesTheSameDelays) {
  std::mt19937_64 one(42), two(42);
  for (unsigned attempt = 0; attempt < 20; ++attempt)
    EXPECT_EQ(full_jitter(throttled_backoff, attempt, one), full_jitter(throttled_backoff, attempt, two));
}

TEST(Backoff, TheServersWishRaisesTheDelayByFiveSecondsAtMost) {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::mt19937_64 a(seed), b(seed), c(seed), d(seed);
    const auto own = full_jitter(transient_backoff, 2, a);
    EXPECT_EQ(retry_delay(transient_backoff, 2, std::nullopt, b), own);
    EXPECT_EQ(retry_delay(transient_backoff, 2, 1h, c), own + 5s);
    EXPECT_EQ(retry_delay(transient_backoff, 2, 0ms, d), own);  // never sooner than our own
  }
}

TEST(RetryQuota, RunsOutAndComesBack) {
  RetryQuota quota;
  int retries = 0;
  while (quota.take(RetryQuota::transient_cost)) ++retries;
  EXPECT_EQ(retries, 35);
  EXPECT_EQ(quota.left(), 500u - 35 * 14);
  EXPECT_TRUE(quota.take(RetryQuota::throttled_cost));
  quota.refund();
  quota.refund(RetryQuota::throttled_cost);
  EXPECT_EQ(quota.left(), 11u);
  for (int i = 0; i < 10'000; ++i) quota.refund();
  EXPECT_EQ(quota.left(), RetryQuota::capacity);
  quota.refund(std::numeric_limits<unsigned>::max());
  EXPECT_EQ(quota.left(), RetryQuota::capacity);
}

TEST(RetryQuota, ARefusedRetryTakesNothing) {
  RetryQuota quota;
  EXPECT_FALSE(quota.take(501));
  EXPECT_TRUE(quota.take(500));
  EXPECT_FALSE(quota.take(1));
  EXPECT_EQ(quota.left(), 0u);
}

}  // namespace
}  // namespace objectlink
