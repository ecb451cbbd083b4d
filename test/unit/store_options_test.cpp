// Goal: an option is taken exactly if the daemon can use it; refusals say which option, what and where, and never
// repeat the value.
// Method: tables of good and bad values per option; defaults are checked one by one.
#include "core/store_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace objectlink {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using testing::HasSubstr;

struct Bad {
  const char* option;
  std::string value;
  const char* detail;  // its beginning
};

void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.option << '=' << testing::PrintToString(bad.value); }

class BadOption : public testing::TestWithParam<Bad> {};

TEST_P(BadOption, IsRefusedAndChangesNothing) {
  StoreOptions options;
  options.endpoint = "http://before";
  const auto problem = set_store_option(options, {GetParam().option, GetParam().value});
  ASSERT_TRUE(problem);
  EXPECT_EQ(problem->fault, OptionFault::malformed);
  EXPECT_EQ(problem->option, GetParam().option);
  EXPECT_THAT(problem->detail, testing::StartsWith(GetParam().detail));
  EXPECT_THAT(problem->detail, testing::EndsWith("."));
  EXPECT_THAT(problem->hint, testing::EndsWith("."));
  EXPECT_EQ(options.endpoint, "http://before");
  EXPECT_EQ(options.prefix, "");
  EXPECT_EQ(options.retention, 0ms);
}

const std::string h254(254, 'h');
const std::string x65(65, 'x');

INSTANTIATE_TEST_SUITE_P(
    Endpoint, BadOption,
    testing::Values(
        Bad{"endpoint", "", "It must begin with http://"}, Bad{"endpoint", "s3.example.com", "It must begin with"},
        Bad{"endpoint", "ftp://h", "It must begin with"}, Bad{"endpoint", "HTTP://h", "It must begin with"},
        Bad{"endpoint", " http://h", "It must begin with"}, Bad{"endpoint", "http:/h", "It must begin with"},
        Bad{"endpoint", "http://", "A host name is expected (byte 8)"},
        Bad{"endpoint", "https://", "A host name is expected (byte 9)"},
        Bad{"endpoint", "http://:80", "A host name is expected (byte 8)"},
        Bad{"endpoint", "http:///b", "A host name is expected"},
        Bad{"endpoint", "http://key:secret@h", "A user or password in front of the host is not allowed (byte 8)"},
        Bad{"endpoint", "http://key@h:80", "A user or password"},
        Bad{"endpoint", "http://h/", "A path is not allowed (byte 9)"},
        Bad{"endpoint", "http://h:80/b", "A path is not allowed (byte 12)"},
        Bad{"endpoint", "http://h?x", "A query is not allowed (byte 9)"},
        Bad{"endpoint", "http://h#x", "A fragment is not allowed"},
        Bad{"endpoint", "http://h:", "The port must be a number"}, Bad{"endpoint", "http://h:0", "The port must be"},
        Bad{"endpoint", "http://h:65536", "The port must be"}, Bad{"endpoint", "http://h:-1", "The port must be"},
        Bad{"endpoint", "http://h:99999999999999999999", "The port must be"},
        Bad{"endpoint", "http://h:80x", "This character cannot stand"},
        Bad{"endpoint", "http://h\n", "This character cannot stand"},
        Bad{"endpoint", "http://h h", "This character cannot stand"}, Bad{"endpoint", "http://h\\b", "This character"},
        Bad{"endpoint", "http://h%41", "This character"}, Bad{"endpoint", "http://-h", "The host name must begin"},
        Bad{"endpoint", "http://.", "The host name must begin"}, Bad{"endpoint", "http://a..b", "The host name has"},
        Bad{"endpoint", "http://" + h254, "The host name is longer"},
        Bad{"endpoint", "http://[::1", "The bracket of the address is not closed"},
        Bad{"endpoint", "http://[]", "The address in brackets"},
        Bad{"endpoint", "http://[h]", "The address in brackets"}, Bad{"endpoint", "http://[::1]x", "This character"},
        Bad{"endpoint", "http://::1", "A host name is expected"}));

