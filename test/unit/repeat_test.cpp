// Goal: what is sent again at once can do no harm, and could help.
// Method: every kind of reply, for requests that change the store and for those that only look.
#include "repeat.hpp"

#include <gtest/gtest.h>

#include "s3_reply_builder.hpp"

namespace objectlink {
namespace {

HttpReply answered(long status, const std::string& code = {}) {
  HttpReply reply;
  reply.outcome = HttpReply::Outcome::replied;
  reply.status = status;
  reply.method = "PUT";
  if (!code.empty()) reply.body = "<Error><Code>" + code + "</Code></Error>";
  return reply;
}

HttpReply no_reply(HttpReply::Outcome outcome, HttpFailure failure) {
  HttpReply reply;
  reply.outcome = outcome;
  reply.failure = failure;
  return reply;
}

TEST(Repeat, WhatOnlyLooksIsRepeatedAfterAnyPassingFailure) {
  for (const long status : {500L, 502L, 504L}) EXPECT_EQ(repeat_of(answered(status), false), Repeat::transient);
  EXPECT_EQ(repeat_of(answered(503), false), Repeat::throttled);
  EXPECT_EQ(repeat_of(answered(429), false), Repeat::throttled);
  EXPECT_EQ(repeat_of(no_reply(HttpReply::Outcome::unknown, HttpFailure::cut), false), Repeat::transient);
  EXPECT_EQ(repeat_of(no_reply(HttpReply::Outcome::unknown, HttpFailure::malformed), false), Repeat::transient);
}

TEST(Repeat, WhatMayHaveChangedTheStoreIsNot) {
  for (const long status : {500L, 502L, 503L, 504L}) EXPECT_EQ(repeat_of(answered(status), true), Repeat::no) << status;
  EXPECT_EQ(repeat_of(no_reply(HttpReply::Outcome::unknown, HttpFailure::cut), true), Repeat::no);
}

TEST(Repeat, WhatTheStoreHasCertainlyNotDoneIs) {
  EXPECT_EQ(repeat_of(answered(503, "SlowDown"), true), Repeat::throttled);
  EXPECT_EQ(repeat_of(answered(429, "TooManyRequests"), true), Repeat::throttled);
  EXPECT_EQ(repeat_of(answered(400, "IncompleteBody"), true), Repeat::transient);
}

TEST(Repeat, WhatNoRepeatCanChangeIsNot) {
  const std::pair<long, const char*> replies[] = {{200, ""},
                                                  {204, ""},
                                                  {404, "NoSuchKey"},
                                                  {404, "NoSuchBucket"},
                                                  {403, "AccessDenied"},
                                                  {403, "SignatureDoesNotMatch"},
                                                  {403, "RequestTimeTooSkewed"},
                                                  {400, "ExpiredToken"},
                                                  {301, "PermanentRedirect"},
                                                  {409, "OperationAborted"},
                                                  {412, "PreconditionFailed"},
                                                  {400, "BadDigest"},
                                                  {400, "EntityTooLarge"},
                                                  {507, "InsufficientStorage"}};
  for (const auto& [status, code] : replies)
    for (const bool mutating : {false, true})
      EXPECT_EQ(repeat_of(answered(status, code), mutating), Repeat::no) << code;
}

TEST(Repeat, NothingIsRepeatedThatCannotBeSentOrTookItsWholeTime) {
  using Outcome = HttpReply::Outcome;
  for (const HttpFailure failure : {HttpFailure::resolve, HttpFailure::connect, HttpFailure::tls, HttpFailure::local,
                                    HttpFailure::request, HttpFailure::too_late, HttpFailure::timeout})
    EXPECT_EQ(repeat_of(no_reply(Outcome::not_sent, failure), false), Repeat::no);
  EXPECT_EQ(repeat_of(no_reply(Outcome::unknown, HttpFailure::timeout), false), Repeat::no);
}

TEST(Repeat, KeysThatAreRefusedMayBeOldOnes) {
  for (const char* code : {"ExpiredToken", "InvalidToken", "TokenRefreshRequired"})
    EXPECT_TRUE(refuses_credentials(answered(400, code))) << code;
  for (const char* code : {"InvalidAccessKeyId", "SignatureDoesNotMatch"})
    EXPECT_TRUE(refuses_credentials(answered(403, code))) << code;
  HttpReply head = answered(403);
  head.method = "HEAD";
  EXPECT_TRUE(refuses_credentials(head));
}

TEST(Repeat, OtherRefusalsAreNotTheirs) {
  EXPECT_FALSE(refuses_credentials(answered(403, "AccessDenied")));
  EXPECT_FALSE(refuses_credentials(answered(403, "RequestTimeTooSkewed")));
  EXPECT_FALSE(refuses_credentials(answered(400, "InvalidDigest")));
  EXPECT_FALSE(refuses_credentials(answered(404, "NoSuchKey")));
  EXPECT_FALSE(refuses_credentials(answered(500, "InternalError")));
  EXPECT_FALSE(refuses_credentials(answered(200)));
  EXPECT_FALSE(refuses_credentials(no_reply(HttpReply::Outcome::unknown, HttpFailure::cut)));
}

}  // namespace
}  // namespace objectlink
