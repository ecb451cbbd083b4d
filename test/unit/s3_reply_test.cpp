// Goal: a reply counts as a success only if it says so completely; everything else is an error of the right class.
// Method: replies as stores send them, then cut, garbled, or about something else. (Classes in detail: s3_error_test.)
#include "s3_reply.hpp"

#include <gtest/gtest.h>

#include "s3_reply_builder.hpp"
#include "s3_time.hpp"

namespace objectlink {
namespace {

const std::string list_start =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
    "<Name>docs</Name>";
const std::string entry =
    "<Contents><Key>a%2Bb+c%20d%2F%01</Key><LastModified>2024-02-29T01:02:03.000Z</LastModified>"
    "<ETag>&#34;abc&#34;</ETag><Size>42</Size><StorageClass>STANDARD</StorageClass></Contents>";

template <class Result>
void expect_unknown(const Result& result) {
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().klass, ErrorClass::transient);
  EXPECT_TRUE(result.error().outcome_unknown);
}

TEST(PutReply, NeedsExactly200) {
  const auto put = parse_put_object(replied(200, "",
                                            {{"etag", "\"abc\""},
                                             {"x-amz-version-id", "v1"},
                                             {"x-amz-request-id", "tx"},
                                             {"x-amz-checksum-sha256", base64(sha256("x"))}}));
  ASSERT_TRUE(put);
  EXPECT_EQ(put->etag, "\"abc\"");
  EXPECT_EQ(put->version_id, "v1");
  EXPECT_EQ(put->sha256, sha256("x"));
  EXPECT_EQ(put->request_id, "tx");
  for (long status : {100, 201, 202, 204, 206, 304}) expect_unknown(parse_put_object(replied(status)));
  EXPECT_EQ(parse_put_object(replied(412, error_xml("PreconditionFailed"))).error().klass, ErrorClass::conflict);
  HttpReply cut = replied(200);
  cut.outcome = HttpReply::Outcome::unknown;
  cut.failure = HttpFailure::cut;
  expect_unknown(parse_put_object(cut));
}

TEST(HeadReply, TellsSizeAndDigests) {
  const auto head = parse_head_object(replied(200, "",
                                              {{"content-length", "123456789012"},
                                               {"etag", "\"abc\""},
                                               {"last-modified", "Thu, 29 Feb 2024 01:02:03 GMT"},
                                               {"x-amz-checksum-sha256", base64(sha256("x"))},
                                               {"x-amz-meta-objectlink-sha256", hex(sha256("y"))},
                                               {"content-type", "text/plain"},
                                               {"x-amz-version-id", "v"}},
                                              "HEAD"));
  ASSERT_TRUE(head);
  EXPECT_EQ(head->size, 123456789012);
  EXPECT_EQ(head->sha256, sha256("x"));
  EXPECT_EQ(head->metadata_sha256, sha256("y"));
  EXPECT_EQ(head->last_modified, parse_iso8601("2024-02-29T01:02:03Z"));
  EXPECT_EQ(head->content_type, "text/plain");
}

TEST(HeadReply, BelievesNoHalfDigests) {
  const auto digest = [](HttpHeaders headers) {
    headers.emplace_back("content-length", "1");
    return parse_head_object(replied(200, "", std::move(headers), "HEAD")).value();
  };
  EXPECT_FALSE(digest({{"x-amz-checksum-sha256", base64(sha256("x")) + "-2"}}).sha256);
  EXPECT_FALSE(digest({{"x-amz-checksum-sha256", base64(sha256("x"))}, {"x-amz-checksum-type", "COMPOSITE"}}).sha256);
  EXPECT_FALSE(digest({{"x-amz-checksum-sha256", hex(sha256("x"))}}).sha256);
  EXPECT_FALSE(digest({{"x-amz-meta-objectlink-sha256", "abc"}}).metadata_sha256);
}

TEST(HeadReply, WithoutASizeItIsNone) {
  for (const char* length : {"", "-1", "1x", "99999999999999999999", " 1"})
    expect_unknown(parse_head_object(replied(200, "", {{"content-length", length}}, "HEAD")));
  expect_unknown(parse_head_object(replied(200, "", {}, "HEAD")));
}

TEST(HeadReply, MissingAndForbiddenDiffer) {
  EXPECT_EQ(parse_head_object(replied(404, "", {}, "HEAD")).error().klass, ErrorClass::not_found);
  EXPECT_EQ(parse_head_object(replied(403, "", {}, "HEAD")).error().klass, ErrorClass::store);
}

TEST(GetReply, KnowsTheWholeSizeOfAPart) {
  EXPECT_EQ(parse_get_object(replied(200, "hello"))->size, 5);
  EXPECT_EQ(parse_get_object(replied(206, "hello", {{"content-range", "bytes 0-4/1234"}}))->size, 1234);
  for (const char* range : {"bytes 0-4/*", "bytes 0-4", "", "bytes 0-4/x"})
    expect_unknown(parse_get_object(replied(206, "hello", {{"content-range", range}})));
  EXPECT_EQ(parse_get_object(replied(404, error_xml("NoSuchKey"))).error().klass, ErrorClass::not_found);
  EXPECT_EQ(parse_get_object(replied(404, "<html>nginx</html>")).error().klass, ErrorClass::store);
}

TEST(DeleteReply, MissingIsDeletedButAMissingBucketIsNot) {
  EXPECT_FALSE(parse_delete_object(replied(204))->was_missing);
  EXPECT_TRUE(parse_delete_object(replied(404, error_xml("NoSuchKey")))->was_missing);
  EXPECT_TRUE(parse_delete_object(replied(204, "", {{"x-amz-delete-marker", "true"}}))->delete_marker);
  EXPECT_EQ(parse_delete_object(replied(404, error_xml("NoSuchBucket"))).error().klass, ErrorClass::store);
  EXPECT_EQ(parse_delete_object(replied(404)).error().klass, ErrorClass::store);
  EXPECT_EQ(parse_delete_object(replied(403, error_xml("AccessDenied"))).error().klass, ErrorClass::store);
  expect_unknown(parse_delete_object(replied(202)));
  expect_unknown(parse_delete_object(replied(500)));
}

TEST(DeleteObjectsReply, ErrorsStandPerKeyInsideOf200) {
  const std::vector<ObjectVersion> asked = {{"a<b", ""},  {"denied", ""}, {"slow", ""}, {"never mentioned", ""},
                                            {"gone", ""}, {"both", ""},   {"odd", ""}};
  const auto result = parse_delete_objects(
      replied(200,
              "<DeleteResult>"
              "<Deleted><Key>a&lt;b</Key><DeleteMarker>true</DeleteMarker></Deleted>"
              "<Error><Key>denied</Key><Code>AccessDenied</Code><Message>no</Message></Error>"
              "<Error><Key>slow</Key><Code>SlowDown</Code></Error>"
              "<Error><Key>gone</Key><Code>NoSuchKey</Code></Error>"
              "<Error><Key>both</Key><Code>InternalError</Code></Error><Deleted><Key>both</Key></Deleted>"
              "<Error><Key>odd</Key></Error>"
              "<Deleted><Key>not asked for</Key></Deleted>"
              "</DeleteResult>",
              {{"x-amz-request-id", "tx"}}),
      asked);
  ASSERT_TRUE(result);
  const auto& objects = result->objects;
  ASSERT_EQ(objects.size(), asked.size());
  EXPECT_FALSE(objects[0].error);
  EXPECT_TRUE(objects[0].delete_marker);
  EXPECT_EQ(objects[1].error->klass, ErrorClass::store);
  EXPECT_EQ(objects[1].error->message, "no");
  EXPECT_EQ(objects[1].error->request_id, "tx");
  EXPECT_FALSE(objects[1].error->outcome_unknown);
  EXPECT_EQ(objects[2].error->klass, ErrorClass::throttled);
  EXPECT_EQ(objects[3].error->code, "NotMentioned");
  EXPECT_TRUE(objects[3].error->outcome_unknown);
  EXPECT_FALSE(objects[4].error);
  EXPECT_EQ(objects[5].error->code, "InternalError");
  EXPECT_TRUE(objects[6].error->outcome_unknown);
  EXPECT_EQ(result->errors(), 5u);
}

TEST(DeleteObjectsReply, VersionsOfOneKeyAreToldApart) {
  const std::vector<ObjectVersion> asked = {{"k", "v1"}, {"k", "v2"}, {"k", "v3"}, {"single", "v9"}};
  const auto result =
      parse_delete_objects(replied(200,
                                   "<DeleteResult><Deleted><Key>k</Key><VersionId>v2</VersionId></Deleted>"
                                   "<Error><Key>k</Key><VersionId>v1</VersionId><Code>AccessDenied</Code></Error>"
                                   "<Deleted><Key>k</Key></Deleted>"
                                   "<Deleted><Key>single</Key></Deleted></DeleteResult>"),
                           asked);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->objects[0].error->code, "AccessDenied");
  EXPECT_FALSE(result->objects[1].error);
  EXPECT_EQ(result->objects[2].error->code, "NotMentioned");  // "k" without a version says nothing about v3
  EXPECT_FALSE(result->objects[3].error);
}

