// Goal: a store is said to be able, or unable, only after a reply that could not mean anything else.
// Method: a scripted store; the whole probe once, then each reply replaced by others. What real stores answer is test/e2e.
#include "capability_probe.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scripted_errand.hpp"

namespace objectlink {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string folder = ".objectlink/probe/id/";
const std::string etag = "\"00000000000000000000000000000001\"";

HttpReply versioning(const std::string& status) {
  return replied(200, "<VersioningConfiguration><Status>" + status + "</Status></VersioningConfiguration>");
}
HttpReply listing(const std::vector<std::string>& names) {
  std::string entries;
  for (const std::string& name : names)
    entries += "<Contents><Key>" + folder + name + "</Key><Size>1</Size></Contents>";
  return replied(200, "<ListBucketResult><IsTruncated>false</IsTruncated>" + entries + "</ListBucketResult>");
}
HttpReply deleted_both(bool first_refused) {
  const std::string first = first_refused
                                ? "<Error><Key>" + folder + "\xef\xbf\xbd</Key><Code>PreconditionFailed</Code></Error>"
                                : "<Deleted><Key>" + folder + "\xef\xbf\xbd</Key></Deleted>";
  return replied(
      200, "<DeleteResult>" + first + "<Deleted><Key>" + folder + "\xf0\x9f\x98\x80</Key></Deleted></DeleteResult>");
}
HttpReply put_done() { return replied(200, {}, {{"etag", etag}}); }
HttpReply refused() { return replied(412, error_xml("PreconditionFailed")); }

// A store that can do everything, one reply for each request of the probe.
std::vector<HttpReply> able() {
  return {versioning(""),                        // 0 GetBucketVersioning
          listing({}),                           // 1 leftovers
          put_done(),                            // 2 base
          refused(),                             // 3 If-None-Match
          refused(),                             // 4 If-Match, wrong
          put_done(),                            // 5 If-Match, right
          refused(),                             // 6 DELETE If-Match, wrong
          head_reply(1, etag),                   // 7 still there
          replied(204),                          // 8 DELETE If-Match, right
          put_done(),                            // 9 checksum
          replied(400, error_xml("BadDigest")),  // 10 wrong checksum
          put_done(),
          put_done(),                                     // 11, 12
          listing({"\xef\xbf\xbd", "\xf0\x9f\x98\x80"}),  // 13
          deleted_both(true),                             // 14
          listing({"sum"}),                               // 15
          replied(204)};                                  // 16
}

ProbeFindings found_with(const std::vector<HttpReply>& replies, std::vector<std::string>* transcript = nullptr) {
  ScriptedErrand errand;
  for (const HttpReply& reply : replies) errand.answer(reply);
  std::optional<ProbeFindings> found;
  probe_capabilities(errand, "id", [&found](const ProbeFindings& findings) {
    EXPECT_FALSE(found);
    found = findings;
  });
  errand.run();
  if (transcript) *transcript = errand.transcript();
  EXPECT_TRUE(errand.failures.empty() && errand.results.empty());
  EXPECT_EQ(errand.answers, 0);  // it tells the store's health nothing
  return found.value_or(ProbeFindings{});
}

TEST(Probe, AStoreThatCanDoEverything) {
  std::vector<std::string> transcript;
  const ProbeFindings found = found_with(able(), &transcript);
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.error, "");
  const Capabilities& can = found.capabilities;
  for (const Support support : {can.conditional_put, can.conditional_delete, can.conditional_multi_delete,
                                can.checksums, can.multi_delete, can.list_order})
    EXPECT_EQ(support, Support::yes);
  EXPECT_EQ(can.versioning, Versioning::never);
  EXPECT_FALSE(can.bare_etag);
  for (const std::string& line : transcript)
    EXPECT_TRUE(line.find("objectlink%2Fprobe%2Fid") != std::string::npos ||
                line.find("/.objectlink/probe/id/") != std::string::npos ||
                line.find("?versioning=") != std::string::npos || line.find("?delete=") != std::string::npos)
        << line;
}

TEST(Probe, AnETagThatIsOnlyTakenBare) {
  auto replies = able();
  replies.insert(replies.begin() + 5, refused());
  EXPECT_TRUE(found_with(replies).capabilities.bare_etag);
}

TEST(Probe, AStoreThatOnlyEverRefusesHonoursNothing) {
  auto replies = able();
  replies[5] = refused();
  replies.insert(replies.begin() + 5, refused());
  EXPECT_EQ(found_with(replies).capabilities.conditional_put, Support::no);
}

TEST(Probe, AStoreThatOverwritesHonoursNoCondition) {
  auto replies = able();
  replies[3] = put_done();
  replies.erase(replies.begin() + 4, replies.begin() + 6);
  EXPECT_EQ(found_with(replies).capabilities.conditional_put, Support::no);
}