INSTANTIATE_TEST_SUITE_P(
    Names, BadOption,
    testing::Values(
        Bad{"bucket", "", "It must have 3 to 63"}, Bad{"bucket", "ab", "It must have 3 to 63"},
        Bad{"bucket", std::string(64, 'b'), "It must have 3 to 63"},
        Bad{"bucket", "Docs", "Only lower-case letters, digits, dots and hyphens are allowed (byte 1)"},
        Bad{"bucket", "do_cs", "Only lower-case letters, digits, dots and hyphens are allowed (byte 3)"},
        Bad{"bucket", "docs/a", "Only lower-case"}, Bad{"bucket", "d\xc3\xb6x", "Only lower-case"},
        Bad{"bucket", "do cs", "Only lower-case"}, Bad{"bucket", "-docs", "It must begin and end"},
        Bad{"bucket", "docs-", "It must begin and end with a letter or a digit (byte 5)"},
        Bad{"bucket", ".docs", "It must begin"}, Bad{"bucket", "docs.", "It must begin"},
        Bad{"bucket", "do..cs", "Two dots"}, Bad{"bucket", "10.0.0.1", "It must not look like an IP"},
        Bad{"inventory_bucket", "", "It must have 3 to 63"}, Bad{"inventory_bucket", "Docs", "Only lower-case"},
        Bad{"prefix", "/", "It must not begin with a slash"}, Bad{"prefix", "/a/", "It must not begin"},
        Bad{"prefix", ".objectlink/", "Keys below .objectlink/"}, Bad{"prefix", ".objectlink", "Keys below"},
        Bad{"prefix", ".objectlink/a", "Keys below"}, Bad{"prefix", "a\xff", "It is not valid UTF-8 (byte 2)"},
        Bad{"prefix", "a\0b"s, "It contains a NUL"}, Bad{"prefix", std::string(1023, 'p'), "It leaves no room"},
        Bad{"region", "", "It is empty"}, Bad{"region", "eu central", "Only letters"},
        Bad{"region", "eu/1", "Only letters"}, Bad{"region", x65, "It is longer than 64"},
        Bad{"credentials", "", "It is empty"}, Bad{"credentials", "a b", "Only letters"},
        Bad{"credentials", "../x", "Only letters"}, Bad{"credentials", "AKIA+x/yz==", "Only letters"},
        Bad{"credentials", x65, "It is longer"}, Bad{"ca_file", "", "An absolute path"},
        Bad{"ca_file", "ca.pem", "An absolute path"}, Bad{"ca_file", "./ca.pem", "An absolute path"},
        Bad{"ca_file", "/a\nb", "Control characters"}, Bad{"ca_file", "/" + std::string(1023, 'a'), "It is longer"},
        Bad{"path_style", "", "It is neither"}, Bad{"path_style", "maybe", "It is neither"},
        Bad{"path_style", "2", "It is neither"}, Bad{"path_style", "true ", "It is neither"},
        Bad{"path_style", "t", "It is neither"}));

INSTANTIATE_TEST_SUITE_P(
    Numbers, BadOption,
    testing::Values(
        Bad{"concurrency", "", "A whole number"}, Bad{"concurrency", "0", "It must be from 1 to 256"},
        Bad{"concurrency", "257", "It must be from 1 to 256"}, Bad{"concurrency", "-1", "A whole number"},
        Bad{"concurrency", "+1", "A whole number"}, Bad{"concurrency", "1.5", "Only digits are expected (byte 2)"},
        Bad{"concurrency", "4294967297", "It must be"}, Bad{"concurrency", "18446744073709551617", "It must be"},
        Bad{"concurrency", "0x10", "Only digits"}, Bad{"concurrency", "8 ", "Only digits"},
        Bad{"max_attempts", "0", "It must be from 1 to 1000"}, Bad{"max_attempts", "1001", "It must be"},
        Bad{"max_attempts", "ten", "A whole number"}, Bad{"part_size", "8", "A unit is expected"},
        Bad{"part_size", "MB", "A whole number"}, Bad{"part_size", "8 XB", "The unit is unknown (byte 3)"},
        Bad{"part_size", "8MiB", "The unit is unknown"}, Bad{"part_size", "4MB", "It must be from 5MB to 64MB"},
        Bad{"part_size", "65MB", "It must be from 5MB to 64MB"}, Bad{"part_size", "5242879B", "It must be"},
        Bad{"part_size", "-8MB", "A whole number"}, Bad{"part_size", "8.5MB", "A unit is expected"},
        Bad{"part_size", "99999999999999999999GB", "It must be"}, Bad{"part_size", "8MB 1kB", "Nothing is expected"},
        Bad{"multipart_threshold", "1MB", "It must be"}, Bad{"multipart_threshold", "1GB", "It must be"}));