TEST(DeleteObjectsReply, AWrongVersionProvesNothing) {
  const auto result = parse_delete_objects(
      replied(200, "<DeleteResult><Deleted><Key>k</Key><VersionId>v2</VersionId></Deleted></DeleteResult>"),
      {{"k", "v1"}});
  EXPECT_EQ(result->errors(), 1u);
}

TEST(DeleteObjectsReply, ACutReplyProvesNothing) {
  const std::string whole = "<DeleteResult><Deleted><Key>a</Key></Deleted></DeleteResult>";
  for (std::size_t length = 0; length < whole.size(); ++length)
    expect_unknown(parse_delete_objects(replied(200, whole.substr(0, length)), {{"a", ""}}));
  for (const char* body : {"<html/>", "<ListBucketResult/>", "{}", "<deleteresult/>"})
    expect_unknown(parse_delete_objects(replied(200, body), {{"a", ""}}));
  expect_unknown(parse_delete_objects(replied(204), {{"a", ""}}));
  EXPECT_EQ(parse_delete_objects(replied(200, error_xml("SlowDown")), {{"a", ""}}).error().klass,
            ErrorClass::throttled);
  EXPECT_EQ(parse_delete_objects(replied(400, error_xml("MalformedXML")), {{"a", ""}}).error().klass,
            ErrorClass::object);
}

