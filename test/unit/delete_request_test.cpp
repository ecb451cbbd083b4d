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

// What the store is proved to do.

std::vector<Work> numbered(int count, const std::string& version_id = {}) {
  std::vector<Work> works;
  for (int i = 0; i < count; ++i) works.push_back(deleting("k" + std::to_string(1000 + i), version_id));
  return works;
}
std::string all_deleted(const std::vector<Work>& works) {
  std::string entries;
  for (const Work& work : works) entries += deleted(work.key);
  return entries;
}
std::string listing(const std::string& inside) { return "<ListBucketResult>" + inside + "</ListBucketResult>"; }

TEST(ProofByListing, OnePageProvesABatch) {
  ScriptedErrand errand;
  errand.store_traits.capabilities.list_order = Support::yes;
  errand.store_traits.prefix = "k";
  errand.answer(delete_result(all_deleted(numbered(40))));
  errand.answer(replied(200, listing("<IsTruncated>false</IsTruncated>")));
  delete_issued(errand, numbered(40));
  errand.run();
  EXPECT_THAT(errand.transcript(),
              ElementsAre("POST /docs/?delete=",
                          "GET /docs/?encoding-type=url&list-type=2&max-keys=1000&prefix=k&start-after=k100%2F~"));
  ASSERT_EQ(errand.results.size(), 40u);
  for (const Result& result : errand.results) {
    EXPECT_EQ(result.outcome, Outcome::gone);
    EXPECT_EQ(result.proof, "listing");
    EXPECT_EQ(result.request_id, "tx-many");
  }
}

TEST(ProofByListing, IsNotTriedWhereTheOrderIsNotProvedOrKeysAreFew) {
  for (const auto& [count, order] : {std::pair{40, Support::unknown}, {40, Support::no}, {31, Support::yes}}) {
    ScriptedErrand errand;
    errand.store_traits.capabilities.list_order = order;
    errand.answer(delete_result(all_deleted(numbered(count))));
    for (int i = 0; i < count; ++i) errand.answer(replied(404));
    delete_issued(errand, numbered(count));
    errand.run();
    EXPECT_EQ(errand.results.size(), static_cast<std::size_t>(count));
    EXPECT_EQ(errand.results.front().proof, "HEAD 404");
  }
}

TEST(ProofByListing, AFailedListingLeavesEveryKeyToALookAndTheStoreWell) {
  for (const HttpReply& reply : {timed_out(), unreachable(), replied(403, error_xml("AccessDenied")), replied(500),
                                 replied(200, "<html/>"), replied(200, listing("<IsTruncated>true</IsTruncated>"))}) {
    ScriptedErrand errand;
    errand.store_traits.capabilities.list_order = Support::yes;
    errand.answer(delete_result(all_deleted(numbered(40))));
    errand.answer(reply);
    for (int i = 0; i < 40; ++i) errand.answer(replied(404));
    delete_issued(errand, numbered(40));
    errand.run();
    EXPECT_EQ(errand.results.size(), 40u);
    EXPECT_TRUE(errand.failures.empty());
  }
}

TEST(ProofByListing, WhatItShowsIsLookedForAndStillThere) {
  ScriptedErrand errand;
  errand.store_traits.capabilities.list_order = Support::yes;
  errand.answer(delete_result(all_deleted(numbered(40))));
  errand.answer(
      replied(200, listing("<IsTruncated>false</IsTruncated><Contents><Key>k1007</Key><Size>1</Size></Contents>")));
  errand.answer(head_reply(1, "\"e\""));
  delete_issued(errand, numbered(40));
  errand.run();
  EXPECT_EQ(errand.results.size(), 39u);
  ASSERT_EQ(errand.failures.size(), 1u);
  EXPECT_EQ(errand.failures[0].work.key, "k1007");
  EXPECT_EQ(errand.failures[0].error.code, "StillThere");
}

TEST(ProofByListing, EachPageBeginsWhereTheOneBeforeEndedAndPoorOnesEndIt) {
  ScriptedErrand errand;
  errand.store_traits.capabilities.list_order = Support::yes;
  errand.answer(delete_result(all_deleted(numbered(100))));
  const std::string goes_on = "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>";
  errand.answer(replied(200, listing(goes_on + "<Contents><Key>k1039+</Key><Size>1</Size></Contents>")));
  errand.answer(
      replied(200, listing(goes_on + "<Contents><Key>k1049+</Key><Size>1</Size></Contents>")));  // 10 more only
  for (int i = 0; i < 50; ++i) errand.answer(replied(404));
  delete_issued(errand, numbered(100));
  errand.run();
  EXPECT_THAT(errand.transcript().at(2), testing::EndsWith("start-after=k104%2F~"));
  EXPECT_EQ(errand.results.size(), 100u);
}