INSTANTIATE_TEST_SUITE_P(
    Times, BadOption,
    testing::Values(
        Bad{"connect_timeout", "", "A number is expected"}, Bad{"connect_timeout", "5", "A unit is expected"},
        Bad{"connect_timeout", "5 parsecs", "The unit is unknown (byte 3)"},
        Bad{"connect_timeout", "5m", "The unit is unknown"}, Bad{"connect_timeout", "1 month", "The unit is unknown"},
        Bad{"connect_timeout", "1.5s", "A unit is expected"}, Bad{"connect_timeout", "-5s", "A number is expected"},
        Bad{"connect_timeout", "99ms", "It must be from 100ms to 1min"}, Bad{"connect_timeout", "0", "It must be"},
        Bad{"connect_timeout", "61s", "It must be from 100ms to 1min"},
        Bad{"connect_timeout", "59s 1001ms", "It must be"}, Bad{"connect_timeout", "5s5", "A unit is expected"},
        Bad{"connect_timeout", "5s,", "A number is expected"},
        Bad{"request_timeout", "999ms", "It must be from 1s to 15min"},
        Bad{"request_timeout", "901s", "It must be from 1s to 15min"}, Bad{"retention", "7", "A unit is expected"},
        Bad{"retention", "0 0", "A unit is expected"}, Bad{"retention", "1 year", "The unit is unknown"},
        Bad{"retention", "3651 days", "It must be from 0 to 10 years of 365 days"},
        Bad{"retention", "3650 days 1ms", "It must be"}, Bad{"retention", "99999999999999999999 days", "It must be"},
        Bad{"retention", "3650d 3650d 3650d 99999999999999999999w", "It must be"},
        Bad{"retention", "forever", "A number is expected"}, Bad{"retention", "'7 days'", "A number is expected"},
        Bad{"orphan_grace", "1e3s", "The unit is unknown"}, Bad{"orphan_grace", "24:00:00", "A unit is expected"},
        Bad{"upload_grace", "a week", "A number is expected"},
        Bad{"scrub_interval", "3651 days", "It must be from 0 to 10 years of 365 days"}));

INSTANTIATE_TEST_SUITE_P(
    Scrub, BadOption,
    testing::Values(Bad{"scrub_content_share", "", "A fraction without sign is expected (byte 1)"},
                    Bad{"scrub_content_share", "-1", "A fraction without sign"},
                    Bad{"scrub_content_share", ".5", "A fraction without sign"},
                    Bad{"scrub_content_share", "1.", "A digit is expected behind the point (byte 3)"},
                    Bad{"scrub_content_share", "0.1234567", "There are too many digits behind the point (byte 9)"},
                    Bad{"scrub_content_share", "0,1", "Only digits and a point are expected (byte 2)"},
                    Bad{"scrub_content_share", "10%", "Only digits and a point"},
                    Bad{"scrub_content_share", "1e-1", "Only digits and a point"},
                    Bad{"scrub_content_share", "1.000001", "It must be from 0 to 1"},
                    Bad{"scrub_content_share", "2", "It must be from 0 to 1"},
                    Bad{"scrub_rate", "0", "It must be from 1 to 10000"},
                    Bad{"scrub_rate", "10001", "It must be from 1 to 10000"},
                    Bad{"scrub_rate", "10/s", "Only digits"}));

TEST(StoreOptions, ReadsShares) {
  const auto share = [](std::string_view text) {
    StoreOptions options;
    EXPECT_FALSE(set_store_option(options, {"scrub_content_share", text})) << text;
    return options.scrub_content_share;
  };
  for (const auto& [text, value] :
       {std::pair{"0", 0.0}, {"1", 1.0}, {"0.0", 0.0}, {"1.000000", 1.0}, {"0.05", 0.05}, {"0.000001", 1e-6}})
    EXPECT_DOUBLE_EQ(share(text), value) << text;
}

StoreOptions read(std::vector<OptionText> texts) {
  const auto result = parse_store_options(texts);
  if (const auto* problem = std::get_if<OptionProblem>(&result))
    ADD_FAILURE() << problem->option << ": " << problem->detail;
  return std::holds_alternative<StoreOptions>(result) ? std::get<StoreOptions>(result) : StoreOptions{};
}