TEST(MultipartReply, NeedsIdsAndEtags) {
  EXPECT_EQ(parse_create_multipart_upload(
                replied(200, "<InitiateMultipartUploadResult><UploadId>id</UploadId></InitiateMultipartUploadResult>"))
                .value(),
            "id");
  expect_unknown(parse_create_multipart_upload(replied(200, "<InitiateMultipartUploadResult/>")));
  expect_unknown(parse_create_multipart_upload(replied(200, "")));
  EXPECT_EQ(parse_upload_part(replied(200, "", {{"etag", "\"p\""}}))->etag, "\"p\"");
  expect_unknown(parse_upload_part(replied(200)));
  EXPECT_EQ(parse_upload_part(replied(404, error_xml("NoSuchUpload"))).error().klass, ErrorClass::not_found);
}

TEST(MultipartReply, CompleteMayFailInsideOf200) {
  const auto complete = parse_complete_multipart_upload(
      replied(200,
              "<?xml version=\"1.0\"?>\n   \n  <CompleteMultipartUploadResult><ETag>&quot;e-2&quot;</ETag>"
              "</CompleteMultipartUploadResult>"));
  ASSERT_TRUE(complete);
  EXPECT_EQ(complete->etag, "\"e-2\"");
  EXPECT_TRUE(parse_complete_multipart_upload(replied(200, "<CompleteMultipartUploadResult/>")));  // RGW: no ETag

  const auto failed = parse_complete_multipart_upload(replied(200, error_xml("InternalError")));
  expect_unknown(failed);
  EXPECT_EQ(failed.error().code, "InternalError");
  EXPECT_EQ(parse_complete_multipart_upload(replied(200, error_xml("InvalidPart"))).error().klass,
            ErrorClass::conflict);
  expect_unknown(parse_complete_multipart_upload(replied(200, "   ")));
  expect_unknown(parse_complete_multipart_upload(replied(200, "<CompleteMultipartUploadResult><ETag>x")));
}

