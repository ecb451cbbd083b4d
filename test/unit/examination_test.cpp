// Goal: an object is the same, another one or absent only if the store has shown that, what differs twice; nothing follows
// from anything else.
// Method: a scripted store; each case is one way an examination can go.
#include "examination.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scripted_errand.hpp"

namespace objectlink {
namespace {

using std::chrono::steady_clock;
using testing::ElementsAre;

constexpr auto far = std::chrono::hours{1};
const std::string content = "content";
const std::string head_line = "HEAD /docs/a%20b";
const std::string get_line = "GET /docs/a%20b";
const std::string bucket_line = "HEAD /docs/";

ProvedContent proved() { return {std::ssize(content), "\"e\"", sha256(content)}; }

HttpReply same() { return head_reply(std::ssize(content), "\"e\""); }
HttpReply other() { return head_reply(std::ssize(content), "\"f\""); }

HttpReply piece(const std::string& body, std::int64_t size, std::int64_t from = 0, const std::string& etag = "\"e\"") {
  HttpReply reply = replied(206, body);
  reply.headers = {{"etag", etag},
                   {"content-range", "bytes " + std::to_string(from) + "-" +
                                         std::to_string(from + std::ssize(body) - 1) + "/" + std::to_string(size)}};
  return reply;
}

struct Examined {
  std::shared_ptr<Examination> examination;
  std::vector<std::string> transcript;
  std::vector<HttpRequest> sent;
  std::size_t store_failures;
  int answers;
  std::optional<Sighting> sighting() const { return examination->sighting(); }
};

Examined examine(std::vector<HttpReply> replies, bool read = false, ProvedContent content_proved = proved()) {
  ScriptedErrand errand;
  for (HttpReply& reply : replies) errand.answer(std::move(reply));
  const auto examination = std::make_shared<Examination>(errand, "a b", std::move(content_proved), read);
  for (int i = 0; i < 20 && !examination->is_done(); ++i) {
    EXPECT_TRUE(examination->may_ask(steady_clock::now() + far));
    examination->ask();
    EXPECT_FALSE(examination->may_ask(steady_clock::now() + far)) << "one request at a time";
    errand.run();
  }
  EXPECT_TRUE(examination->is_done());
  return {examination, errand.transcript(), errand.sent, errand.store_failures.size(), errand.answers};
}

TEST(Examination, WhatIsAsItWasIsLookedAtOnce) {
  const auto seen = examine({same()});
  EXPECT_EQ(seen.sighting(), Sighting::same);
  EXPECT_THAT(seen.transcript, ElementsAre(head_line));
  EXPECT_EQ(seen.answers, 1);
}

TEST(Examination, AnAbsentObjectIsLookedAtTwiceAndItsBucketOnce) {
  const auto seen = examine({replied(404), replied(404), replied(200)});
  EXPECT_EQ(seen.sighting(), Sighting::absent);
  EXPECT_THAT(seen.transcript, ElementsAre(head_line, head_line, bucket_line));
}

TEST(Examination, WithoutItsBucketNothingIsAbsent) {
  for (const long status : {404, 403, 500}) {
    const auto seen = examine({replied(404), replied(404), replied(status)});
    EXPECT_EQ(seen.sighting(), std::nullopt) << status;
    EXPECT_TRUE(seen.examination->error());
    EXPECT_EQ(seen.store_failures, 1u);
  }
}

TEST(Examination, TheSecondLookWaits) {
  ScriptedErrand errand;
  errand.answer(replied(404));
  const auto examination = std::make_shared<Examination>(errand, "a b", proved(), false);
  const auto before = steady_clock::now();
  examination->ask();
  errand.run();
  EXPECT_FALSE(examination->is_done());
  EXPECT_FALSE(examination->may_ask(before + Examination::second_look_delay - std::chrono::milliseconds{1}));
  EXPECT_TRUE(examination->may_ask(steady_clock::now() + Examination::second_look_delay));
}

TEST(Examination, WhatIsBackAtTheSecondLookIsWell) {
  EXPECT_EQ(examine({replied(404), same()}).sighting(), Sighting::same);
  EXPECT_EQ(examine({other(), same()}).sighting(), Sighting::same);
}

TEST(Examination, AnotherOneCountsWhenItIsSeenTwice) {
  const auto seen = examine({other(), other()});
  EXPECT_EQ(seen.sighting(), Sighting::other);
  EXPECT_EQ(seen.examination->head().etag, "\"f\"");
  EXPECT_FALSE(seen.examination->content_differs());
}

TEST(Examination, TwoLooksThatDifferProveNothing) {
  EXPECT_EQ(examine({other(), replied(404), replied(200)}).sighting(), std::nullopt);
  EXPECT_EQ(examine({replied(404), other()}).sighting(), std::nullopt);
}

TEST(Examination, ARefusalProvesNothingAndIsNotRepeated) {
  const auto seen = examine({replied(403)});
  EXPECT_EQ(seen.sighting(), std::nullopt);
  EXPECT_EQ(seen.examination->error()->status, 403);
  EXPECT_EQ(seen.store_failures, 0u) << "it may be the right to look that lacks";
}

TEST(Examination, WhatIsNotAnsweredIsAskedAgainAndAtLastUnknown) {
  EXPECT_EQ(examine({replied(500), same()}).sighting(), Sighting::same);
  for (const HttpReply& reply : {replied(500), replied(503), timed_out()}) {
    const auto seen = examine({reply, reply, reply});
    EXPECT_EQ(seen.sighting(), std::nullopt);
    EXPECT_EQ(seen.transcript.size(), Examination::tries_max);
    EXPECT_EQ(seen.store_failures, Examination::tries_max);
  }
}

TEST(Examination, AnOutageCostsNoTry) {
  std::vector<HttpReply> replies(Examination::tries_max * 2, unreachable());
  replies.push_back(same());
  EXPECT_EQ(examine(std::move(replies)).sighting(), Sighting::same);
}

TEST(Examination, ContentIsReadAndItsDigestCompared) {
  const auto seen = examine({same(), piece(content, std::ssize(content))}, true);
  EXPECT_EQ(seen.sighting(), Sighting::same);
  EXPECT_THAT(seen.transcript, ElementsAre(head_line, get_line));
  EXPECT_EQ(ScriptedErrand::header(seen.sent[1], "range"), "bytes=0-6");
  EXPECT_EQ(seen.examination->digest(), sha256(content));
  EXPECT_EQ(seen.examination->read_bytes(), std::ssize(content));
}

TEST(Examination, OtherBytesBehindTheSameETagAreAnotherContentIfReadTwice) {
  const auto bad = piece("CONTENT", std::ssize(content));
  const auto seen = examine({same(), bad, same(), bad}, true);
  EXPECT_EQ(seen.sighting(), Sighting::other);
  EXPECT_TRUE(seen.examination->content_differs());
  EXPECT_EQ(seen.examination->digest(), sha256("CONTENT"));
  const auto once = examine({same(), bad, same(), piece(content, std::ssize(content))}, true);
  EXPECT_EQ(once.sighting(), Sighting::same);
  EXPECT_FALSE(once.examination->content_differs());
}

TEST(Examination, WithoutADigestToCompareWithWhatIsReadIsTold) {
  const auto seen = examine({same(), piece("CONTENT", std::ssize(content))}, true, {std::ssize(content), "\"e\"", {}});
  EXPECT_EQ(seen.sighting(), Sighting::same);
  EXPECT_EQ(seen.examination->digest(), sha256("CONTENT"));
}

TEST(Examination, NothingIsReadOfWhatIsAnotherOneAnyway) {
  EXPECT_THAT(examine({other(), other()}, true).transcript, ElementsAre(head_line, head_line));
}

TEST(Examination, OfAnEmptyObjectNothingIsReadAndItsDigestIsKnown) {
  const auto seen = examine({head_reply(0, "\"e\"")}, true, {0, "\"e\"", sha256("")});
  EXPECT_EQ(seen.sighting(), Sighting::same);
  EXPECT_EQ(seen.examination->digest(), sha256(""));
  EXPECT_THAT(seen.transcript, ElementsAre(head_line));
}

TEST(Examination, LargeContentIsReadInPieces) {
  const std::int64_t size = 2 * Examination::piece_bytes + 5;
  std::string all(static_cast<std::size_t>(size), 'x');
  all[3] = 'y';
  all.back() = 'z';
  const auto part = [&all, size](std::int64_t from) {
    return piece(all.substr(static_cast<std::size_t>(from), Examination::piece_bytes), size, from);
  };
  const auto seen =
      examine({head_reply(size, "\"e\""), part(0), part(Examination::piece_bytes), part(2 * Examination::piece_bytes)},
              true, {size, "\"e\"", sha256(all)});
  EXPECT_EQ(seen.sighting(), Sighting::same);
  EXPECT_EQ(ScriptedErrand::header(seen.sent[3], "range"), "bytes=8388608-8388612");
}

TEST(Examination, PiecesOfTwoObjectsAreNone) {
  const std::int64_t size = Examination::piece_bytes + 1;
  const std::string first(Examination::piece_bytes, 'x');
  const HttpReply head = head_reply(size, "\"e\"");
  const ProvedContent known{size, "\"e\"", sha256(first + "x")};
  // Replaced between two pieces; the second look sees what is there now.
  const auto seen = examine(
      {head, piece(first, size), piece("x", size, Examination::piece_bytes, "\"f\""), head_reply(size, "\"f\"")}, true,
      known);
  EXPECT_EQ(seen.sighting(), Sighting::other);
  EXPECT_FALSE(seen.examination->content_differs());
  EXPECT_EQ(
      examine({head, piece(first, size), replied(404, error_xml("NoSuchKey")), replied(404), replied(200)}, true, known)
          .sighting(),
      Sighting::absent);
}

TEST(Examination, AnotherPartThanAskedForProvesNothing) {
  const HttpReply wrong = piece("con", std::ssize(content));
  const auto seen = examine({same(), wrong}, true);
  EXPECT_EQ(seen.sighting(), std::nullopt);
  EXPECT_EQ(seen.examination->error()->code, "WrongRange");
}

}  // namespace
}  // namespace objectlink
