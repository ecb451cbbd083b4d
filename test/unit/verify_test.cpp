// Goal: a link is stored only if the store showed the object, and absent only if the store proved that.
// Method: a scripted store; each case is one way a HEAD can go.
#include "verify.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "key_corpus.hpp"
#include "scripted_errand.hpp"

namespace objectlink {
namespace {

using testing::ElementsAre;

const std::string head_line = "HEAD /docs/a%20b";
const std::string bucket_line = "HEAD /docs/";

Work pending(std::string key = "a b") {
  Work work;
  work.key = std::move(key);
  work.state = "pending";
  work.attempts = 2;
  work.max_attempts = 10;
  return work;
}

ScriptedErrand::Failure failure_after(std::vector<HttpReply> replies, bool bucket_known = true) {
  ScriptedErrand errand;
  errand.bucket_known = bucket_known;
  for (HttpReply& reply : replies) errand.answer(std::move(reply));
  verify(errand, pending());
  errand.run();
  return errand.failure();
}

TEST(Verify, AnObjectThatIsThereIsStoredWithWhatTheStoreSaysOfIt) {
  ScriptedErrand errand;
  errand.answer(head_reply(7, "\"e\"",
                           {{"x-amz-version-id", "v1"},
                            {"content-type", "text/plain"},
                            {"x-amz-request-id", "tx"},
                            {"x-amz-checksum-sha256", base64(sha256("content"))}}));
  verify(errand, pending());
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre(head_line));
  const Result result = errand.result();
  EXPECT_EQ(result.key, "a b");
  EXPECT_EQ(result.state, "pending");
  EXPECT_EQ(result.attempts, 2);
  EXPECT_EQ(result.outcome, Outcome::stored);
  EXPECT_STREQ(result.cause, "verify");
  EXPECT_EQ(result.size, 7);
  EXPECT_EQ(result.etag, "\"e\"");
  EXPECT_EQ(result.version_id, "v1");
  EXPECT_EQ(result.content_type, "text/plain");
  EXPECT_EQ(result.request_id, "tx");
  EXPECT_EQ(result.sha256_hex, hex(sha256("content")));
  EXPECT_FALSE(result.error);
  EXPECT_EQ(errand.answers, 1);
}

TEST(Verify, ADigestThatTheUploaderClaimsIsNotTakenForTheStores) {
  ScriptedErrand errand;
  errand.answer(head_reply(7, "\"e\"", {{std::string(sha256_metadata_header), hex(sha256("content"))}}));
  verify(errand, pending());
  errand.run();
  EXPECT_EQ(errand.result().sha256_hex, "");
}

TEST(Verify, AnEmptyObjectIsThere) {
  ScriptedErrand errand;
  errand.answer(head_reply(0, ""));
  verify(errand, pending());
  errand.run();
  EXPECT_EQ(errand.result().size, 0);
}

TEST(Verify, BeforeAnObjectIsGivenUpItsBucketIsLookedAtOnceMore) {
  for (const bool there : {true, false}) {
    ScriptedErrand errand;
    errand.bucket_known = true;
    Work last = pending();
    last.max_attempts = last.attempts + 1;
    errand.answer(replied(404));
    errand.answer(replied(there ? 200 : 404));
    verify(errand, last);
    errand.run();
    EXPECT_THAT(errand.transcript(), ElementsAre(head_line, bucket_line));
    EXPECT_EQ(errand.failure().error.klass == ErrorClass::not_found && errand.failure().error.code == "NoSuchKey",
              there);
  }
}

TEST(Verify, AMissingObjectInAKnownBucketIsMissing) {
  ScriptedErrand errand;
  errand.bucket_known = true;
  errand.answer(replied(404));
  verify(errand, pending());
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre(head_line));
  const auto [work, cause, error] = errand.failure();
  EXPECT_EQ(work.key, "a b");
  EXPECT_EQ(work.attempts, 2);
  EXPECT_EQ(cause, "verify");
  EXPECT_EQ(error.klass, ErrorClass::not_found);
  EXPECT_EQ(error.code, "NoSuchKey");
  EXPECT_EQ(error.status, 404);
  EXPECT_FALSE(error.outcome_unknown);
}

TEST(Verify, InAnUnknownBucketTheBucketIsAskedForBeforeA404Counts) {
  ScriptedErrand errand;
  errand.answer(replied(404));
  errand.answer(replied(200));
  verify(errand, pending());
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre(head_line, bucket_line));
  EXPECT_EQ(errand.failure().error.klass, ErrorClass::not_found);
  EXPECT_TRUE(errand.bucket_known);
}

TEST(Verify, WithoutTheBucketNothingIsSaidOfTheObject) {
  ScriptedErrand errand;
  errand.answer(replied(404));
  errand.answer(replied(404));
  verify(errand, pending());
  errand.run();
  EXPECT_EQ(errand.failure().error.klass, ErrorClass::store);
  EXPECT_EQ(errand.failure().error.code, "NoSuchBucket");
  EXPECT_EQ(errand.answers, 0);
  EXPECT_FALSE(errand.bucket_known);
}

TEST(Verify, ABucketThatCannotBeLookedAtProvesNothing) {
  for (const long status : {301, 400, 401, 403, 429, 500, 503})
    EXPECT_NE(failure_after({replied(404), replied(status)}, false).error.klass, ErrorClass::not_found) << status;
  for (const HttpReply& reply : {timed_out(), unreachable()})
    EXPECT_NE(failure_after({replied(404), reply}, false).error.klass, ErrorClass::not_found);
}

TEST(Verify, ForbiddenIsTheStoresErrorAndNoProofOfAbsence) {
  const auto [work, cause, error] = failure_after({replied(403)});
  EXPECT_EQ(cause, "verify");
  EXPECT_EQ(error.klass, ErrorClass::store);
  EXPECT_EQ(error.status, 403);
}

TEST(Verify, NoReplyAndServerErrorsAreTransient) {
  for (const HttpReply& reply : {timed_out(), replied(500), replied(502), replied(200 /* without a size */)}) {
    const S3Error error = failure_after({reply}).error;
    EXPECT_EQ(error.klass, ErrorClass::transient) << error.describe();
  }
  EXPECT_EQ(failure_after({replied(503)}).error.klass, ErrorClass::throttled);
  EXPECT_EQ(failure_after({unreachable()}).error.klass, ErrorClass::store);
}

TEST(Verify, AFailureIsNoAnswerOfTheStore) {
  for (const HttpReply& reply : {timed_out(), replied(500), replied(403), unreachable()}) {
    ScriptedErrand errand;
    errand.answer(reply);
    verify(errand, pending());
    errand.run();
    EXPECT_EQ(errand.answers, 0);
    EXPECT_EQ(errand.failures.size(), 1u);
  }
}

TEST(Verify, AnyKeyIsAskedForAsItIs) {
  for (const std::string& key : key_corpus()) {
    ScriptedErrand errand;
    errand.answer(head_reply(1, "\"e\""));
    verify(errand, pending(key));
    errand.run();
    EXPECT_EQ(errand.result().key, key);
  }
}

TEST(Look, AVersionIsLookedAtByItsId) {
  ScriptedErrand errand;
  errand.bucket_known = true;
  errand.answer(replied(404));
  bool proved_absent = false;
  look(
      errand, "k", "v/1", [&](const Sight& sight) { proved_absent = !sight; }, [](const S3Error&) { FAIL(); });
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("HEAD /docs/k?versionId=v%2F1"));
  EXPECT_TRUE(proved_absent);
}

}  // namespace
}  // namespace objectlink