TEST(MultipartReply, AbortingWhatIsGoneIsDone) {
  EXPECT_FALSE(parse_abort_multipart_upload(replied(204))->was_missing);
  EXPECT_TRUE(parse_abort_multipart_upload(replied(404, error_xml("NoSuchUpload")))->was_missing);
  EXPECT_EQ(parse_abort_multipart_upload(replied(404, error_xml("NoSuchBucket"))).error().klass, ErrorClass::store);
}

TEST(CopyReply, MayFailInsideOf200) {
  EXPECT_EQ(parse_copy_object(replied(200, "<CopyObjectResult><ETag>\"c\"</ETag></CopyObjectResult>"))->etag, "\"c\"");
  expect_unknown(parse_copy_object(replied(200, error_xml("InternalError"))));
  expect_unknown(parse_copy_object(replied(200)));
}

TEST(ListPage, ReadsEntriesAndDecodesKeys) {
  const auto page = parse_list_objects_v2(
      replied(200, list_start +
                       "<EncodingType>url</EncodingType><KeyCount>1</KeyCount><IsTruncated>true</IsTruncated>"
                       "<NextContinuationToken>t+/%3D=</NextContinuationToken>" +
                       entry + "</ListBucketResult>"));
  ASSERT_TRUE(page);
  ASSERT_EQ(page->objects.size(), 1u);
  EXPECT_EQ(page->objects[0].key, "a+b c d/\x01");
  EXPECT_EQ(page->objects[0].size, 42);
  EXPECT_EQ(page->objects[0].etag, "\"abc\"");
  EXPECT_EQ(page->objects[0].last_modified, parse_iso8601("2024-02-29T01:02:03Z"));
  EXPECT_TRUE(page->truncated);
  EXPECT_EQ(page->next_token, "t+/%3D=");  // opaque, never decoded
  EXPECT_TRUE(page->in_order);
}

TEST(ListPage, DecodesOnlyWhatIsSaidToBeEncoded) {
  const auto page = parse_list_objects_v2(replied(
      200, list_start + "<IsTruncated>false</IsTruncated><Contents><Key> a%2Bb+c&#10;</Key><Size>0</Size></Contents>"
                        "<Contents><Key>  </Key><Size>0</Size></Contents></ListBucketResult>"));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->objects[0].key, " a%2Bb+c\n");
  EXPECT_EQ(page->objects[1].key, "  ");
  EXPECT_FALSE(page->in_order);
}

std::string versions_result(const std::string& inside, const std::string& root = "ListVersionsResult") {
  return "<" + root + "><EncodingType>url</EncodingType>" + inside + "</" + root + ">";
}
const std::string two_versions =
    "<IsTruncated>false</IsTruncated>"
    "<DeleteMarker><Key>a%20b</Key><VersionId>m</VersionId><IsLatest>true</IsLatest></DeleteMarker>"
    "<Version><Key>a%20b</Key><VersionId>v</VersionId><IsLatest>false</IsLatest><ETag>&quot;e&quot;</ETag><Size>7</"
    "Size></Version>";

TEST(VersionsPage, ReadsVersionsAndMarkersInTheirOrder) {
  for (const char* root : {"ListVersionsResult", "ListVersionResult"}) {
    const auto page = parse_list_object_versions(replied(200, versions_result(two_versions, root)));
    ASSERT_TRUE(page) << root;
    ASSERT_EQ(page->versions.size(), 2u);
    EXPECT_EQ(page->versions[0].key, "a b");
    EXPECT_TRUE(page->versions[0].is_marker);
    EXPECT_TRUE(page->versions[0].is_latest);
    EXPECT_FALSE(page->versions[1].is_marker);
    EXPECT_EQ(page->versions[1].version_id, "v");
    EXPECT_EQ(page->versions[1].size, 7);
    EXPECT_EQ(page->versions[1].etag, "\"e\"");
    EXPECT_TRUE(page->in_order);
    EXPECT_FALSE(page->truncated);
  }
}

