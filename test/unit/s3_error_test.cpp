// Goal: every failure gets the class that knowledge of stores says, and none is taken for a result.
// Method: a table of codes and statuses as the stores send them; replies that are no S3 at all.
#include "s3_error.hpp"

#include <gtest/gtest.h>

#include "s3_reply_builder.hpp"
#include "s3_time.hpp"

namespace objectlink {
namespace {

using Outcome = HttpReply::Outcome;
using namespace std::chrono_literals;

struct CodeCase {
  long status;
  const char* code;
  ErrorClass klass;
  bool outcome_unknown;
};

TEST(S3Error, ClassesOfCodes) {
  const CodeCase cases[] = {
      {500, "InternalError", ErrorClass::transient, true},
      {400, "RequestTimeout", ErrorClass::transient, true},
      {400, "BadDigest", ErrorClass::transient, false},
      {400, "IncompleteBody", ErrorClass::transient, false},
      {503, "SlowDown", ErrorClass::throttled, false},
      {503, "SlowDownWrite", ErrorClass::throttled, false},
      {400, "ThrottlingException", ErrorClass::throttled, false},
      {429, "TooManyRequests", ErrorClass::throttled, false},
      {503, "ServiceUnavailable", ErrorClass::throttled, true},
      {403, "RequestTimeTooSkewed", ErrorClass::clock, false},
      {400, "ExpiredToken", ErrorClass::credentials, false},
      {403, "InvalidToken", ErrorClass::credentials, false},
      {301, "PermanentRedirect", ErrorClass::redirect, false},
      {307, "TemporaryRedirect", ErrorClass::redirect, false},
      {409, "OperationAborted", ErrorClass::conflict, false},
      {412, "PreconditionFailed", ErrorClass::conflict, false},
      {400, "InvalidPart", ErrorClass::conflict, false},
      {404, "NoSuchKey", ErrorClass::not_found, false},
      {404, "NoSuchVersion", ErrorClass::not_found, false},
      {404, "NoSuchUpload", ErrorClass::not_found, false},
      {404, "NoSuchBucket", ErrorClass::store, false},
      {403, "AccessDenied", ErrorClass::store, false},
      {403, "SignatureDoesNotMatch", ErrorClass::store, false},
      {403, "InvalidAccessKeyId", ErrorClass::store, false},
      {403, "QuotaExceeded", ErrorClass::store, false},
      {507, "XMinioStorageFull", ErrorClass::store, false},
      {501, "NotImplemented", ErrorClass::store, false},
      {400, "AuthorizationHeaderMalformed", ErrorClass::store, false},
      {400, "KeyTooLongError", ErrorClass::object, false},
      {400, "InvalidObjectName", ErrorClass::object, false},
      {400, "EntityTooLarge", ErrorClass::object, false},
      {403, "InvalidObjectState", ErrorClass::object, false},
      // Codes that nobody knows go by their status.
      {400, "Unheard", ErrorClass::object, false},
      {403, "Unheard", ErrorClass::store, false},
      {404, "Unheard", ErrorClass::store, false},
      {409, "Unheard", ErrorClass::conflict, false},
      {500, "Unheard", ErrorClass::transient, true},
      {502, "Unheard", ErrorClass::transient, true},
      {503, "Unheard", ErrorClass::throttled, true},
      {200, "Unheard", ErrorClass::transient, true},
  };
  for (const CodeCase& expected : cases) {
    const S3Error error = classify(replied(expected.status, error_xml(expected.code)));
    EXPECT_EQ(to_string(error.klass), to_string(expected.klass)) << expected.status << expected.code;
    EXPECT_EQ(error.outcome_unknown, expected.outcome_unknown) << expected.code;
    EXPECT_EQ(error.code, expected.code);
    EXPECT_EQ(error.message, "words");
    EXPECT_EQ(error.request_id, "tx1");
    EXPECT_EQ(error.status, expected.status);
  }
}

TEST(S3Error, ClassesOfBareStatuses) {
  const CodeCase cases[] = {
      {204, "UnexpectedReply", ErrorClass::transient, true},
      {301, "Redirect", ErrorClass::redirect, false},
      {304, "UnexpectedReply", ErrorClass::transient, true},
      {400, "BadRequest", ErrorClass::object, false},
      {401, "Unauthorized", ErrorClass::store, false},
      {403, "AccessDenied", ErrorClass::store, false},
      {404, "UnexplainedNotFound", ErrorClass::store, false},
      {408, "RequestTimeout", ErrorClass::transient, true},
      {409, "Conflict", ErrorClass::conflict, false},
      {412, "PreconditionFailed", ErrorClass::conflict, false},
      {413, "EntityTooLarge", ErrorClass::object, false},
      {416, "InvalidRange", ErrorClass::object, false},
      {429, "TooManyRequests", ErrorClass::throttled, false},
      {500, "InternalError", ErrorClass::transient, true},
      {501, "NotImplemented", ErrorClass::store, false},
      {502, "InternalError", ErrorClass::transient, true},
      {503, "ServiceUnavailable", ErrorClass::throttled, true},
      {504, "InternalError", ErrorClass::transient, true},
      {507, "InsufficientStorage", ErrorClass::store, false},
      {599, "InternalError", ErrorClass::transient, true},
      {100, "UnexpectedReply", ErrorClass::transient, true},
      {0, "UnexpectedReply", ErrorClass::transient, true},
  };
  for (const std::string& body :
       {std::string(), std::string("<html><body>Not Found</body></html>"), std::string("<Error>"),
        std::string("<Error><Code></Code></Error>"), std::string("\xff\xfe garbage")}) {
    for (const CodeCase& expected : cases) {
      const S3Error error = classify(replied(expected.status, body));
      EXPECT_EQ(to_string(error.klass), to_string(expected.klass)) << expected.status << body;
      EXPECT_EQ(error.outcome_unknown, expected.outcome_unknown) << expected.status << body;
      EXPECT_EQ(error.code, expected.code) << body;
    }
  }
}

TEST(S3Error, AHeadHasOnlyItsStatus) {
  EXPECT_EQ(classify(replied(404, "", {}, "HEAD")).klass, ErrorClass::not_found);
  EXPECT_EQ(classify(replied(404, "", {}, "HEAD")).code, "NotFound");
  EXPECT_EQ(classify(replied(403, "", {}, "HEAD")).klass, ErrorClass::store);
  EXPECT_TRUE(classify(replied(403, "", {}, "HEAD")).code_is_guessed);
  EXPECT_EQ(classify(replied(403, "", {}, "HEAD")).code, "AccessDenied");
  EXPECT_EQ(classify(replied(400, "", {}, "HEAD")).klass, ErrorClass::transient);
  EXPECT_EQ(classify(replied(412, "", {}, "HEAD")).klass, ErrorClass::conflict);
  EXPECT_EQ(classify(replied(503, "", {}, "HEAD")).klass, ErrorClass::throttled);
}

TEST(S3Error, ARedirectTellsTheRegionAndNothingElse) {
  S3Error error = classify(replied(301, error_xml("PermanentRedirect", "<Endpoint>evil.example</Endpoint>"),
                                   {{"x-amz-bucket-region", "eu-central-1"}, {"location", "http://evil.example/"}}));
  EXPECT_EQ(error.region, "eu-central-1");
  error = classify(replied(400, error_xml("AuthorizationHeaderMalformed", "<Region>ap-south-1</Region>")));
  EXPECT_EQ(error.klass, ErrorClass::redirect);
  EXPECT_EQ(error.region, "ap-south-1");
  error = classify(replied(400, "", {{"x-amz-bucket-region", "eu-west-3"}}, "HEAD"));
  EXPECT_EQ(error.klass, ErrorClass::redirect);
  EXPECT_EQ(error.region, "eu-west-3");
  error = classify(replied(301, "", {{"x-amz-bucket-region", "eu/../west\r\n"}}));
  EXPECT_EQ(error.klass, ErrorClass::redirect);
  EXPECT_EQ(error.region, "");
  EXPECT_EQ(classify(replied(404, error_xml("NoSuchKey"), {{"x-amz-bucket-region", "eu-west-3"}})).region, "");
}

TEST(S3Error, WithoutAReplyTheFailureSpeaks) {
  const struct {
    Outcome outcome;
    HttpFailure failure;
    ErrorClass klass;
  } cases[] = {
      {Outcome::not_sent, HttpFailure::resolve, ErrorClass::store},
      {Outcome::not_sent, HttpFailure::connect, ErrorClass::store},
      {Outcome::not_sent, HttpFailure::tls, ErrorClass::store},
      {Outcome::not_sent, HttpFailure::local, ErrorClass::store},
      {Outcome::not_sent, HttpFailure::request, ErrorClass::object},
      {Outcome::not_sent, HttpFailure::too_late, ErrorClass::transient},
      {Outcome::unknown, HttpFailure::timeout, ErrorClass::transient},
      {Outcome::unknown, HttpFailure::cut, ErrorClass::transient},
      {Outcome::unknown, HttpFailure::limit, ErrorClass::transient},
      {Outcome::unknown, HttpFailure::malformed, ErrorClass::transient},
      {Outcome::unknown, HttpFailure::none, ErrorClass::transient},
  };
  for (const auto& expected : cases) {
    const S3Error error = classify(lost(expected.outcome, expected.failure));
    EXPECT_EQ(error.klass, expected.klass) << error.code;
    EXPECT_EQ(error.outcome_unknown, expected.outcome == Outcome::unknown) << error.code;
    EXPECT_EQ(error.message, "curl's words");
    EXPECT_EQ(error.status, 0);
    EXPECT_FALSE(error.code.empty());
  }
}

TEST(S3Error, ALostReplyIsNeverAResultWhateverItCarries) {
  HttpReply reply = replied(404, error_xml("NoSuchKey"));
  reply.outcome = Outcome::unknown;
  reply.failure = HttpFailure::cut;
  const S3Error error = classify(reply);
  EXPECT_EQ(error.klass, ErrorClass::transient);
  EXPECT_TRUE(error.outcome_unknown);
}

TEST(S3Error, HeadersGiveTimeAndDelay) {
  S3Error error =
      classify(replied(403, error_xml("RequestTimeTooSkewed"), {{"date", "Thu, 29 Feb 2024 01:02:03 GMT"}}));
  EXPECT_EQ(error.server_time, parse_iso8601("2024-02-29T01:02:03Z"));
  EXPECT_FALSE(classify(replied(403, "", {{"date", "yesterday"}})).server_time);

  const auto delay = [](HttpHeaders headers) { return classify(replied(503, "", std::move(headers))).retry_after; };
  EXPECT_EQ(delay({{"retry-after", "3"}}), 3s);
  EXPECT_EQ(delay({{"retry-after", "3"}, {"x-amz-retry-after", "1500"}}), 1500ms);
  EXPECT_EQ(delay({{"retry-after", "999999999999"}}), 1h);
  for (const char* text : {"", "-1", "3s", "Thu, 29 Feb 2024 01:02:03 GMT", "99999999999999999999"})
    EXPECT_FALSE(delay({{"retry-after", text}})) << text;
}

TEST(S3Error, TextIsMadeFitForTheDatabase) {
  const S3Error error = classify(
      replied(400, "<Error><Code>A\tB</Code><Message>a\nb\xff\xc3" + std::string(1000, 'x') + "</Message></Error>"));
  EXPECT_EQ(error.code, "A?B");
  EXPECT_EQ(error.message.substr(0, 6), "a?b??x");
  EXPECT_EQ(error.message.size(), 500u);
  EXPECT_EQ(presentable("\xe2\x82\xac\xe2\x82\xac", 5), "\xe2\x82\xac??");  // cut in the middle of a letter
  EXPECT_EQ(presentable(std::string("a\0b", 3)), "a?b");
}

TEST(S3Error, DescribesItselfInOneLine) {
  EXPECT_EQ(classify(replied(503, error_xml("SlowDown"))).describe(), "throttled SlowDown (503): words [tx1]");
  EXPECT_EQ(classify(lost(Outcome::not_sent, HttpFailure::connect, "refused")).describe(),
            "store ConnectFailed: refused");
}

}  // namespace
}  // namespace objectlink
