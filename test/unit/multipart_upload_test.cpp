// Goal: large content arrives whole or not at all, leaves no parts behind, and overwrites nothing.
// Method: a scripted store and parts of a few bytes; each step of an upload fails in turn.
#include "multipart_upload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "s3_etag.hpp"
#include "scripted_errand.hpp"
#include "upload.hpp"

namespace objectlink {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string content = "hello world";  // in parts of four bytes: hell, o wo, rld
const std::string create_line = "POST /docs/k?uploads=";
const std::string complete_line = "POST /docs/k?uploadId=u%2F1";
const std::string abort_line = "DELETE /docs/k?uploadId=u%2F1";
const std::string head_line = "HEAD /docs/k";
std::string part_line(int number) { return "PUT /docs/k?partNumber=" + std::to_string(number) + "&uploadId=u%2F1"; }

HttpReply created() {
  return replied(200, "<InitiateMultipartUploadResult><UploadId>u/1</UploadId></InitiateMultipartUploadResult>");
}
HttpReply part_reply(int number) { return replied(200, {}, {{"etag", "\"p" + std::to_string(number) + "\""}}); }
HttpReply completed(const std::string& etag) {
  return replied(200, "<CompleteMultipartUploadResult><ETag>" + etag + "</ETag></CompleteMultipartUploadResult>");
}
HttpReply aborted() { return replied(204); }
std::string expected_etag() { return "\"" + multipart_etag({md5("hell"), md5("o wo"), md5("rld")}) + "\""; }

Work waiting(const std::string& bytes = content, bool chosen_key = false) {
  Work work;
  work.key = "k";
  work.state = "pending";
  work.content_type = "text/plain";
  Payload& payload = work.payload.emplace();
  payload.size = std::ssize(bytes);
  payload.sha256 = sha256(bytes);
  payload.md5 = md5(bytes);
  payload.chosen_key = chosen_key;
  return work;
}

class MultipartUpload : public testing::Test {
 protected:
  MultipartUpload() { errand_.content["k"] = content; }

  void upload_with(std::vector<HttpReply> replies, Work work = waiting()) {
    for (HttpReply& reply : replies) errand_.answer(std::move(reply));
    upload(errand_, std::move(work), {.multipart_threshold_bytes = 10, .part_bytes = 4});
    errand_.run();
  }
  // Up to the end of the parts; then these.
  void complete_with(std::vector<HttpReply> replies) {
    replies.insert(replies.begin(), {created(), part_reply(1), part_reply(2), part_reply(3)});
    upload_with(std::move(replies));
  }
  std::vector<std::string> transcript_after_parts() const {
    const auto lines = errand_.transcript();
    EXPECT_THAT((std::vector<std::string>(lines.begin(), lines.begin() + 4)),
                ElementsAre(create_line, part_line(1), part_line(2), part_line(3)));
    return {lines.begin() + 4, lines.end()};
  }
  S3Error error() const {
    EXPECT_EQ(errand_.failure().cause, "upload");
    return errand_.failure().error;
  }