TEST(StoreOptions, HasTheDefaultsOfTheManual) {
  const StoreOptions options = read({});
  EXPECT_EQ(options.endpoint, "");
  EXPECT_EQ(options.bucket, "");
  EXPECT_EQ(options.prefix, "");
  EXPECT_EQ(options.region, "us-east-1");
  EXPECT_EQ(options.credentials, "");
  EXPECT_EQ(options.ca_file, "");
  EXPECT_EQ(options.inventory_bucket, "");
  EXPECT_TRUE(options.path_style);
  EXPECT_EQ(options.connect_timeout, 5s);
  EXPECT_EQ(options.request_timeout, 60s);
  EXPECT_EQ(options.retention, 0s);
  EXPECT_EQ(options.orphan_grace, 24h);
  EXPECT_EQ(options.upload_grace, 168h);
  EXPECT_EQ(options.concurrency, 32U);
  EXPECT_EQ(options.max_attempts, 10U);
  EXPECT_EQ(options.delete_limit, 100'000U);
  EXPECT_EQ(options.delete_limit_share, 50U);
  EXPECT_EQ(options.scrub_interval, 0s);
  EXPECT_EQ(options.scrub_content_share, 0);
  EXPECT_EQ(options.scrub_rate, 10U);
  EXPECT_EQ(options.part_size_bytes, 8U * 1024 * 1024);
  EXPECT_EQ(options.multipart_threshold_bytes, 16U * 1024 * 1024);
}

TEST(StoreOptions, ReadsAllOptions) {
  const StoreOptions options = read({{"endpoint", "https://s3.example.com:9000"},
                                     {"bucket", "docs-2024.x"},
                                     {"inventory_bucket", "docs-lists"},
                                     {"prefix", "a/b"},
                                     {"region", "eu-central-1"},
                                     {"path_style", "OFF"},
                                     {"credentials", "my.profile_1-x"},
                                     {"connect_timeout", "500ms"},
                                     {"request_timeout", "2min"},
                                     {"concurrency", "256"},
                                     {"part_size", "5MB"},
                                     {"multipart_threshold", "64 mb"},
                                     {"retention", "1 day 12 hours"},
                                     {"orphan_grace", "0"},
                                     {"upload_grace", "30 days"},
                                     {"max_attempts", "1000"},
                                     {"delete_limit", "1000000000"},
                                     {"delete_limit_share", "100"},
                                     {"scrub_interval", "30 days"},
                                     {"scrub_content_share", "0.25"},
                                     {"scrub_rate", "10000"},
                                     {"ca_file", "/etc/ssl/my ca.pem"}});
  EXPECT_EQ(options.endpoint, "https://s3.example.com:9000");
  EXPECT_EQ(options.bucket, "docs-2024.x");
  EXPECT_EQ(options.inventory_bucket, "docs-lists");
  EXPECT_EQ(options.prefix, "a/b/");
  EXPECT_EQ(options.region, "eu-central-1");
  EXPECT_FALSE(options.path_style);
  EXPECT_EQ(options.credentials, "my.profile_1-x");
  EXPECT_EQ(options.connect_timeout, 500ms);
  EXPECT_EQ(options.request_timeout, 2min);
  EXPECT_EQ(options.concurrency, 256U);
  EXPECT_EQ(options.part_size_bytes, 5U * 1024 * 1024);
  EXPECT_EQ(options.multipart_threshold_bytes, 64U * 1024 * 1024);
  EXPECT_EQ(options.retention, 36h);
  EXPECT_EQ(options.orphan_grace, 0s);
  EXPECT_EQ(options.upload_grace, 720h);
  EXPECT_EQ(options.max_attempts, 1000U);
  EXPECT_EQ(options.delete_limit, 1'000'000'000U);
  EXPECT_EQ(options.delete_limit_share, 100U);
  EXPECT_EQ(options.scrub_interval, 720h);
  EXPECT_EQ(options.scrub_content_share, 0.25);
  EXPECT_EQ(options.scrub_rate, 10'000U);
  EXPECT_EQ(options.ca_file, "/etc/ssl/my ca.pem");
}

TEST(StoreOptions, TakesEndpointsOfAllKinds) {
  for (const char* text : {"http://127.0.0.1:9000", "http://h", "https://s3.eu-central-1.amazonaws.com", "http://[::1]",
                           "http://[fe80::1]:65535", "http://minio_1:1", "http://UPPER.example"})
    EXPECT_EQ(read({{"endpoint", text}}).endpoint, text);
}

TEST(StoreOptions, TakesTimesAsPostgresqlWritesThem) {
  const std::vector<std::pair<const char*, std::chrono::milliseconds>> times = {{"7 days", 7 * 24h},
                                                                                {"7d", 7 * 24h},
                                                                                {"1 day", 24h},
                                                                                {"2 hours", 2h},
                                                                                {"24h", 24h},
                                                                                {" 90 min ", 90min},
                                                                                {"0", 0s},
                                                                                {"0 days", 0s},
                                                                                {"1w", 168h},
                                                                                {"10 secs", 10s},
                                                                                {"5S", 5s},
                                                                                {"1 DAY 2 H 3 ms", 26h + 3ms},
                                                                                {"3650 days", 3650 * 24h}};
  for (const auto& [text, expected] : times) EXPECT_EQ(read({{"retention", text}}).retention, expected) << text;
}

TEST(StoreOptions, EndsEveryPrefixInASlash) {
  EXPECT_EQ(read({{"prefix", ""}}).prefix, "");
  EXPECT_EQ(read({{"prefix", "a/"}}).prefix, "a/");
  EXPECT_EQ(read({{"prefix", "images"}}).prefix, "images/");
  EXPECT_EQ(read({{"prefix", "\xc3\xa9 x"}}).prefix, "\xc3\xa9 x/");
  EXPECT_EQ(read({{"prefix", std::string(1022, 'p')}}).prefix.size(), 1023U);
}

TEST(StoreOptions, NamesTheValidOptionsForAnUnknownOne) {
  StoreOptions options;
  for (const char* name : {"", "endpoin", "Endpoint", "host", "bucket "}) {
    const auto problem = set_store_option(options, {name, "x"});
    ASSERT_TRUE(problem) << name;
    EXPECT_EQ(problem->fault, OptionFault::unknown);
    EXPECT_EQ(problem->option, name);
    for (const char* valid : {"endpoint",
                              "bucket",
                              "prefix",
                              "region",
                              "path_style",
                              "credentials",
                              "connect_timeout",
                              "request_timeout",
                              "concurrency",
                              "part_size",
                              "multipart_threshold",
                              "retention",
                              "orphan_grace",
                              "upload_grace",
                              "max_attempts",
                              "ca_file",
                              "delete_limit",
                              "delete_limit_share",
                              "scrub_interval",
                              "scrub_content_share",
                              "scrub_rate"})
      EXPECT_THAT(problem->hint, HasSubstr(valid));
  }
}

TEST(StoreOptions, SendsSecretsToTheCredentialsFile) {
  StoreOptions options;
  for (const char* name : {"secret_access_key", "SECRET", "password", "access_key", "access_key_id", "accesskeyid",
                           "session_token", "aws_secret", "passwd", "private_key"}) {
    const auto problem = set_store_option(options, {name, "hunter2hunter2"});
    ASSERT_TRUE(problem) << name;
    EXPECT_EQ(problem->fault, OptionFault::secret) << name;
    EXPECT_THAT(problem->hint, HasSubstr("credentials"));
    EXPECT_THAT(problem->detail + problem->hint, testing::Not(HasSubstr("hunter2")));
  }
}

TEST(StoreOptions, NeverRepeatsAValueThatMayHoldASecret) {
  StoreOptions options;
  for (const OptionText& text :
       {OptionText{"endpoint", "http://AKIA:hunter2@host"}, OptionText{"credentials", "hunter2/+=="},
        OptionText{"ca_file", "hunter2"}, OptionText{"hunter", "hunter2"}}) {
    const auto problem = set_store_option(options, text);
    ASSERT_TRUE(problem) << text.name;
    EXPECT_THAT(problem->detail + problem->hint, testing::Not(HasSubstr("hunter2"))) << text.name;
  }
}

TEST(StoreOptions, SaysWhatAStoreLacks) {
  EXPECT_EQ(find_missing_option(read({})).value().option, "endpoint");
  EXPECT_EQ(find_missing_option(read({{"endpoint", "http://h"}})).value().option, "bucket");
  EXPECT_EQ(find_missing_option(read({{"bucket", "docs"}})).value().option, "endpoint");
  EXPECT_FALSE(find_missing_option(read({{"endpoint", "http://h"}, {"bucket", "docs"}})));
}

TEST(StoreOptions, StopsAtTheFirstProblem) {
  const std::vector<OptionText> texts = {{"bucket", "docs"}, {"region", ""}, {"concurrency", "0"}};
  const auto result = parse_store_options(texts);
  ASSERT_TRUE(std::holds_alternative<OptionProblem>(result));
  EXPECT_EQ(std::get<OptionProblem>(result).option, "region");
}

}  // namespace
}  // namespace objectlink
