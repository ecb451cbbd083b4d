// Goal: content counts as stored only where the store proved that it holds it, and nothing else is ever overwritten.
// Method: a scripted store; uploads in one request. (In parts: multipart_upload_test.)
#include "upload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scripted_errand.hpp"
#include "upload_proof.hpp"

namespace objectlink {
namespace {

using testing::ElementsAre;

const std::string content = "hello world";
const std::string put_line = "PUT /docs/a%20b";
const std::string head_line = "HEAD /docs/a%20b";
const std::string other_etag = "\"00000000000000000000000000000000\"";  // as of an encrypted object

std::string quoted(const std::string& text) { return "\"" + text + "\""; }
std::string own_etag() { return quoted(hex(md5(content))); }
HttpReply put_reply(const std::string& etag, HttpHeaders more = {}) {
  if (!etag.empty()) more.emplace_back("etag", etag);
  return replied(200, {}, std::move(more));
}
HttpReply taken() { return replied(412, error_xml("PreconditionFailed")); }
std::pair<std::string, std::string> claimed(const std::string& bytes) {
  return {std::string(sha256_metadata_header), hex(sha256(bytes))};
}
std::pair<std::string, std::string> checksum(const std::string& bytes) {
  return {"x-amz-checksum-sha256", base64(sha256(bytes))};
}

Work waiting(const std::string& bytes = content, bool chosen_key = false) {
  Work work;
  work.key = "a b";
  work.state = "pending";
  work.attempts = 1;
  work.content_type = "text/plain";
  Payload& payload = work.payload.emplace();
  payload.size = std::ssize(bytes);
  payload.sha256 = sha256(bytes);
  payload.md5 = md5(bytes);
  payload.chosen_key = chosen_key;
  payload.content = std::make_shared<const std::string>(bytes);
  return work;
}

class Upload : public testing::Test {
 protected:
  void upload_with(std::vector<HttpReply> replies, Work work = waiting()) {
    for (HttpReply& reply : replies) errand_.answer(std::move(reply));
    upload(errand_, std::move(work), {});
    errand_.run();
  }
  S3Error error() const {
    EXPECT_EQ(errand_.failure().cause, "upload");
    EXPECT_EQ(errand_.failure().work.key, "a b");
    return errand_.failure().error;
  }
  void expect_stored() const {
    const Result result = errand_.result();
    EXPECT_EQ(result.outcome, Outcome::stored);
    EXPECT_STREQ(result.cause, "upload");
    EXPECT_EQ(result.key, "a b");
    EXPECT_EQ(result.attempts, 1);
    EXPECT_EQ(result.size, std::ssize(content));
    EXPECT_EQ(result.sha256_hex, hex(sha256(content)));
  }
  // Never tried again: it would fail for ever.
  void expect_conflict() const {
    EXPECT_EQ(error().klass, ErrorClass::object);
    EXPECT_EQ(error().code, "ObjectExists");
  }
  void expect_transcript(const std::vector<std::string>& lines) const { EXPECT_EQ(errand_.transcript(), lines); }

