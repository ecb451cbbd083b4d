// Goal: an object counts as gone only if the store confirmed its deletion and then showed that it is not there.
// Method: a scripted store; batches, single requests, and every way their replies and the look afterwards can fail.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "remove.hpp"
#include "scripted_errand.hpp"

namespace objectlink {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

Work deleting(std::string key, std::string version_id = {}, int attempts = 0) {
  Work work;
  work.key = std::move(key);
  work.state = "deleting";
  work.version_id = std::move(version_id);
  work.attempts = attempts;
  work.issued = true;
  return work;
}

HttpReply delete_result(const std::string& inside) {
  return replied(200, "<DeleteResult>" + inside + "</DeleteResult>", {{"x-amz-request-id", "tx-many"}});
}
std::string deleted(const std::string& key) { return "<Deleted><Key>" + key + "</Key></Deleted>"; }
std::string refused(const std::string& key, const std::string& code) {
  return "<Error><Key>" + key + "</Key><Code>" + code + "</Code><Message>words</Message></Error>";
}

std::vector<std::string> keys(const std::vector<Result>& results) {
  std::vector<std::string> all;
  for (const Result& result : results) all.push_back(result.key);
  return all;
}

ScriptedErrand::Failure failure_of_one(std::vector<HttpReply> replies) {
  ScriptedErrand errand;
  for (HttpReply& reply : replies) errand.answer(std::move(reply));
  delete_issued(errand, {deleting("k")});
  errand.run();
  EXPECT_EQ(errand.failure().work.key, "k");
  EXPECT_EQ(errand.failure().cause, "delete");
  return errand.failure();
}

TEST(DeleteOne, ASingleKeyTakesADeleteAndALook) {
  ScriptedErrand errand;
  errand.answer(replied(204, {}, {{"x-amz-request-id", "tx"}}));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("a b", {}, 3)});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("DELETE /docs/a%20b", "HEAD /docs/a%20b"));
  const Result result = errand.result();
  EXPECT_EQ(result.key, "a b");
  EXPECT_EQ(result.state, "deleting");
  EXPECT_EQ(result.attempts, 3);
  EXPECT_EQ(result.outcome, Outcome::gone);
  EXPECT_STREQ(result.cause, "delete");
  EXPECT_EQ(result.request_id, "tx");
  EXPECT_EQ(result.proof, "HEAD 404");
}

TEST(DeleteOne, AKeyThatWasMissingIsGoneAllTheSame) {
  ScriptedErrand errand;
  errand.answer(replied(404, error_xml("NoSuchKey")));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("k")});
  errand.run();
  EXPECT_EQ(errand.result().outcome, Outcome::gone);
}

TEST(DeleteOne, AMissingBucketIsNoMissingKey) {
  EXPECT_EQ(failure_of_one({replied(404, error_xml("NoSuchBucket"))}).error.klass, ErrorClass::store);
  EXPECT_EQ(failure_of_one({replied(404)}).error.klass, ErrorClass::store);
}

TEST(DeleteOne, ThatVersionIsDeletedAndLookedFor) {
  ScriptedErrand errand;
  errand.answer(replied(204));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("k", "v1")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("DELETE /docs/k?versionId=v1", "HEAD /docs/k?versionId=v1"));
  EXPECT_EQ(errand.result().outcome, Outcome::gone);
}

TEST(DeleteOne, WhatIsStillThereIsNotGone) {
  const S3Error error = failure_of_one({replied(204), head_reply(7, "\"e\"", {{"x-amz-request-id", "tx-look"}})}).error;
  EXPECT_EQ(error.code, "StillThere");
  EXPECT_EQ(error.klass, ErrorClass::transient);
  EXPECT_EQ(error.request_id, "tx-look");
  EXPECT_FALSE(error.outcome_unknown);
}

TEST(DeleteOne, ALookThatShowsNothingIsNoProof) {
  EXPECT_EQ(failure_of_one({replied(204), replied(403)}).error.klass, ErrorClass::store);
  EXPECT_EQ(failure_of_one({replied(204), replied(500)}).error.klass, ErrorClass::transient);
  EXPECT_EQ(failure_of_one({replied(204), timed_out()}).error.code, "Timeout");
  EXPECT_EQ(failure_of_one({replied(204), unreachable()}).error.klass, ErrorClass::store);
}