Capabilities conditional(bool together) {
  Capabilities capabilities;
  capabilities.conditional_delete = Support::yes;
  capabilities.conditional_multi_delete = together ? Support::yes : Support::no;
  return capabilities;
}

Work with_etag(std::string key, std::string etag) {
  Work work = deleting(std::move(key));
  work.etag = std::move(etag);
  work.verified = true;
  return work;
}

TEST(ConditionalDelete, NamesTheRecordedETagAsTheStoreTakesIt) {
  for (const bool bare : {false, true}) {
    ScriptedErrand errand;
    errand.store_traits.capabilities = conditional(true);
    errand.store_traits.capabilities.bare_etag = bare;
    errand.answer(replied(204));
    errand.answer(replied(404));
    delete_issued(errand, {with_etag("k", "\"e\"")});
    errand.run();
    EXPECT_EQ(ScriptedErrand::header(errand.sent.at(0), "if-match"), bare ? "e" : "\"e\"");
    EXPECT_EQ(errand.result().outcome, Outcome::gone);
  }
}

TEST(ConditionalDelete, IsNotTriedWhereItIsNotProvedOrNothingIsKnown) {
  for (const auto& [support, etag] :
       {std::pair{Support::no, "\"e\""}, {Support::unknown, "\"e\""}, {Support::yes, ""}}) {
    ScriptedErrand errand;
    errand.store_traits.capabilities.conditional_delete = support;
    errand.answer(replied(204));
    errand.answer(replied(404));
    delete_issued(errand, {with_etag("k", etag)});
    errand.run();
    EXPECT_EQ(ScriptedErrand::header(errand.sent.at(0), "if-match"), "(none)");
  }
}