TEST(Probe, AStoreThatDeletesInSpiteOfTheCondition) {
  auto replies = able();
  replies[6] = replied(204);
  replies[7] = replied(404);
  replies.erase(replies.begin() + 8);
  replies[13] = deleted_both(false);
  const ProbeFindings found = found_with(replies);
  EXPECT_EQ(found.capabilities.conditional_delete, Support::no);
  EXPECT_EQ(found.capabilities.conditional_multi_delete, Support::unknown);
  EXPECT_EQ(found.capabilities.multi_delete, Support::yes);
}

TEST(Probe, AConditionThatDeleteObjectsDoesNotKnow) {
  auto replies = able();
  replies[14] = deleted_both(false);
  EXPECT_EQ(found_with(replies).capabilities.conditional_multi_delete, Support::no);
}

TEST(Probe, ChecksumsThatAreNotVerified) {
  auto replies = able();
  replies[10] = put_done();
  EXPECT_EQ(found_with(replies).capabilities.checksums, Support::no);
}

TEST(Probe, AStoreThatSortsAsUtf16) {
  auto replies = able();
  replies[13] = listing({"\xf0\x9f\x98\x80", "\xef\xbf\xbd"});
  EXPECT_EQ(found_with(replies).capabilities.list_order, Support::no);
}

TEST(Probe, AStoreWithoutDeleteObjects) {
  auto replies = able();
  replies[14] = replied(501, error_xml("NotImplemented"));
  EXPECT_EQ(found_with(replies).capabilities.multi_delete, Support::no);
}

TEST(Probe, LeftoversOfAnEarlierOneGoFirst) {
  auto replies = able();
  replies[1] = listing({"base", "sum"});
  replies.insert(replies.begin() + 2, {replied(204), replied(204)});
  std::vector<std::string> transcript;
  EXPECT_TRUE(found_with(replies, &transcript).complete);
  EXPECT_EQ(transcript[2], "DELETE /docs/" + folder + "sum");
  EXPECT_EQ(transcript[3], "DELETE /docs/" + folder + "base");
}

TEST(Probe, InAVersionedBucketVersionsAreSwept) {
  auto replies = able();
  replies[0] = versioning("Enabled");
  const auto versions = [](const std::string& id) {
    return replied(200, "<ListVersionsResult><IsTruncated>false</IsTruncated><DeleteMarker><Key>" + folder +
                            "base</Key><VersionId>" + id + "</VersionId></DeleteMarker></ListVersionsResult>");
  };
  replies[1] = versions("m0");
  replies.insert(replies.begin() + 2, replied(204));
  replies[16] = versions("m1");
  std::vector<std::string> transcript;
  const ProbeFindings found = found_with(replies, &transcript);
  EXPECT_EQ(found.capabilities.versioning, Versioning::enabled);
  EXPECT_EQ(transcript.back(), "DELETE /docs/" + folder + "base?versionId=m1");
}

TEST(Probe, ARefusalForWantOfPermissionDecidesNothing) {
  for (const auto& [at, what] : {std::pair{0, "versioning"}, {10, "checksum"}, {14, "DeleteObjects"}}) {
    auto replies = able();
    replies[static_cast<std::size_t>(at)] = replied(403, error_xml("AccessDenied"));
    const ProbeFindings found = found_with(replies);
    EXPECT_TRUE(found.complete);
    EXPECT_THAT(found.error, HasSubstr(what));
    EXPECT_THAT(found.error, HasSubstr("AccessDenied"));
    EXPECT_EQ(found.capabilities.versioning.has_value(), at != 0);
    EXPECT_EQ(found.capabilities.checksums == Support::unknown, at == 10);
    EXPECT_EQ(found.capabilities.multi_delete == Support::unknown, at == 14);
  }
}

TEST(Probe, WithoutAnObjectOfItsOwnNothingIsTried) {
  auto replies = able();
  replies.resize(3);
  replies[2] = replied(403, error_xml("AccessDenied"));
  const ProbeFindings found = found_with(replies);
  EXPECT_TRUE(found.complete);
  Capabilities nothing;
  nothing.versioning = Versioning::never;
  EXPECT_EQ(found.capabilities, nothing);
  EXPECT_THAT(found.error, HasSubstr("PUT of a probe"));
}

TEST(Probe, AMissingBucketIsNoAnswer) { EXPECT_FALSE(found_with({replied(404, error_xml("NoSuchBucket"))}).complete); }

TEST(Probe, WhenNobodyAnswersItEndsAndIsNotComplete) {
  const auto replies = able();
  for (std::size_t at = 0; at < replies.size(); ++at) {
    for (const HttpReply& lost :
         {timed_out(), unreachable(), replied(500), replied(503, error_xml("SlowDown")),
          replied(403, error_xml("RequestTimeTooSkewed")), replied(403, error_xml("InvalidAccessKeyId"))}) {
      std::vector<HttpReply> cut(replies.begin(), replies.begin() + static_cast<std::ptrdiff_t>(at));
      cut.push_back(lost);
      const ProbeFindings found = found_with(cut);
      EXPECT_FALSE(found.complete) << at;
      EXPECT_NE(found.error, "") << at;
    }
  }
}

}  // namespace
}  // namespace objectlink