TEST(DeleteOne, AfterAConfirmedDeletionNoRequestIsLeftInDoubt) {
  // Else its key would be refused for as long as a signature lives, for nothing.
  for (const HttpReply& look : {timed_out(), replied(500)})
    EXPECT_FALSE(failure_of_one({replied(204), look}).error.outcome_unknown);
}

TEST(DeleteOne, ALostReplyLeavesTheOutcomeOpenAndIsNotRepeated) {
  for (const HttpReply& reply :
       {timed_out(), lost(HttpReply::Outcome::unknown, HttpFailure::cut), replied(500), replied(202)}) {
    const S3Error error = failure_of_one({reply}).error;
    EXPECT_TRUE(error.outcome_unknown) << error.describe();
    EXPECT_EQ(error.klass, ErrorClass::transient);
  }
}

TEST(DeleteOne, WhatWasNeverSentIsNotInDoubt) {
  EXPECT_FALSE(failure_of_one({unreachable()}).error.outcome_unknown);
  const S3Error late = failure_of_one({too_late()}).error;
  EXPECT_FALSE(late.outcome_unknown);
  EXPECT_EQ(late.code, "NotSentInTime");
}

TEST(DeleteOne, TheStoreIsOnlyWellIfItDeleted) {
  ScriptedErrand errand;
  errand.answer(replied(403, error_xml("AccessDenied")));
  delete_issued(errand, {deleting("k")});
  errand.run();
  EXPECT_EQ(errand.answers, 0);
  EXPECT_EQ(errand.failure().error.code, "AccessDenied");
}

TEST(DeleteMany, OneRequestDeletesAllAndEachIsLookedFor) {
  ScriptedErrand errand;
  errand.answer(delete_result(deleted("a") + deleted("b")));
  errand.answer(replied(404));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("a"), deleting("b")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("POST /docs/?delete=", "HEAD /docs/a", "HEAD /docs/b"));
  EXPECT_THAT(keys(errand.results), UnorderedElementsAre("a", "b"));
  for (const Result& result : errand.results) {
    EXPECT_EQ(result.outcome, Outcome::gone);
    EXPECT_EQ(result.request_id, "tx-many");
  }
  EXPECT_TRUE(errand.failures.empty());
}

TEST(DeleteMany, VersionsAreNamedInTheRequestAndInTheLook) {
  ScriptedErrand errand;
  errand.answer(delete_result("<Deleted><Key>a</Key><VersionId>v1</VersionId></Deleted>" + deleted("b")));
  errand.answer(replied(404));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("a", "v1"), deleting("b")});
  errand.run();
  EXPECT_THAT(*errand.sent.at(0).body,
              HasSubstr("<Object><Key>a</Key><VersionId>v1</VersionId></Object><Object><Key>b</Key></Object>"));
  EXPECT_THAT(errand.transcript(), ElementsAre("POST /docs/?delete=", "HEAD /docs/a?versionId=v1", "HEAD /docs/b"));
  EXPECT_EQ(errand.results.size(), 2u);
}

TEST(DeleteMany, AnErrorOfOneKeySaysNothingOfTheOthers) {
  ScriptedErrand errand;
  errand.answer(delete_result(deleted("a") + refused("b", "AccessDenied") + refused("c", "SlowDown") +
                              refused("d", "NoSuchKey")));
  errand.answer(replied(404));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("a"), deleting("b"), deleting("c"), deleting("d")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("POST /docs/?delete=", "HEAD /docs/a", "HEAD /docs/d"));
  EXPECT_THAT(keys(errand.results), UnorderedElementsAre("a", "d"));
  ASSERT_EQ(errand.failures.size(), 2u);
  EXPECT_EQ(errand.failures[0].work.key, "b");
  EXPECT_EQ(errand.failures[0].error.klass, ErrorClass::store);
  EXPECT_EQ(errand.failures[1].work.key, "c");
  EXPECT_EQ(errand.failures[1].error.klass, ErrorClass::throttled);
  for (const auto& failure : errand.failures) EXPECT_FALSE(failure.error.outcome_unknown);
}

