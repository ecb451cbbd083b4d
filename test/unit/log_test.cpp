// Goal: any message makes exactly one well-formed line, with the promised fields and without secrets.
// Method: the pure line builders, JSON parsed back; hostile bytes, names and values.
#include "log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "redact.hpp"

namespace objectlink::log {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr std::int64_t noon_ms = 1767355200007;  // 2026-01-02 12:00:00.007 UTC

std::string json(const Fields& fields, std::string_view message = "m") {
  return json_line(noon_ms, LogLevel::info, "a.b", message, fields);
}

TEST(JsonLine, HasThePromisedFieldsInOrder) {
  EXPECT_EQ(json_line(noon_ms, LogLevel::warning, "store.paused", "store is paused",
                      {{"store", "docs"}, {"attempts", 3}, {"seconds", 0.5}, {"ok", true}, {"why", nullptr}}),
            R"({"ts":"2026-01-02T12:00:00.007Z","level":"warning","event":"store.paused","message":"store is paused",)"
            R"("store":"docs","attempts":3,"seconds":0.5,"ok":true,"why":null})");
}

TEST(JsonLine, NumbersKeepTheirRange) {
  const std::string line = json({{"min", INT64_MIN}, {"max", UINT64_MAX}, {"small", std::uint8_t{7}}});
  EXPECT_THAT(line, HasSubstr("-9223372036854775808"));
  EXPECT_THAT(line, HasSubstr("18446744073709551615"));
  EXPECT_THAT(line, HasSubstr(R"("small":7)"));
  EXPECT_THAT(json({{"nan", std::nan("")}}), HasSubstr(R"("nan":null)"));
}

TEST(JsonLine, OptionalIsValueOrNull) {
  EXPECT_THAT(json({{"a", std::optional<int>{}}, {"b", std::optional<std::string>{"x"}}}),
              HasSubstr(R"("a":null,"b":"x")"));
}

TEST(JsonLine, AFieldCannotHideAPromisedOne) {
  const auto line = nlohmann::json::parse(json({{"level", "fake"}, {"level", "again"}}));
  EXPECT_EQ(line["level"], "info");
  EXPECT_EQ(line["level_"], "fake");
  EXPECT_EQ(line["level__"], "again");
}

TEST(JsonLine, SecretsAreNotPrinted) {
  const std::string line = json({{"password", "hunter2"},
                                 {"X-Amz-Security-Token", "hunter2"},
                                 {"secret_access_key", "hunter2"},
                                 {"Authorization", "hunter2"},
                                 {"url", "http://h/b/k?X-Amz-Signature=hunter2&X-Amz-Expires=60"},
                                 {"dsn", "host=db password='hun ter2' dbname=app"},
                                 {"uri", "postgresql://u:hunter2@h/db"},
                                 {"key", "photos/2026.jpg"}},
                                "connect with password = hunter2 failed");
  EXPECT_THAT(line, Not(HasSubstr("ter2")));
  EXPECT_THAT(line, HasSubstr("X-Amz-Expires=60"));
  EXPECT_THAT(line, HasSubstr("dbname=app"));
  EXPECT_THAT(line, HasSubstr("postgresql://u:***@h/db"));
  EXPECT_THAT(line, HasSubstr("photos/2026.jpg"));
}

TEST(Line, IsOneLineWhateverItIsGiven) {
  std::mt19937 random(20260102);
  std::uniform_int_distribution<int> byte(0, 255);
  std::uniform_int_distribution<std::size_t> length(0, 40);
  for (int round = 0; round < 2000; ++round) {
    std::string noise[3];
    for (std::string& text : noise) {
      text.resize(length(random));
      for (char& c : text) c = static_cast<char>(byte(random));
    }
    const Fields fields{{noise[0], noise[1]}};
    const std::string as_json = json(fields, noise[2]);
    EXPECT_TRUE(nlohmann::json::accept(as_json)) << as_json;
    for (const std::string& line : {as_json, text_line(noon_ms, LogLevel::info, noise[0], noise[2], fields)}) {
      EXPECT_TRUE(std::none_of(line.begin(), line.end(), [](unsigned char c) { return c < ' '; })) << line;
    }
  }
}

TEST(TextLine, IsReadable) {
  EXPECT_EQ(text_line(noon_ms, LogLevel::error, "store.paused", "store \"docs\" is paused",
                      {{"store", "docs"}, {"attempts", 3}, {"reason", "no answer"}, {"empty", ""}, {"why", nullptr}}),
            "2026-01-02T12:00:00.007Z error   store.paused: store \"docs\" is paused"
            "  store=docs  attempts=3  reason=\"no answer\"  empty=\"\"  why=null");
}

TEST(TextLine, KeepsUtf8AndReplacesWhatIsNot) {
  EXPECT_THAT(text_line(noon_ms, LogLevel::info, "e", "grün\xff\r\n", {}), HasSubstr("grün\xEF\xBF\xBD\\r\\n"));
}

TEST(Write, ObeysTheLevel) {
  set_up(LogFormat::json, LogLevel::warning);
  testing::internal::CaptureStderr();
  info("quiet", "not printed");
  warning("loud", "printed");
  const std::string printed = testing::internal::GetCapturedStderr();
  set_up(LogFormat::automatic, LogLevel::info);
  EXPECT_THAT(printed, Not(HasSubstr("quiet")));
  EXPECT_THAT(printed, HasSubstr("loud"));
  EXPECT_EQ(printed.back(), '\n');
}

TEST(Redact, NamesWithoutCaseAndWithDashes) {
  for (const char* name : {"password", "PGPASSWORD", "X-Amz-Signature", "aws_session_token", "SecretAccessKey"}) {
    EXPECT_TRUE(is_secret_name(name)) << name;
  }
  for (const char* name : {"key", "store", "access", "etag", "request_id", "ref"})
    EXPECT_FALSE(is_secret_name(name)) << name;
}

TEST(Redact, LeavesOtherTextAlone) {
  for (const char* text : {"", "=", "a=b", "http://host:80/path", "http://host/a@b:c", "s3://docs/a=b c", "x = y, z"}) {
    EXPECT_EQ(redact_text(text), text);
  }
}

TEST(Redact, EveryPair) {
  EXPECT_EQ(redact_text("a=1 token=2 b=3 secret=\"4 \\\" 5\" c=6"), "a=1 token=*** b=3 secret=*** c=6");
  EXPECT_EQ(redact_text("token="), "token=***");
  EXPECT_EQ(redact_text("https://a:b@c/ and https://d:e:f@g"), "https://a:***@c/ and https://d:***@g");
}

}  // namespace
}  // namespace objectlink::log