TEST(VersionsPage, ACutPageIsNoPage) {
  const std::string whole = versions_result(two_versions);
  for (std::size_t length = 0; length < whole.size(); ++length)
    expect_unknown(parse_list_object_versions(replied(200, whole.substr(0, length))));
}

TEST(VersionsPage, WhatDoesNotAddUpIsNoPage) {
  for (const std::string& inside :
       {std::string(), std::string("<IsTruncated>true</IsTruncated>"),
        std::string("<IsTruncated>false</IsTruncated><Version><Key>k</Key><VersionId>v</VersionId></Version>"),
        std::string("<IsTruncated>false</IsTruncated><Version><Key>k</Key><Size>1</Size></Version>"),
        std::string("<IsTruncated>false</IsTruncated><DeleteMarker><VersionId>v</VersionId></DeleteMarker>"),
        std::string(
            "<IsTruncated>false</IsTruncated><Version><Key>%zz</Key><VersionId>v</VersionId><Size>1</Size></Version>")})
    expect_unknown(parse_list_object_versions(replied(200, versions_result(inside))));
  expect_unknown(parse_list_object_versions(replied(200, error_xml("InternalError"))));
  EXPECT_EQ(parse_list_object_versions(replied(404, error_xml("NoSuchBucket"))).error().klass, ErrorClass::store);
}

TEST(VersionsPage, FallingKeysShow) {
  const auto page = parse_list_object_versions(replied(
      200, versions_result(
               "<IsTruncated>false</IsTruncated><Version><Key>b</Key><VersionId>v</VersionId><Size>1</Size></Version>"
               "<Version><Key>a</Key><VersionId>v</VersionId><Size>1</Size></Version>")));
  ASSERT_TRUE(page);
  EXPECT_FALSE(page->in_order);
}

TEST(ListPage, AnEmptyBucketIsAnEmptyPage) {
  const auto page = parse_list_objects_v2(
      replied(200, list_start + "<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated></ListBucketResult>"));
  ASSERT_TRUE(page);
  EXPECT_TRUE(page->objects.empty());
  EXPECT_FALSE(page->truncated);
}

TEST(ListPage, OrderIsThatOfBytes) {
  const auto in_order = [](const char* first, const char* second) {
    const std::string one = std::string("<Contents><Key>") + first + "</Key><Size>0</Size></Contents>";
    const std::string two = std::string("<Contents><Key>") + second + "</Key><Size>0</Size></Contents>";
    return parse_list_objects_v2(
               replied(200, list_start + "<IsTruncated>false</IsTruncated>" + one + two + "</ListBucketResult>"))
        ->in_order;
  };
  EXPECT_TRUE(in_order("B", "a"));
  EXPECT_TRUE(in_order("a", "aa"));
  EXPECT_TRUE(in_order("\xef\xbf\xbd", "\xf0\x9f\x98\x80"));  // UTF-16 would have it the other way round
  EXPECT_FALSE(in_order("\xf0\x9f\x98\x80", "\xef\xbf\xbd"));
  EXPECT_FALSE(in_order("a", "a"));
  EXPECT_FALSE(in_order("a", "B"));
}

TEST(ListPage, ACutPageIsNoPage) {
  const std::string whole =
      list_start + "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>" + entry + "</ListBucketResult>";
  ASSERT_TRUE(parse_list_objects_v2(replied(200, whole)));
  for (std::size_t length = 0; length < whole.size(); ++length)
    expect_unknown(parse_list_objects_v2(replied(200, whole.substr(0, length))));
}

TEST(ListPage, WhatDoesNotAddUpIsNoPage) {
  for (const std::string& inside :
       {std::string(""), "<IsTruncated>maybe</IsTruncated>" + entry, "<IsTruncated>true</IsTruncated>" + entry,
        std::string("<IsTruncated>true</IsTruncated><NextContinuationToken/>"),
        "<IsTruncated>false</IsTruncated><KeyCount>2</KeyCount>" + entry,
        std::string("<IsTruncated>false</IsTruncated><Contents><Size>1</Size></Contents>"),
        std::string("<IsTruncated>false</IsTruncated><Contents><Key>k</Key></Contents>"),
        std::string("<IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>x</Size></Contents>"),
        std::string("<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated><Contents><Key>%zz</Key>"
                    "<Size>1</Size></Contents>")})
    expect_unknown(parse_list_objects_v2(replied(200, list_start + inside + "</ListBucketResult>")));
  expect_unknown(parse_list_objects_v2(replied(200, error_xml("InternalError"))));
  EXPECT_EQ(parse_list_objects_v2(replied(404, error_xml("NoSuchBucket"))).error().klass, ErrorClass::store);
}