TEST(DeleteMany, AKeyThatTheReplyDoesNotMentionIsUnknown) {
  ScriptedErrand errand;
  errand.answer(delete_result(deleted("a") + deleted("x")));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("a"), deleting("b")});
  errand.run();
  EXPECT_THAT(keys(errand.results), ElementsAre("a"));
  ASSERT_EQ(errand.failures.size(), 1u);
  EXPECT_EQ(errand.failures[0].work.key, "b");
  EXPECT_EQ(errand.failures[0].error.code, "NotMentioned");
  EXPECT_TRUE(errand.failures[0].error.outcome_unknown);
}

TEST(DeleteMany, WhatIsStillThereIsNotGone) {
  ScriptedErrand errand;
  errand.answer(delete_result(deleted("a") + deleted("b")));
  errand.answer(head_reply(1, "\"e\""));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("a"), deleting("b")});
  errand.run();
  EXPECT_THAT(keys(errand.results), ElementsAre("b"));
  ASSERT_EQ(errand.failures.size(), 1u);
  EXPECT_EQ(errand.failures[0].work.key, "a");
  EXPECT_EQ(errand.failures[0].error.code, "StillThere");
}

TEST(DeleteMany, AReplyThatProvesNothingLeavesEveryKeyInDoubt) {
  for (const HttpReply& reply :
       {timed_out(), replied(500, error_xml("InternalError")), replied(200, error_xml("InternalError")),
        replied(200, "<DeleteResult><Deleted><Key>a</Key>"), replied(200, "<html/>"), replied(200)}) {
    ScriptedErrand errand;
    errand.answer(reply);
    delete_issued(errand, {deleting("a"), deleting("b")});
    errand.run();
    EXPECT_TRUE(errand.results.empty());
    ASSERT_EQ(errand.failures.size(), 2u);
    for (const auto& [work, cause, error] : errand.failures) {
      EXPECT_EQ(cause, "delete");
      EXPECT_TRUE(error.outcome_unknown) << error.describe();
    }
    EXPECT_EQ(errand.answers, 0);
  }
}

TEST(DeleteMany, ARefusalOfTheWholeRequestIsTheStores) {
  for (const HttpReply& reply : {replied(403, error_xml("AccessDenied")), replied(404, error_xml("NoSuchBucket")),
                                 replied(501, error_xml("NotImplemented"))}) {
    ScriptedErrand errand;
    errand.answer(reply);
    delete_issued(errand, {deleting("a"), deleting("b")});
    errand.run();
    ASSERT_EQ(errand.failures.size(), 2u);
    for (const auto& failure : errand.failures) {
      EXPECT_EQ(failure.error.klass, ErrorClass::store);
      EXPECT_FALSE(failure.error.outcome_unknown);
    }
  }
}

TEST(DeleteMany, KeysThatXmlMightChangeAreDeletedSingly) {
  for (const std::string& unsafe :
       {std::string("b\x01"), std::string("b\n"), std::string("b "), std::string("b\xef\xbf\xbf")}) {
    ScriptedErrand errand;
    errand.answer(replied(204));  // the unsafe key's DELETE
    errand.answer(delete_result(deleted("a") + deleted("c")));
    for (int i = 0; i < 3; ++i) errand.answer(replied(404));
    delete_issued(errand, {deleting("a"), deleting(unsafe), deleting("c")});
    errand.run();
    EXPECT_THAT(errand.transcript().at(0), testing::StartsWith("DELETE /docs/b%"));
    EXPECT_EQ(errand.transcript().at(1), "POST /docs/?delete=");
    EXPECT_THAT(*errand.sent.at(1).body, Not(HasSubstr("<Key>b")));
    EXPECT_THAT(keys(errand.results), UnorderedElementsAre("a", unsafe, "c"));
  }
}

TEST(DeleteMany, AKeyThatFailedBeforeIsDeletedSingly) {
  ScriptedErrand errand;
  errand.answer(replied(403, error_xml("AccessDenied")));
  errand.answer(delete_result(deleted("a") + deleted("c")));
  errand.answer(replied(404));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("a"), deleting("b", {}, 1), deleting("c")});
  errand.run();
  EXPECT_THAT(errand.transcript(),
              ElementsAre("DELETE /docs/b", "POST /docs/?delete=", "HEAD /docs/a", "HEAD /docs/c"));
  EXPECT_THAT(keys(errand.results), UnorderedElementsAre("a", "c"));
  ASSERT_EQ(errand.failures.size(), 1u);
  EXPECT_EQ(errand.failures[0].work.key, "b");
}