TEST(ConditionalDelete, SomebodyElsesObjectStaysAndShows) {
  ScriptedErrand errand;
  errand.store_traits.capabilities = conditional(true);
  errand.answer(replied(412, error_xml("PreconditionFailed")));
  errand.answer(head_reply(4, "\"other\""));
  delete_issued(errand, {with_etag("k", "\"e\"")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("DELETE /docs/k", "HEAD /docs/k"));
  EXPECT_EQ(errand.failure().error.code, "ObjectReplaced");
  EXPECT_EQ(errand.failure().error.klass, ErrorClass::object);
  EXPECT_FALSE(errand.failure().error.outcome_unknown);
}

TEST(ConditionalDelete, AStoreThatContradictsItselfIsAskedAgain) {
  ScriptedErrand errand;
  errand.store_traits.capabilities = conditional(true);
  errand.answer(replied(412, error_xml("PreconditionFailed")));
  errand.answer(head_reply(4, "\"e\""));
  delete_issued(errand, {with_etag("k", "\"e\"")});
  errand.run();
  EXPECT_EQ(errand.failure().error.klass, ErrorClass::conflict);
}

TEST(ConditionalDelete, WhatIsNotThereAnyMoreIsGone) {
  ScriptedErrand errand;
  errand.store_traits.capabilities = conditional(true);
  errand.answer(replied(412, error_xml("PreconditionFailed")));
  errand.answer(replied(404));
  delete_issued(errand, {with_etag("k", "\"e\"")});
  errand.run();
  EXPECT_EQ(errand.result().outcome, Outcome::gone);
}

TEST(ConditionalDelete, ARefusalWithoutOurConditionIsNoReplacement) {
  ScriptedErrand errand;
  errand.answer(replied(412, error_xml("PreconditionFailed")));
  delete_issued(errand, {with_etag("k", "\"e\"")});
  errand.run();
  EXPECT_EQ(errand.failure().error.klass, ErrorClass::conflict);
}

TEST(ConditionalDelete, ABatchNamesEachETagOnlyWhereThatIsProved) {
  ScriptedErrand together;
  together.store_traits.capabilities = conditional(true);
  together.answer(delete_result(deleted("a") + refused("b", "PreconditionFailed")));
  together.answer(head_reply(4, "\"other\""));
  together.answer(replied(404));
  delete_issued(together, {with_etag("a", "\"1\""), with_etag("b", "\"2\"")});
  together.run();
  EXPECT_THAT(*together.sent.at(0).body, HasSubstr("<Key>b</Key><ETag>\"2\"</ETag>"));
  ASSERT_EQ(together.failures.size(), 1u);
  EXPECT_EQ(together.failures[0].error.code, "ObjectReplaced");
  EXPECT_THAT(keys(together.results), ElementsAre("a"));

  ScriptedErrand singly;
  singly.store_traits.capabilities = conditional(false);
  for (int i = 0; i < 2; ++i) singly.answer(replied(204));
  for (int i = 0; i < 2; ++i) singly.answer(replied(404));
  delete_issued(singly, {with_etag("a", "\"1\""), with_etag("b", "\"2\"")});
  singly.run();
  EXPECT_THAT(singly.transcript(), ElementsAre("DELETE /docs/a", "DELETE /docs/b", "HEAD /docs/a", "HEAD /docs/b"));
}

TEST(DeleteMany, GoesSinglyWhereTheStoreCanNot) {
  ScriptedErrand errand;
  errand.store_traits.capabilities.multi_delete = Support::no;
  for (int i = 0; i < 2; ++i) errand.answer(replied(204));
  for (int i = 0; i < 2; ++i) errand.answer(replied(404));
  delete_issued(errand, {deleting("a"), deleting("b")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("DELETE /docs/a", "DELETE /docs/b", "HEAD /docs/a", "HEAD /docs/b"));
}

// Versioned buckets.

const std::string list_k = "GET /docs/?encoding-type=url&max-keys=1000&prefix=k&versions=";
HttpReply versions_listed(const std::string& inside, bool truncated = false) {
  return replied(200, std::string("<ListVersionsResult><IsTruncated>") + (truncated ? "true" : "false") +
                          "</IsTruncated>" + inside + "</ListVersionsResult>");
}
std::string listed(const std::string& key, const std::string& id, const std::string& etag = "e") {
  return "<Version><Key>" + key + "</Key><VersionId>" + id + "</VersionId><ETag>\"" + etag +
         "\"</ETag><Size>4</Size></Version>";
}
std::string listed_marker(const std::string& key, const std::string& id) {
  return "<DeleteMarker><Key>" + key + "</Key><VersionId>" + id + "</VersionId></DeleteMarker>";
}

class Versioned : public testing::Test {
 protected:
  Versioned() { errand.store_traits.capabilities.versioning = Versioning::enabled; }
  ~Versioned() override = default;
  ScriptedErrand errand;
};

TEST_F(Versioned, TheVersionIsDeletedListedAndLookedFor) {
  errand.answer(replied(204));
  errand.answer(versions_listed(listed("k", "v0") + listed("kk", "v1")));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("k", "v1")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("DELETE /docs/k?versionId=v1", list_k, "HEAD /docs/k?versionId=v1"));
  EXPECT_EQ(errand.result().proof, "version listing");
  EXPECT_EQ(errand.result().versions_left, 1);
}

TEST_F(Versioned, OneThatIsStillListedIsNotGone) {
  for (int round = 0; round < 5; ++round) {
    errand.answer(replied(204));
    errand.answer(versions_listed(listed("k", "v1")));
  }
  delete_issued(errand, {deleting("k", "v1")});
  errand.run();
  EXPECT_EQ(errand.failure().error.code, "StillThere");
}

TEST_F(Versioned, OneThatIsNotListedButThereIsNotGone) {
  errand.answer(replied(204));
  errand.answer(versions_listed(""));
  errand.answer(head_reply(4, "\"e\""));
  delete_issued(errand, {deleting("k", "v1")});
  errand.run();
  EXPECT_EQ(errand.failure().error.code, "StillThere");
}

TEST_F(Versioned, MarkersThatAreLeftAloneGo) {
  errand.answer(replied(204));
  errand.answer(versions_listed(listed_marker("k", "m1") + listed_marker("kk", "m2")));
  errand.answer(replied(204));
  errand.answer(versions_listed(listed_marker("kk", "m2")));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("k", "v1")});
  errand.run();
  EXPECT_EQ(errand.transcript().at(2), "DELETE /docs/k?versionId=m1");
  EXPECT_EQ(errand.result().versions_left, 0);
}

TEST_F(Versioned, AnUnknownVersionIsWrittenDownBeforeItIsDeleted) {
  errand.answer(versions_listed(listed("k", "v2") + listed("k", "v1")));
  delete_issued(errand, {with_etag("k", "\"e\"")});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre(list_k));
  EXPECT_EQ(errand.result().outcome, Outcome::retry);
  EXPECT_EQ(errand.result().version_id, "v2");
  EXPECT_FALSE(errand.result().counted);
}

TEST_F(Versioned, ARefusedListingIsNoProofOfWhatIsNotKnown) {
  errand.answer(replied(403, error_xml("AccessDenied")));
  delete_issued(errand, {with_etag("k", "\"e\"")});
  errand.run();
  EXPECT_EQ(errand.failure().error.code, "VersionsNotListed");
  EXPECT_EQ(errand.failure().error.klass, ErrorClass::object);
}

TEST_F(Versioned, AKeyWithMoreVersionsThanAreLookedThroughIsNotCalledGone) {
  for (int page = 0; page < 10; ++page)
    errand.answer(versions_listed(listed("k", "x" + std::to_string(page), "other"), true));
  delete_issued(errand, {with_etag("k", "\"e\"")});
  errand.run();
  EXPECT_EQ(errand.failure().error.code, "TooManyVersions");
  EXPECT_THAT(errand.transcript().at(1), HasSubstr("key-marker=k&max-keys=1000&prefix=k&version-id-marker=x0"));
}