  ScriptedErrand errand_;
};

TEST_F(MultipartUpload, GoesPartByPartAndIsLookedAtInTheEnd) {
  complete_with(
      {completed(expected_etag()), head_reply(content.size(), expected_etag(), {{"x-amz-version-id", "v1"}})});
  EXPECT_THAT(transcript_after_parts(), ElementsAre(complete_line, head_line));
  EXPECT_EQ(*errand_.sent[1].body, "hell");
  EXPECT_EQ(*errand_.sent[2].body, "o wo");
  EXPECT_EQ(*errand_.sent[3].body, "rld");
  const Result result = errand_.result();
  EXPECT_EQ(result.outcome, Outcome::stored);
  EXPECT_EQ(result.size, std::ssize(content));
  EXPECT_EQ(result.etag, expected_etag());
  EXPECT_EQ(result.version_id, "v1");
  EXPECT_EQ(result.sha256_hex, hex(sha256(content)));
}

TEST_F(MultipartUpload, CarriesDigestsAndNeverOverwrites) {
  complete_with({completed(expected_etag()), head_reply(content.size(), expected_etag())});
  EXPECT_EQ(ScriptedErrand::header(errand_.sent[0], std::string(sha256_metadata_header)), hex(sha256(content)));
  EXPECT_EQ(ScriptedErrand::header(errand_.sent[0], "content-type"), "text/plain");
  EXPECT_EQ(ScriptedErrand::header(errand_.sent[1], "content-md5"), base64(md5("hell")));
  EXPECT_EQ(ScriptedErrand::header(errand_.sent[4], "if-none-match"), "*");
  EXPECT_THAT(*errand_.sent[4].body, HasSubstr("<Part><PartNumber>1</PartNumber>"));
  EXPECT_THAT(*errand_.sent[4].body, HasSubstr("<Part><PartNumber>3</PartNumber>"));
  EXPECT_THAT(*errand_.sent[4].body, HasSubstr("p2"));  // the parts' ETags as the store gave them
}

TEST_F(MultipartUpload, BeginsAboveTheThresholdOnly) {
  ScriptedErrand errand;
  Work work = waiting("0123456789");
  work.payload->content = std::make_shared<const std::string>("0123456789");
  errand.answer(replied(200, {}, {{"etag", hex(md5("0123456789"))}}));
  upload(errand, std::move(work), {.multipart_threshold_bytes = 10, .part_bytes = 4});
  errand.run();
  EXPECT_THAT(errand.transcript(), ElementsAre("PUT /docs/k"));
  EXPECT_EQ(errand.result().outcome, Outcome::stored);
}

TEST_F(MultipartUpload, FullPartsHaveNoEmptyOneBehindThem) {
  errand_.content["k"] = "0123456789ab";
  upload_with({created(), part_reply(1), part_reply(2), part_reply(3), completed(""), head_reply(12, "")},
              waiting("0123456789ab"));
  EXPECT_EQ(*errand_.sent[3].body, "89ab");
  EXPECT_EQ(errand_.transcript().at(4), complete_line);
  EXPECT_EQ(errand_.result().outcome, Outcome::stored);
}

TEST_F(MultipartUpload, WithoutAnUploadNothingIsAborted) {
  for (const HttpReply& reply :
       {replied(403, error_xml("AccessDenied")), timed_out(), unreachable(), replied(200, "<html/>"),
        replied(200, error_xml("InternalError")),
        replied(200, "<InitiateMultipartUploadResult><UploadId/></InitiateMultipartUploadResult>")}) {
    ScriptedErrand errand;
    errand.content["k"] = content;
    errand.answer(reply);
    upload(errand, waiting(), {.multipart_threshold_bytes = 10, .part_bytes = 4});
    errand.run();
    EXPECT_THAT(errand.transcript(), ElementsAre(create_line));
    EXPECT_EQ(errand.failures.size(), 1u);
    EXPECT_EQ(errand.answers, 0);
  }
}

TEST_F(MultipartUpload, AFailedPartAbortsTheUpload) {
  for (const HttpReply& reply : {replied(500, error_xml("InternalError")), timed_out(), replied(200 /* no ETag */),
                                 replied(403, error_xml("AccessDenied")), replied(400, error_xml("BadDigest"))}) {
    ScriptedErrand errand;
    errand.content["k"] = content;
    for (const HttpReply& step : {created(), part_reply(1), reply, aborted()}) errand.answer(step);
    upload(errand, waiting(), {.multipart_threshold_bytes = 10, .part_bytes = 4});
    errand.run();
    EXPECT_THAT(errand.transcript(), ElementsAre(create_line, part_line(1), part_line(2), abort_line));
    EXPECT_NE(errand.failure().error.klass, ErrorClass::object);
  }
}

TEST_F(MultipartUpload, AnAbortThatFailsChangesNothing) {
  for (const HttpReply& reply : {replied(500), timed_out(), replied(404, error_xml("NoSuchUpload"))}) {
    ScriptedErrand errand;
    errand.content["k"] = content;
    for (const HttpReply& step : {created(), replied(503, error_xml("SlowDown")), reply}) errand.answer(step);
    upload(errand, waiting(), {.multipart_threshold_bytes = 10, .part_bytes = 4});
    errand.run();
    EXPECT_EQ(errand.failure().error.klass, ErrorClass::throttled);
  }
}

TEST_F(MultipartUpload, ContentThatVanishesBetweenPartsAbortsTheUpload) {
  errand_.answer(created());
  errand_.answer(part_reply(1), [this] { errand_.content.clear(); });
  errand_.answer(aborted());
  upload_with({});
  EXPECT_THAT(errand_.transcript(), ElementsAre(create_line, part_line(1), abort_line));
  EXPECT_EQ(error().code, "ContentGone");
  EXPECT_EQ(error().klass, ErrorClass::transient);
  EXPECT_FALSE(error().outcome_unknown);
}

TEST_F(MultipartUpload, ContentThatIsShorterThanItWasIsNotSent) {
  errand_.answer(created());
  errand_.answer(part_reply(1), [this] { errand_.content["k"] = "hello"; });
  errand_.answer(aborted());
  upload_with({});
  EXPECT_THAT(errand_.transcript(), ElementsAre(create_line, part_line(1), abort_line));
  EXPECT_EQ(error().code, "ContentGone");
}

TEST_F(MultipartUpload, ACompleteOf200WithAnErrorIsNoSuccess) {
  complete_with({replied(200, error_xml("InternalError")), aborted()});
  EXPECT_THAT(transcript_after_parts(), ElementsAre(complete_line, abort_line));
  EXPECT_EQ(error().klass, ErrorClass::transient);
  EXPECT_EQ(error().code, "InternalError");
}

TEST_F(MultipartUpload, ACutOrEmptyCompleteIsNoSuccess) {
  for (const HttpReply& reply : {replied(200), replied(200, "<CompleteMultipartUploadResult><ETag>"),
                                 replied(200, "<html/>"), timed_out(), replied(500)}) {
    ScriptedErrand errand;
    errand.content["k"] = content;
    for (const HttpReply& step : {created(), part_reply(1), part_reply(2), part_reply(3), reply, aborted()})
      errand.answer(step);
    upload(errand, waiting(), {.multipart_threshold_bytes = 10, .part_bytes = 4});
    errand.run();
    EXPECT_EQ(errand.failure().error.klass, ErrorClass::transient);
    EXPECT_TRUE(errand.failure().error.outcome_unknown);
  }
}

TEST_F(MultipartUpload, ACompleteWithoutAnEtagIsProvedByTheLook) {
  complete_with({completed(""), head_reply(content.size(), expected_etag())});
  EXPECT_EQ(errand_.result().etag, expected_etag());
  EXPECT_EQ(errand_.result().outcome, Outcome::stored);
}

TEST_F(MultipartUpload, ACompletedUploadMayHaveAnyEtagButNotAnySize) {
  complete_with({completed("\"e\""), head_reply(content.size(), "\"e\"")});
  EXPECT_EQ(errand_.result().outcome, Outcome::stored);
  errand_.results.clear();
  errand_.sent.clear();
  complete_with({completed(expected_etag()), head_reply(content.size() - 1, expected_etag())});
  EXPECT_EQ(error().klass, ErrorClass::object);
}

TEST_F(MultipartUpload, WhatIsNotThereAfterItsCompletionIsTriedAgain) {
  complete_with({completed(expected_etag()), replied(404)});
  EXPECT_EQ(error().klass, ErrorClass::transient);
}

TEST_F(MultipartUpload, A412OnCompleteWithTheSameContentIsStored) {
  complete_with(
      {replied(412, error_xml("PreconditionFailed")), aborted(), head_reply(content.size(), expected_etag())});
  EXPECT_THAT(transcript_after_parts(), ElementsAre(complete_line, abort_line, head_line));
  EXPECT_EQ(errand_.result().outcome, Outcome::stored);
}

TEST_F(MultipartUpload, APreconditionThatFailsInsideOf200IsA412) {
  complete_with(
      {replied(200, error_xml("PreconditionFailed")), aborted(), head_reply(content.size(), expected_etag())});
  EXPECT_THAT(transcript_after_parts(), ElementsAre(complete_line, abort_line, head_line));
  EXPECT_EQ(errand_.result().outcome, Outcome::stored);
}

TEST_F(MultipartUpload, A412OnCompleteIsStoredAlsoWhereThePartsWereOthers) {
  complete_with({replied(412, error_xml("PreconditionFailed")), aborted(),
                 head_reply(content.size(), "\"0123456789abcdef0123456789abcdef-2\"",
                            {{std::string(sha256_metadata_header), hex(sha256(content))}})});
  EXPECT_EQ(errand_.result().outcome, Outcome::stored);
}

TEST_F(MultipartUpload, A412OnCompleteWithOtherContentFails) {
  for (const HttpReply& look :
       {head_reply(content.size() + 1, expected_etag()), head_reply(content.size(), "\"e-3\""),
        head_reply(content.size(), "\"e\"", {{std::string(sha256_metadata_header), hex(sha256("other"))}})}) {
    ScriptedErrand errand;
    errand.content["k"] = content;
    for (const HttpReply& step : {created(), part_reply(1), part_reply(2), part_reply(3),
                                  replied(412, error_xml("PreconditionFailed")), aborted(), look})
      errand.answer(step);
    upload(errand, waiting(), {.multipart_threshold_bytes = 10, .part_bytes = 4});
    errand.run();
    EXPECT_EQ(errand.failure().error.klass, ErrorClass::object);
    EXPECT_EQ(errand.failure().error.code, "ObjectExists");
  }
}

TEST_F(MultipartUpload, ARaceOnCompleteIsTriedAgain) {
  complete_with({replied(409, error_xml("ConditionalRequestConflict")), aborted()});
  EXPECT_THAT(transcript_after_parts(), ElementsAre(complete_line, abort_line));
  EXPECT_EQ(error().klass, ErrorClass::conflict);
}

TEST_F(MultipartUpload, AChosenKeyThatHoldsTheSamePartsIsNotSentAgain) {
  upload_with({head_reply(content.size(), expected_etag())}, waiting(content, true));
  EXPECT_THAT(errand_.transcript(), ElementsAre(head_line));
  EXPECT_EQ(errand_.result().outcome, Outcome::stored);
}

TEST_F(MultipartUpload, AChosenKeyWhoseContentIsGoneProvesNothing) {
  errand_.content.clear();
  upload_with({head_reply(content.size(), expected_etag())}, waiting(content, true));
  EXPECT_THAT(errand_.transcript(), ElementsAre(head_line));
  EXPECT_EQ(error().klass, ErrorClass::object);
}

TEST_F(MultipartUpload, AFreeChosenKeyIsUploaded) {
  errand_.bucket_known = true;
  upload_with({replied(404), created(), part_reply(1), part_reply(2), part_reply(3), completed(""),
               head_reply(content.size(), expected_etag())},
              waiting(content, true));
  EXPECT_EQ(errand_.transcript().at(0), head_line);
  EXPECT_EQ(errand_.result().outcome, Outcome::stored);
}

TEST_F(MultipartUpload, HasNeverMorePartsThanS3Takes) {
  for (const std::size_t size : {10'000u, 10'001u, 25'001u}) {
    ScriptedErrand errand;
    const std::string bytes(size, 'x');
    errand.content["k"] = bytes;
    const std::size_t step = (size + multipart_parts_max - 1) / multipart_parts_max;
    const std::size_t parts = (size + step - 1) / step;
    errand.answer(created());
    for (std::size_t i = 1; i <= parts; ++i) errand.answer(part_reply(1));
    errand.answer(completed(""));
    errand.answer(head_reply(size, ""));
    upload(errand, waiting(bytes), {.multipart_threshold_bytes = 10, .part_bytes = 1});
    errand.run();
    EXPECT_EQ(errand.result().outcome, Outcome::stored);
    std::size_t sent = 0, uploaded = 0;
    for (const HttpRequest& request : errand.sent) {
      if (request.method != "PUT") continue;
      ++uploaded;
      sent += request.body->size();
    }
    EXPECT_LE(uploaded, static_cast<std::size_t>(multipart_parts_max));
    EXPECT_EQ(sent, size);
  }
}

TEST(MultipartEtag, IsThatOfTheContentInPartsOfThisSize) {
  ScriptedErrand errand;
  errand.content["k"] = content;
  EXPECT_EQ(multipart_etag_of(errand, waiting(), 4), multipart_etag({md5("hell"), md5("o wo"), md5("rld")}));
  EXPECT_EQ(multipart_etag_of(errand, waiting(), 11), multipart_etag({md5(content)}));
  errand.content["k"] = "hello worl";
  EXPECT_EQ(multipart_etag_of(errand, waiting(), 4), "");
  errand.content.clear();
  EXPECT_EQ(multipart_etag_of(errand, waiting(), 4), "");
}

}  // namespace
}  // namespace objectlink