TEST(DeleteMany, TheOnlyOneLeftForABatchNeedsNone) {
  ScriptedErrand errand;
  for (int i = 0; i < 2; ++i) errand.answer(replied(204));
  for (int i = 0; i < 2; ++i) errand.answer(replied(404));
  delete_issued(errand, {deleting("a"), deleting("b\x01")});
  errand.run();
  EXPECT_THAT(errand.transcript(),
              ElementsAre("DELETE /docs/b%01", "DELETE /docs/a", "HEAD /docs/b%01", "HEAD /docs/a"));
}

TEST(DeleteMany, AFullBatchGoesInOneRequest) {
  ScriptedErrand errand;
  std::vector<Work> issued;
  std::string all;
  for (std::size_t i = 0; i < Removal::batch_max; ++i) {
    issued.push_back(deleting("k" + std::to_string(i)));
    all += deleted(issued.back().key);
  }
  errand.answer(delete_result(all));
  for (std::size_t i = 0; i < Removal::batch_max; ++i) errand.answer(replied(404));
  delete_issued(errand, std::move(issued));
  errand.run();
  EXPECT_EQ(errand.results.size(), Removal::batch_max);
  EXPECT_EQ(errand.sent.size(), Removal::batch_max + 1);
}

TEST(DeleteMany, NothingToDeleteSendsNothing) {
  ScriptedErrand errand;
  delete_issued(errand, {});
  errand.run();
  EXPECT_TRUE(errand.sent.empty());
}

// Content that waits for an upload which was never proved, under a key that the caller chose.
Work unproved(const std::string& content, bool chosen_key = true) {
  Work work = deleting("k");
  Payload& payload = work.payload.emplace();
  payload.size = std::ssize(content);
  payload.sha256 = sha256(content);
  payload.md5 = md5(content);
  payload.chosen_key = chosen_key;
  return work;
}

HttpReply sight(const std::string& content) {
  return replied(200, {}, {{"content-length", std::to_string(content.size())}, {"etag", '"' + hex(md5(content)) + '"'}});
}

TEST(DeleteUnproved, SomebodyElsesObjectIsLeft) {
  for (const std::string& foreign : {std::string("theirs"), std::string("ours?"), std::string()}) {
    ScriptedErrand errand;
    errand.answer(sight(foreign));
    delete_issued(errand, {unproved("ours!")});
    errand.run();
    EXPECT_THAT(errand.transcript(), ElementsAre("HEAD /docs/k"));
    EXPECT_EQ(errand.result().outcome, Outcome::gone);
    EXPECT_EQ(errand.result().error->code, "ObjectExists");
    EXPECT_EQ(errand.result().proof, "");
  }
}

TEST(DeleteUnproved, OurOwnIsDeleted) {
  ScriptedErrand errand;
  errand.answer(sight("ours!"));
  errand.answer(replied(204));
  errand.answer(replied(404));
  delete_issued(errand, {unproved("ours!")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("HEAD /docs/k", "DELETE /docs/k", "HEAD /docs/k"));
  EXPECT_EQ(errand.result().outcome, Outcome::gone);
  EXPECT_FALSE(errand.result().error);
}

TEST(DeleteUnproved, NothingThereIsGone) {
  ScriptedErrand errand;
  errand.answer(replied(404));
  errand.answer(replied(200));
  delete_issued(errand, {unproved("ours!")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("HEAD /docs/k", "HEAD /docs/"));
  EXPECT_EQ(errand.result().outcome, Outcome::gone);
  EXPECT_EQ(errand.result().proof, "HEAD 404");
  EXPECT_FALSE(errand.result().error);
}

TEST(DeleteUnproved, AFailedLookDecidesNothing) {
  ScriptedErrand errand;
  errand.answer(replied(500));
  delete_issued(errand, {unproved("ours!")});
  errand.run();
  EXPECT_FALSE(errand.failure().error.outcome_unknown);
}

TEST(DeleteUnproved, AKeyThatWeMadeIsOurs) {
  ScriptedErrand errand;
  errand.answer(replied(204));
  errand.answer(replied(404));
  delete_issued(errand, {unproved("ours!", false)});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("DELETE /docs/k", "HEAD /docs/k"));
}

}  // namespace
}  // namespace objectlink