  ScriptedErrand errand_;
};

TEST_F(Upload, AnEtagThatIsItsMd5ProvesItWithoutASecondRequest) {
  upload_with({put_reply(own_etag(), {{"x-amz-version-id", "v1"}, {"x-amz-request-id", "tx"}})});
  expect_transcript({put_line});
  expect_stored();
  EXPECT_EQ(errand_.result().etag, own_etag());
  EXPECT_EQ(errand_.result().version_id, "v1");
  EXPECT_EQ(errand_.result().request_id, "tx");
  EXPECT_EQ(errand_.result().content_type, "text/plain");
  EXPECT_EQ(errand_.answers, 1);
}

TEST_F(Upload, TheRequestNeverOverwritesAndCarriesItsDigests) {
  upload_with({put_reply(own_etag())});
  const HttpRequest& put = errand_.sent.at(0);
  EXPECT_EQ(*put.body, content);
  EXPECT_EQ(ScriptedErrand::header(put, "if-none-match"), "*");
  EXPECT_EQ(ScriptedErrand::header(put, "content-md5"), base64(md5(content)));
  EXPECT_EQ(ScriptedErrand::header(put, "x-amz-content-sha256"), hex(sha256(content)));
  EXPECT_EQ(ScriptedErrand::header(put, std::string(sha256_metadata_header)), hex(sha256(content)));
  EXPECT_EQ(ScriptedErrand::header(put, "content-type"), "text/plain");
}

TEST_F(Upload, TheStoresOwnDigestProvesItToo) {
  upload_with({put_reply(other_etag, {checksum(content)})});
  expect_transcript({put_line});
  expect_stored();
}

TEST_F(Upload, ADigestOfOtherBytesOutweighsTheEtag) {
  upload_with(
      {put_reply(own_etag(), {checksum("other")}), head_reply(content.size(), own_etag(), {checksum("other")})});
  expect_transcript({put_line, head_line});
  expect_conflict();
}

TEST_F(Upload, AnyOtherEtagIsLookedAt) {
  for (const std::string& etag :
       {other_etag, std::string(), quoted("x"), own_etag() + "-1", quoted(hex(md5(content)) + "-1")}) {
    ScriptedErrand errand;
    errand.answer(put_reply(etag));
    errand.answer(head_reply(content.size(), etag, {{"content-type", "text/plain"}}));
    upload(errand, waiting(), {});
    errand.run();
    EXPECT_THAT(errand.transcript(), ElementsAre(put_line, head_line));
    // Accepted, checked on the way in, and there with its size.
    EXPECT_EQ(errand.result().outcome, Outcome::stored);
    EXPECT_EQ(errand.result().etag, etag);
    EXPECT_EQ(errand.result().sha256_hex, hex(sha256(content)));
  }
}

TEST_F(Upload, AnotherSizeIsOtherContent) {
  upload_with({put_reply(other_etag), head_reply(content.size() - 1, other_etag)});
  expect_conflict();
}

TEST_F(Upload, WhatIsNotThereAfterTheUploadIsTriedAgain) {
  upload_with({put_reply(other_etag), replied(404)});
  expect_transcript({put_line, head_line});  // the store has just answered: its bucket is known
  EXPECT_EQ(error().klass, ErrorClass::transient);
  EXPECT_EQ(error().code, "NoSuchKey");
}

TEST_F(Upload, ALookThatFailsProvesNothing) {
  for (const HttpReply& look : {timed_out(), replied(500), replied(403), unreachable()}) {
    ScriptedErrand errand;
    errand.answer(put_reply(other_etag));
    errand.answer(look);
    upload(errand, waiting(), {});
    errand.run();
    EXPECT_NE(errand.failure().error.klass, ErrorClass::object);
  }
}

TEST_F(Upload, AnEmptyObjectIsUploaded) {
  upload_with({put_reply(quoted(hex(md5(""))))}, waiting(""));
  EXPECT_EQ(*errand_.sent.at(0).body, "");
  EXPECT_EQ(errand_.result().size, 0);
}

// 412: somebody was there before. Our own earlier try, whose reply was lost, is the common case.

TEST_F(Upload, A412OfSomethingThatIsGoneAgainIsTriedAgain) {
  upload_with({taken(), replied(404), replied(200)});
  expect_transcript({put_line, head_line, "HEAD /docs/"});
  EXPECT_EQ(error().klass, ErrorClass::transient);
}

TEST_F(Upload, A412WithTheSameMd5IsStored) {
  errand_.bucket_known = true;
  upload_with({taken(), head_reply(content.size(), own_etag(), {{"x-amz-version-id", "v1"}})});
  expect_transcript({put_line, head_line});
  expect_stored();
  EXPECT_EQ(errand_.result().version_id, "v1");
}

TEST_F(Upload, A412WithTheStoresDigestOfItIsStored) {
  upload_with({taken(), head_reply(content.size(), other_etag, {checksum(content)})});
  expect_stored();
}

TEST_F(Upload, A412OfAnEncryptedObjectIsStoredWhereItsUploaderLeftTheDigest) {
  upload_with({taken(), head_reply(content.size(), other_etag, {claimed(content)})});
  expect_stored();
}

TEST_F(Upload, A412WithOtherContentFails) {
  errand_.bucket_known = true;
  upload_with({taken(), head_reply(content.size() + 1, own_etag(), {{"x-amz-request-id", "tx-look"}})});
  expect_conflict();
  EXPECT_EQ(error().status, 412);
  EXPECT_EQ(error().request_id, "tx-look");
}

TEST_F(Upload, A412WithAnotherDigestFails) {
  upload_with({taken(), head_reply(content.size(), own_etag(), {checksum("other")})});
  expect_conflict();
}

TEST_F(Upload, A412WithAnotherClaimFails) {
  upload_with({taken(), head_reply(content.size(), other_etag, {claimed("other")})});
  expect_conflict();
}

TEST_F(Upload, A412ThatNothingDecidesFails) {
  upload_with({taken(), head_reply(content.size(), other_etag)});
  expect_conflict();
}

TEST_F(Upload, A412WhoseLookFailsIsTriedAgain) {
  upload_with({taken(), timed_out()});
  EXPECT_EQ(error().klass, ErrorClass::transient);
}

TEST_F(Upload, ARaceIsTriedAgain) {
  upload_with({replied(409, error_xml("ConditionalRequestConflict"))});
  expect_transcript({put_line});
  EXPECT_EQ(error().klass, ErrorClass::conflict);
}

TEST_F(Upload, ALostReplyIsNotRepeatedAtOnceAndItsNextTryFindsItself) {
  upload_with({timed_out()});
  expect_transcript({put_line});
  EXPECT_EQ(error().klass, ErrorClass::transient);
  EXPECT_TRUE(error().outcome_unknown);
  EXPECT_EQ(errand_.answers, 0);
  errand_.failures.clear();
  upload_with({taken(), head_reply(content.size(), own_etag())});
  expect_transcript({put_line, put_line, head_line});
  expect_stored();
}

TEST_F(Upload, TheStoresErrorsAreHandedOn) {
  const std::pair<HttpReply, ErrorClass> cases[] = {{replied(403, error_xml("AccessDenied")), ErrorClass::store},
                                                    {replied(503, error_xml("SlowDown")), ErrorClass::throttled},
                                                    {replied(400, error_xml("KeyTooLongError")), ErrorClass::object},
                                                    {replied(400, error_xml("ExpiredToken")), ErrorClass::credentials},
                                                    {replied(404, error_xml("NoSuchBucket")), ErrorClass::store},
                                                    {replied(400, error_xml("BadDigest")), ErrorClass::transient},
                                                    {replied(204), ErrorClass::transient},
                                                    {too_late(), ErrorClass::transient},
                                                    {unreachable(), ErrorClass::store}};
  for (const auto& [reply, klass] : cases) {
    ScriptedErrand errand;
    errand.answer(reply);
    upload(errand, waiting(), {});
    errand.run();
    EXPECT_EQ(errand.failure().error.klass, klass) << errand.failure().error.describe();
    EXPECT_EQ(errand.answers, 0);
  }
}

// A key that the caller chose.

TEST_F(Upload, AChosenKeyIsLookedAtFirst) {
  errand_.bucket_known = true;
  upload_with({replied(404), put_reply(own_etag())}, waiting(content, true));
  expect_transcript({head_line, put_line});
  EXPECT_EQ(ScriptedErrand::header(errand_.sent.at(1), "if-none-match"), "*");
  expect_stored();
}

TEST_F(Upload, AChosenKeyThatHoldsTheSameIsNotSentAgain) {
  upload_with({head_reply(content.size(), own_etag())}, waiting(content, true));
  expect_transcript({head_line});
  expect_stored();
}

TEST_F(Upload, AChosenKeyThatHoldsSomethingElseIsNeverSent) {
  for (const HttpReply& look :
       {head_reply(content.size() + 1, own_etag()), head_reply(content.size(), other_etag),
        head_reply(content.size(), other_etag, {claimed("other")}), head_reply(content.size(), "")}) {
    ScriptedErrand errand;
    errand.answer(look);
    upload(errand, waiting(content, true), {});
    errand.run();
    EXPECT_THAT(errand.transcript(), ElementsAre(head_line));
    EXPECT_EQ(errand.failure().error.klass, ErrorClass::object);
  }
}

TEST_F(Upload, AChosenKeyThatCannotBeLookedAtIsNotSent) {
  for (const HttpReply& look : {timed_out(), replied(500), replied(403), unreachable()}) {
    ScriptedErrand errand;
    errand.answer(look);
    upload(errand, waiting(content, true), {});
    errand.run();
    EXPECT_THAT(errand.transcript(), ElementsAre(head_line));
    EXPECT_NE(errand.failure().error.klass, ErrorClass::object);
  }
}

TEST_F(Upload, A404OfAChosenKeyInAnUnknownBucketIsConfirmedFirst) {
  upload_with({replied(404), replied(404)}, waiting(content, true));
  expect_transcript({head_line, "HEAD /docs/"});
  EXPECT_EQ(error().code, "NoSuchBucket");
}

TEST_F(Upload, AChosenKeyTakenAfterTheLookIsAConflictStill) {
  errand_.bucket_known = true;
  upload_with({replied(404), taken(), head_reply(content.size() + 1, other_etag)}, waiting(content, true));
  expect_transcript({head_line, put_line, head_line});
  expect_conflict();
}

TEST(Compare, DecidesByTheStrongestEvidence) {
  const Payload payload = *waiting().payload;
  const auto size = payload.size;
  const Sha256 own = sha256(content), other = sha256("other");
  EXPECT_EQ(compare({.size = size}, payload, ""), Likeness::undecided);
  EXPECT_EQ(compare({.size = size, .etag = other_etag}, payload, ""), Likeness::undecided);
  EXPECT_EQ(compare({.size = size, .etag = own_etag()}, payload, ""), Likeness::same);
  EXPECT_EQ(compare({.size = size, .sha256 = own}, payload, ""), Likeness::same);
  EXPECT_EQ(compare({.size = size, .etag = own_etag(), .sha256 = other}, payload, ""), Likeness::other);
  EXPECT_EQ(compare({.size = size, .sha256 = own, .metadata_sha256 = other}, payload, ""), Likeness::same);
  EXPECT_EQ(compare({.size = size, .metadata_sha256 = own}, payload, ""), Likeness::same);
  EXPECT_EQ(compare({.size = size, .metadata_sha256 = other}, payload, ""), Likeness::other);
  EXPECT_EQ(compare({.size = size, .etag = own_etag(), .metadata_sha256 = other}, payload, ""), Likeness::same);
  EXPECT_EQ(compare({.size = size, .etag = "\"e-2\""}, payload, "e-2"), Likeness::same);
  EXPECT_EQ(compare({.size = size, .etag = "\"e-3\""}, payload, "e-2"), Likeness::undecided);
  EXPECT_EQ(compare({.size = size}, payload, "e-2"), Likeness::undecided);
  EXPECT_EQ(compare({.size = size + 1, .etag = own_etag(), .sha256 = own, .metadata_sha256 = own}, payload, ""),
            Likeness::other);
}

}  // namespace
}  // namespace objectlink