TEST(UploadsPage, GoesOnAfterItsLastEntry) {
  const std::string start = "<ListMultipartUploadsResult><EncodingType>url</EncodingType>";
  const std::string upload =
      "<Upload><Key>a+b</Key><UploadId>u1</UploadId><Initiated>2024-02-29T01:02:03.000Z</Initiated></Upload>";
  const auto page = parse_list_multipart_uploads(
      replied(200, start + "<IsTruncated>true</IsTruncated>" + upload + "</ListMultipartUploadsResult>"));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->next_key_marker, "a b");
  EXPECT_EQ(page->next_upload_id_marker, "u1");
  EXPECT_TRUE(page->uploads[0].initiated);
  expect_unknown(parse_list_multipart_uploads(
      replied(200, start + "<IsTruncated>true</IsTruncated></ListMultipartUploadsResult>")));
  expect_unknown(parse_list_multipart_uploads(replied(
      200, start + "<IsTruncated>false</IsTruncated><Upload><Key>k</Key></Upload></ListMultipartUploadsResult>")));
}

TEST(PartsPage, TellsWhenTheYoungestCameIn) {
  const auto parts = [](const std::string& inside, const char* truncated = "false") {
    return parse_list_parts(replied(200, "<ListPartsResult><IsTruncated>" + std::string(truncated) + "</IsTruncated>" +
                                             inside + "</ListPartsResult>"));
  };
  const auto part = [](const char* number, const char* at) {
    return "<Part><PartNumber>" + std::string(number) + "</PartNumber><LastModified>" + at + "</LastModified></Part>";
  };
  const auto page = parts(part("2", "2024-02-29T01:02:04.000Z") + part("7", "2024-02-29T01:02:03.000Z"), "true");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->youngest, parse_iso8601("2024-02-29T01:02:04.000Z"));
  EXPECT_TRUE(page->all_dated);
  EXPECT_EQ(page->next_part_number, 7);
  EXPECT_FALSE(parts("")->youngest);
  EXPECT_FALSE(parts(part("1", "yesterday"))->all_dated);
  expect_unknown(parts("", "true"));
  expect_unknown(parts(part("0", "2024-02-29T01:02:04.000Z")));
  expect_unknown(parts(part("10001", "2024-02-29T01:02:04.000Z")));
  expect_unknown(parse_list_parts(replied(200, "<ListPartsResult/>")));
  EXPECT_EQ(parse_list_parts(replied(404, error_xml("NoSuchUpload"))).error().klass, ErrorClass::not_found);
}

TEST(BucketReply, AMissingBucketIsTheStoresFault) {
  EXPECT_EQ(parse_head_bucket(replied(200, "", {{"x-amz-bucket-region", "eu-west-1"}}, "HEAD"))->region, "eu-west-1");
  const auto missing = parse_head_bucket(replied(404, "", {}, "HEAD"));
  EXPECT_EQ(missing.error().klass, ErrorClass::store);
  EXPECT_EQ(missing.error().code, "NoSuchBucket");
}

TEST(VersioningReply, KnowsThreeStates) {
  const auto state = [](const std::string& inside) {
    return parse_get_bucket_versioning(
        replied(200, "<VersioningConfiguration>" + inside + "</VersioningConfiguration>"));
  };
  EXPECT_EQ(state("").value(), Versioning::never);
  EXPECT_EQ(state("<Status>Enabled</Status>").value(), Versioning::enabled);
  EXPECT_EQ(state("<Status>Suspended</Status>").value(), Versioning::suspended);
  expect_unknown(state("<Status>Sometimes</Status>"));
}

}  // namespace
}  // namespace objectlink
