// Goal: whatever stores say, the results are JSON that PostgreSQL takes, and say what happened.
// Method: to_json() read back by the JSON parser; hostile text in every field that a store fills.
#include "work.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/utf8.hpp"

namespace objectlink {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using namespace std::string_literals;

Result plain() {
  Work work;
  work.key = "a/b";
  work.state = "pending";
  work.attempts = 3;
  return result_for(work, "verify", Outcome::stored);
}

json written(const Result& result) {
  const std::string text = to_json({result});
  EXPECT_EQ(find_malformed_utf8(text), std::string::npos);
  EXPECT_EQ(text.find('\0'), std::string::npos);
  EXPECT_EQ(text.find("\\u0000"), std::string::npos);  // which no text of PostgreSQL can hold
  return json::parse(text).at(0);
}

Result failed_with(std::string message) {
  Result result = plain();
  result.error.emplace();
  result.error->code = "Some";
  result.error->message = std::move(message);
  return result;
}

TEST(WorkJson, NoResultsAreAnEmptyArray) { EXPECT_EQ(to_json({}), "[]"); }

TEST(WorkJson, WhatIsNotKnownIsLeftOut) {
  // Not null and not empty: the registry keeps what it knew before.
  EXPECT_EQ(written(plain()), (json{{"key", "a/b"},
                                    {"state", "pending"},
                                    {"attempts", 3},
                                    {"outcome", "stored"},
                                    {"cause", "verify"},
                                    {"counted", false},
                                    {"retry_ms", 0}}));
}

TEST(WorkJson, WhatIsKnownIsThere) {
  Result result = plain();
  result.size = 0;
  result.etag = "\"e\"";
  result.version_id = "v1";
  result.sha256_hex = "00ff";
  result.content_type = "text/plain";
  result.request_id = "tx";
  result.proof = "HEAD 404";
  result.retry_after = 1500ms;
  result.counted = true;
  EXPECT_EQ(written(result), (json{{"key", "a/b"},
                                   {"state", "pending"},
                                   {"attempts", 3},
                                   {"outcome", "stored"},
                                   {"cause", "verify"},
                                   {"counted", true},
                                   {"retry_ms", 1500},
                                   {"size", 0},
                                   {"etag", "\"e\""},
                                   {"version_id", "v1"},
                                   {"sha256", "00ff"},
                                   {"content_type", "text/plain"},
                                   {"request_id", "tx"},
                                   {"proof", "HEAD 404"}}));
}

TEST(WorkJson, AProofIsTold) {
  Result result = plain();
  result.proof = "listing";
  result.versions_left = 0;
  result.put_unknown = true;
  const json item = written(result);
  EXPECT_EQ(item.at("proof"), "listing");
  EXPECT_EQ(item.at("versions_left"), 0);
  EXPECT_EQ(item.at("put_unknown"), true);
}

TEST(WorkJson, LargeSizesStayExact) {
  Result result = plain();
  result.size = 5'497'558'138'881;
  EXPECT_EQ(written(result).at("size").get<std::int64_t>(), 5'497'558'138'881);
}

TEST(WorkJson, EveryOutcomeHasTheNameThatSettleKnows) {
  const std::pair<Outcome, const char*> names[] = {{Outcome::stored, "stored"},
                                                   {Outcome::retry, "retry"},
                                                   {Outcome::failed, "failed"},
                                                   {Outcome::gone, "gone"},
                                                   {Outcome::unknown, "unknown"}};
  for (const auto& [outcome, name] : names) {
    Result result = plain();
    result.outcome = outcome;
    EXPECT_EQ(written(result).at("outcome"), name);
  }
}

TEST(WorkJson, AnErrorIsTold) {
  Result result = failed_with("words");
  result.request_id = "of the result";
  result.error->klass = ErrorClass::throttled;
  result.error->request_id = "of the error";
  const json item = written(result);
  EXPECT_EQ(item.at("error_class"), "throttled");
  EXPECT_EQ(item.at("error_code"), "Some");
  EXPECT_EQ(item.at("message"), "words");
  EXPECT_EQ(item.at("request_id"), "of the error");
}

TEST(WorkJson, AnErrorWithoutWordsIsDescribed) {
  Result result = failed_with("");
  result.request_id = "kept";
  result.error->klass = ErrorClass::store;
  result.error->code = "AccessDenied";
  result.error->status = 403;
  const json item = written(result);
  EXPECT_EQ(item.at("message"), "store AccessDenied (403)");
  EXPECT_EQ(item.at("request_id"), "kept");
}

TEST(WorkJson, EveryErrorClassHasAName) {
  for (const ErrorClass klass :
       {ErrorClass::transient, ErrorClass::throttled, ErrorClass::clock, ErrorClass::credentials, ErrorClass::redirect,
        ErrorClass::conflict, ErrorClass::not_found, ErrorClass::store, ErrorClass::object}) {
    Result result = failed_with("words");
    result.error->klass = klass;
    EXPECT_EQ(written(result).at("error_class"), std::string(to_string(klass)));
  }
}

TEST(WorkJson, ControlCharactersComeThrough) {
  std::string all;
  for (char c = 1; c < 32; ++c) all += c;
  all += "\x7f\"\\/";
  EXPECT_EQ(written(failed_with(all)).at("message"), all);
}

TEST(WorkJson, NulIsLeftOutEverywhere) {
  Result result = failed_with("\0a\0b\0"s);
  result.error->code = "Co\0de"s;
  result.error->request_id = "t\0x"s;
  result.etag = "\"e\0\""s;
  result.version_id = "v\0"s;
  result.content_type = "text\0/plain"s;
  const json item = written(result);
  EXPECT_EQ(item.at("message"), "ab");
  EXPECT_EQ(item.at("error_code"), "Code");
  EXPECT_EQ(item.at("request_id"), "tx");
  EXPECT_EQ(item.at("etag"), "\"e\"");
  EXPECT_EQ(item.at("version_id"), "v");
  EXPECT_EQ(item.at("content_type"), "text/plain");
}

TEST(WorkJson, WhatIsNoUtf8IsReplaced) {
  // A lone continuation, a cut sequence, an overlong form, a surrogate, beyond U+10FFFF.
  for (const char* bad : {"\x80", "\xe2\x82", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff"}) {
    const std::string message = written(failed_with("a"s + bad + "b")).at("message").get<std::string>();
    EXPECT_TRUE(message.starts_with("a\xef\xbf\xbd")) << message;
    EXPECT_TRUE(message.ends_with("b")) << message;
    Result result = plain();
    result.etag = bad;
    EXPECT_EQ(written(result).at("etag").get<std::string>().substr(0, 3), "\xef\xbf\xbd");
  }
}

TEST(WorkJson, ValidUtf8IsNotTouched) {
  for (const char* text :
       {"\xc3\xa9", "e\xcc\x81", "\xef\xbf\xbd", "\xee\x80\x80", "\xf0\x9f\x98\x80", "\xc2\x85", "\xe2\x80\xa8"})
    EXPECT_EQ(written(failed_with(text)).at("message"), text);
}

TEST(WorkJson, KeysComeThroughAsTheyAre) {
  for (const std::string& key :
       {"a\"b\\c"s, "a\nb\tc\x01\x7f"s, "\xc3\xa9 \xf0\x9f\x98\x80"s, std::string(1024, 'a')}) {
    Result result = plain();
    result.key = key;
    EXPECT_EQ(written(result).at("key"), key);
  }
}

TEST(WorkJson, OneBadResultSpoilsNoOther) {
  const json all = json::parse(to_json({plain(), failed_with("\xff\0"s), plain()}));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0], all[2]);
}

TEST(WorkResult, StandsForTheWorkAsItWasTaken) {
  Work work;
  work.key = "k";
  work.state = "deleting";
  work.attempts = 5;
  const Result result = result_for(work, "delete", Outcome::gone);
  EXPECT_EQ(result.key, "k");
  EXPECT_EQ(result.state, "deleting");
  EXPECT_EQ(result.attempts, 5);
  EXPECT_EQ(result.outcome, Outcome::gone);
  EXPECT_STREQ(result.cause, "delete");
  EXPECT_FALSE(result.counted);
  EXPECT_EQ(result.retry_after, 0ms);
}

}  // namespace
}  // namespace objectlink
