// Goal: what a user types, sets or writes is understood or refused with a sentence, and no password is ever shown.
// Method: argument vectors, environment variables and temporary config files given to parse_config().
#include "config.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "dsn.hpp"
#include "exit_code.hpp"
#include "health_server.hpp"

namespace objectlink {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;

class ConfigTest : public testing::Test {
 protected:
  ~ConfigTest() override {
    for (const std::string& name : variables_) unsetenv(name.c_str());
    if (!file_.empty()) std::filesystem::remove(file_);
  }

  void set(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    variables_.push_back(name);
  }

  std::string write_file(const std::string& text, mode_t mode = 0600) {
    file_ = std::filesystem::path(testing::TempDir()) / ("objectlink_config_test_" + std::to_string(getpid()));
    std::ofstream(file_) << text;
    chmod(file_.c_str(), mode);
    return file_;
  }

  // stderr_ and stdout_ hold what was printed.
  ParsedConfig parse(const std::vector<std::string>& arguments) {
    std::vector<const char*> argv{"objectlinkd"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    ParsedConfig parsed = parse_config(static_cast<int>(argv.size()), argv.data());
    stdout_ = testing::internal::GetCapturedStdout();
    stderr_ = testing::internal::GetCapturedStderr();
    return parsed;
  }

  void refuses(const std::vector<std::string>& arguments, const std::string& sentence) {
    const ParsedConfig parsed = parse(arguments);
    EXPECT_FALSE(parsed.config);
    EXPECT_EQ(parsed.exit_code, exit_code::usage);
    EXPECT_THAT(stderr_, HasSubstr(sentence));
    EXPECT_THAT(stderr_, HasSubstr("--help"));
    EXPECT_EQ(stdout_, "");
  }

  std::string stdout_;
  std::string stderr_;

 private:
  std::vector<std::string> variables_;
  std::filesystem::path file_;
};

TEST_F(ConfigTest, EverythingHasADefault) {
  const auto parsed = parse({});
  ASSERT_TRUE(parsed.config) << stderr_;
  EXPECT_EQ(parsed.config->dsn, "");
  EXPECT_EQ(parsed.config->batch_size, 1000);
  EXPECT_EQ(parsed.config->poll_interval, milliseconds{1000});
  EXPECT_EQ(parsed.config->drain_timeout, milliseconds{30000});
  EXPECT_EQ(parsed.config->payload_memory_bytes, 32u << 20);
  EXPECT_EQ(parsed.config->log_level, LogLevel::info);
  EXPECT_TRUE(parsed.config->metrics_address_is_default);
  EXPECT_THAT(parsed.config->name, HasSubstr(":" + std::to_string(getpid())));
  EXPECT_FALSE(parsed.config->once);
  EXPECT_TRUE(parsed.config->warnings.empty());
}

TEST_F(ConfigTest, CommandLine) {
  const auto parsed = parse({"--dsn", "dbname=app", "--poll-interval=250ms", "--payload-memory", "8MB", "--log-format",
                             "json", "--log-level", "debug", "--once", "--name", "left", "--metrics-address", "off"});
  ASSERT_TRUE(parsed.config) << stderr_;
  EXPECT_EQ(parsed.config->dsn, "dbname=app");
  EXPECT_EQ(parsed.config->poll_interval, milliseconds{250});
  EXPECT_EQ(parsed.config->payload_memory_bytes, 8u << 20);
  EXPECT_EQ(parsed.config->log_format, LogFormat::json);
  EXPECT_EQ(parsed.config->log_level, LogLevel::debug);
  EXPECT_TRUE(parsed.config->once);
  EXPECT_EQ(parsed.config->name, "left");
  EXPECT_EQ(parsed.config->metrics_address, "");
}

TEST_F(ConfigTest, CommandLineBeforeEnvironmentBeforeFile) {
  const std::string file = write_file("batch-size = 1\nconcurrency = 1\npoll-interval = \"7s\"\n");
  set("OBJECTLINKD_BATCH_SIZE", "2");
  set("OBJECTLINKD_CONCURRENCY", "2");
  set("OBJECTLINKD_CONFIG", file);
  const auto parsed = parse({"--batch-size", "3"});
  ASSERT_TRUE(parsed.config) << stderr_;
  EXPECT_EQ(parsed.config->batch_size, 3);
  EXPECT_EQ(parsed.config->concurrency, 2);
  EXPECT_EQ(parsed.config->poll_interval, milliseconds{7000});
  EXPECT_EQ(parsed.config->config_file, file);
}

TEST_F(ConfigTest, AnEmptyVariableIsNoVariable) {
  set("OBJECTLINKD_BATCH_SIZE", "");
  EXPECT_EQ(parse({}).config->batch_size, 1000);
}

TEST_F(ConfigTest, HelpAndVersion) {
  auto parsed = parse({"--help"});
  EXPECT_FALSE(parsed.config);
  EXPECT_EQ(parsed.exit_code, exit_code::ok);
  EXPECT_THAT(stdout_, HasSubstr("Exit codes:"));
  EXPECT_THAT(stdout_, HasSubstr("--dsn"));
  parsed = parse({"--version"});
  EXPECT_EQ(parsed.exit_code, exit_code::ok);
  EXPECT_THAT(stdout_, testing::MatchesRegex("objectlinkd [0-9.]+\n"));
}

TEST_F(ConfigTest, RefusesWithASentence) {
  refuses({"--batch-size", "0"}, "--batch-size");
  refuses({"--batch-size", "10001"}, "10000");
  refuses({"--batch-size", "many"}, "--batch-size");
  refuses({"--poll-interval", "1"}, "unit");
  refuses({"--poll-interval", "1ms"}, "--poll-interval");
  refuses({"--poll-interval", "1 fortnight"}, "unit");
  refuses({"--payload-memory", "1kB"}, "--payload-memory");
  refuses({"--log-format", "xml"}, "auto|json|text");
  refuses({"--metrics-address", "9000"}, "host:port");
  refuses({"--metrics-address", "::1:9000"}, "[address]:port");
  refuses({"--metrics-address", "localhost:70000"}, "65535");
  refuses({"--name", "a\nb"}, "printable");
  refuses({"--config", "/nonexistent/file"}, "/nonexistent/file");
  refuses({"--nonsense"}, "--nonsense");
  refuses({"leftover"}, "leftover");
}

TEST_F(ConfigTest, ATypingErrorInTheFileIsNoticed) {
  refuses({"--config", write_file("batchsize = 5\n")}, "batchsize");
  refuses({"--config", write_file("[section]\nbatch-size = 5\n")}, "section");
}

TEST_F(ConfigTest, AnUnquotedConnectionStringInTheFileIsNotCutShort) {
  const auto parsed = parse({"--config", write_file("dsn = host=db dbname=app\n")});
  if (parsed.config)
    EXPECT_EQ(parsed.config->dsn, "host=db dbname=app");
  else
    EXPECT_THAT(stderr_, HasSubstr("dsn"));
}

TEST_F(ConfigTest, FileHoldsAConnectionString) {
  const auto parsed = parse({"--config", write_file("dsn = \"host=db dbname=app\"\n")});
  ASSERT_TRUE(parsed.config) << stderr_;
  EXPECT_EQ(parsed.config->dsn, "host=db dbname=app");
}

TEST_F(ConfigTest, AMalformedConnectionStringIsNotEchoed) {
  for (const char* dsn : {"host=db password=hunter2 and more", "postgresql://u:hunter2@h/db?nonsense=and",
                          "password='hunter2", "hunter2", "pass word=hunter2"}) {
    refuses({"--dsn", dsn}, "connection string is malformed");
    EXPECT_THAT(stderr_, Not(HasSubstr("hunter2"))) << dsn;
    EXPECT_THAT(stderr_, Not(HasSubstr("and"))) << dsn;
  }
}

TEST_F(ConfigTest, WarnsOfAPasswordOthersCanRead) {
  EXPECT_EQ(parse({"--dsn", "password=x"}).config->warnings.size(), 1u);
  EXPECT_EQ(parse({"--config", write_file("dsn = \"password=x\"\n", 0644)}).config->warnings.size(), 1u);
  EXPECT_EQ(parse({"--config", write_file("dsn = \"password=x\"\n", 0600)}).config->warnings.size(), 0u);
  EXPECT_EQ(parse({"--config", write_file("dsn = \"dbname=x\"\n", 0644)}).config->warnings.size(), 0u);
}

TEST(Dsn, ShowsNoPassword) {
  EXPECT_EQ(redacted_dsn("host=db password='a b' dbname=app"), "password=*** dbname=app host=db");
  EXPECT_THAT(
      redacted_dsn("postgresql://u:se%20cret@db:5433/app?sslpassword=alsosecret"),
      testing::AllOf(HasSubstr("host=db"), HasSubstr("user=u"), HasSubstr("port=5433"), Not(HasSubstr("cret"))));
  EXPECT_EQ(redacted_dsn("nonsense"), "***");
  EXPECT_EQ(redacted_dsn(""), "");
  EXPECT_TRUE(dsn_has_password("postgresql://u:p@h/d"));
  EXPECT_FALSE(dsn_has_password("postgresql://u@h/d"));
}

TEST(Dsn, AddsWhatADaemonNeedsUnlessSaidOtherwise) {
  const std::string plain = daemon_dsn("dbname='it\\'s' user=a\\ b");
  EXPECT_THAT(plain, HasSubstr("application_name='objectlinkd'"));
  EXPECT_THAT(plain, HasSubstr("tcp_user_timeout='15000'"));
  EXPECT_THAT(plain, HasSubstr("user='a b'"));
  EXPECT_THAT(plain, Not(HasSubstr("target_session_attrs")));
  EXPECT_THAT(daemon_dsn("connect_timeout=60"), HasSubstr("connect_timeout='60'"));
  EXPECT_THAT(daemon_dsn("host=a,b"), HasSubstr("target_session_attrs='primary'"));
  EXPECT_THAT(daemon_dsn("postgresql://a,b/d?target_session_attrs=any"), HasSubstr("target_session_attrs='any'"));
  EXPECT_THAT(daemon_dsn("password='a\\'b\\\\c'"), HasSubstr("password='a\\'b\\\\c'"));
  EXPECT_THROW(daemon_dsn(std::string("dbname=a\0b", 10)), std::invalid_argument);
}

TEST(ListenAddress, Forms) {
  EXPECT_EQ(parse_listen_address("127.0.0.1:80").host, "127.0.0.1");
  EXPECT_EQ(parse_listen_address("[::1]:80").host, "::1");
  EXPECT_EQ(parse_listen_address("localhost:0").port, 0);
  for (const char* bad : {"", ":", ":80", "host", "host:", "host:-1", "host:65536", "host:80x", "::1:80", "host: 80"}) {
    EXPECT_THROW(parse_listen_address(bad), std::invalid_argument) << bad;
  }
}

}  // namespace
}  // namespace objectlink