TEST_F(Versioned, AllGoWhereTheServerSaysSo) {
  errand.store_traits.delete_all_versions = true;
  errand.answer(replied(204));
  errand.answer(versions_listed(listed_marker("k", "m") + listed("k", "v0") + listed("kk", "other")));
  errand.answer(replied(204));
  errand.answer(replied(204));
  errand.answer(versions_listed(listed("kk", "other")));
  errand.answer(replied(404));
  delete_issued(errand, {deleting("k", "v1")});
  errand.run();
  EXPECT_THAT(errand.transcript(), testing::Not(testing::Contains(HasSubstr("other"))));
  EXPECT_EQ(errand.result().versions_left, 0);
}

TEST_F(Versioned, ALostReplyLeavesTheOutcomeOpen) {
  errand.answer(timed_out());
  delete_issued(errand, {deleting("k", "v1")});
  errand.run();
  EXPECT_TRUE(errand.failure().error.outcome_unknown);
}

TEST_F(Versioned, AFailedLookAfterwardsDoesNot) {
  errand.answer(replied(204));
  errand.answer(timed_out());
  delete_issued(errand, {deleting("k", "v1")});
  errand.run();
  EXPECT_FALSE(errand.failure().error.outcome_unknown);
}

TEST_F(Versioned, ABatchIsProvedByAListingOfVersions) {
  errand.store_traits.capabilities.list_order = Support::yes;
  errand.answer(delete_result(all_deleted(numbered(40, "v"))));
  errand.answer(versions_listed(listed("k1003", "older") + listed("other", "x")));
  errand.answer(versions_listed(listed("k1003", "older")));  // of that key alone
  errand.answer(replied(404));
  delete_issued(errand, numbered(40, "v"));
  errand.run();
  ASSERT_EQ(errand.results.size(), 40u);
  for (const Result& result : errand.results) {
    EXPECT_EQ(result.proof, "version listing");
    EXPECT_EQ(result.versions_left.value_or(0), result.key == "k1003" ? 1 : 0);
  }
}

TEST(BecameVersioned, AMarkerIsNoDeletion) {
  for (const bool many : {false, true}) {
    ScriptedErrand errand;
    if (many)
      errand.answer(
          delete_result("<Deleted><Key>k</Key><DeleteMarker>true</DeleteMarker><DeleteMarkerVersionId>m</"
                        "DeleteMarkerVersionId></Deleted>" +
                        deleted("l")));
    else
      errand.answer(replied(204, {}, {{"x-amz-delete-marker", "true"}, {"x-amz-version-id", "m"}}));
    errand.answer(replied(204));            // our marker
    if (many) errand.answer(replied(404));  // the look for the other
    errand.answer(versions_listed(listed("k", "null")));
    std::vector<Work> works{with_etag("k", "\"e\"")};
    if (many) works.push_back(deleting("l"));
    delete_issued(errand, std::move(works));
    errand.run();
    EXPECT_EQ(errand.transcript().at(1), "DELETE /docs/k?versionId=m");
    ASSERT_FALSE(errand.results.empty());
    EXPECT_EQ(errand.results.back().key, "k");
    EXPECT_EQ(errand.results.back().outcome, Outcome::retry);
    EXPECT_EQ(errand.results.back().version_id, "null");
  }
}

// Looked at once more, because an upload may have arrived after its deletion.

Work watched() {
  Work work = deleting("k");
  work.sha256 = sha256("ours");
  return work;
}

TEST(DeleteWatched, OnlyWhatCarriesOurDigestIsDeleted) {
  ScriptedErrand foreign;
  foreign.answer(head_reply(4, "\"e\""));
  delete_issued(foreign, {watched()});
  foreign.run();
  EXPECT_THAT(foreign.transcript(), ElementsAre("HEAD /docs/k"));
  EXPECT_EQ(foreign.result().outcome, Outcome::gone);
  EXPECT_EQ(foreign.result().error->code, "ObjectExists");

  ScriptedErrand ours;
  ours.answer(head_reply(4, "\"e\"", {{std::string(sha256_metadata_header), hex(sha256("ours"))}}));
  ours.answer(replied(204));
  ours.answer(replied(404));
  delete_issued(ours, {watched()});
  ours.run();
  EXPECT_THAT(ours.transcript(), ElementsAre("HEAD /docs/k", "DELETE /docs/k", "HEAD /docs/k"));
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
  return replied(200, {},
                 {{"content-length", std::to_string(content.size())}, {"etag", '"' + hex(md5(content)) + '"'}});
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
