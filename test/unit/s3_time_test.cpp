// Goal: times of S3 and HTTP mean what they say, and anything else means nothing.
// Method: known moments; broken texts.
#include "s3_time.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

using namespace std::chrono_literals;
constexpr auto leap_day = std::chrono::sys_days{std::chrono::year{2024} / 2 / 29};

TEST(S3Time, ReadsListingTimes) {
  EXPECT_EQ(parse_iso8601("2024-02-29T01:02:03.456Z"), leap_day + 1h + 2min + 3s + 456ms);
  EXPECT_EQ(parse_iso8601("2024-02-29T01:02:03Z"), leap_day + 1h + 2min + 3s);
  EXPECT_EQ(parse_iso8601("2024-02-29T23:59:60Z"), leap_day + 24h);
  EXPECT_EQ(parse_iso8601("2024-02-29T00:00:00+00:00"), leap_day);
  EXPECT_EQ(parse_iso8601("2024-02-29T00:00:00.123456789123Z"), leap_day + 123456789ns);
}

TEST(S3Time, RefusesOtherListingTimes) {
  for (const char* text :
       {"", "2024", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-02-29T24:00:00Z",
        "2024-02-29T00:60:00Z", "2024-02-29T00:00:61Z", "2024-02-29T00:00:00", "2024-02-29T00:00:00.Z",
        "2024-02-29T00:00:00+01:00", "2024-02-29 00:00:00Z", "2024-02-29T00:00:00Zx", "-024-02-29T00:00:00Z",
        "2024-2-29T00:00:00Z0"})
    EXPECT_FALSE(parse_iso8601(text)) << text;
}

TEST(S3Time, ReadsHttpDates) {
  EXPECT_EQ(parse_http_date("Thu, 29 Feb 2024 01:02:03 GMT"), leap_day + 1h + 2min + 3s);
  for (const char* text :
       {"", "Thu, 29 Feb 2024 01:02:03 UTC", "Thu, 29 Fex 2024 01:02:03 GMT", "29 Feb 2024 01:02:03 GMT",
        "Thu, 30 Feb 2024 01:02:03 GMT", "Thu, 29 anF 2024 01:02:03 GMT", "Thursday, 29-Feb-24 01:02:03 GMT"})
    EXPECT_FALSE(parse_http_date(text)) << text;
}

}  // namespace
}  // namespace objectlink
