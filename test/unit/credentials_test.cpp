// Goal: the right keys are found, mended files are noticed, and nothing that is said about a failure holds a secret.
// Method: a made-up environment and files in a temporary folder; more ways to fail than to succeed.
#include "shared_credentials.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

namespace objectlink {
namespace {

TEST(Secret, PrintsAsStars) {
  std::ostringstream out;
  out << Secret("hunter2") << '|' << Secret();
  EXPECT_EQ(out.str(), "***|");
}

TEST(Secret, CopiesMovesAndComparesAsAString) {
  Secret a("short");
  Secret b = a;
  EXPECT_EQ(a, b);
  Secret c = std::move(a);
  EXPECT_EQ(c.reveal(), "short");
  EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): that it is wiped is the point
  const Secret& alias = c;
  c = alias;
  EXPECT_EQ(c.reveal(), "short");
  b = Secret(std::string(100, 'x'));
  EXPECT_EQ(b.reveal().size(), 100u);
  EXPECT_FALSE(b == c);
  EXPECT_FALSE(Secret("a") == Secret("ab"));
}

std::string value(const Profiles& profiles, const char* profile, const char* name) {
  const auto found = profiles.find(profile);
  if (found == profiles.end()) return "(no profile)";
  const auto setting = found->second.find(name);
  return setting == found->second.end() ? "(no setting)" : std::string(setting->second.reveal());
}

TEST(SharedFile, ReadsTheDialectOfTheAwsTools) {
  const Profiles profiles = parse_shared_file(
      "\xef\xbb\xbf# a comment\r\n"
      "aws_access_key_id = outside of any section\n"
      "[default]\r\n"
      "AWS_Access_Key_Id=AKID\r\n"
      "aws_secret_access_key =  a/b+c=d#e;f  # a remark\n"
      "; another comment\n"
      "s3 =\n"
      "  aws_access_key_id = nested, belongs to s3\n"
      "no equals sign\n"
      "= no name\n"
      "empty =\n"
      "[ other ]\n"
      "x = 1\n"
      "x = 2\n"
      "[default]\n"
      "later = merged\n"
      "[never closed\n"
      "later = ignored",
      SharedFileKind::credentials);
  EXPECT_EQ(value(profiles, "default", "aws_access_key_id"), "AKID");
  EXPECT_EQ(value(profiles, "default", "aws_secret_access_key"), "a/b+c=d#e;f");
  EXPECT_EQ(value(profiles, "default", "empty"), "");
  EXPECT_EQ(value(profiles, "default", "later"), "merged");
  EXPECT_EQ(value(profiles, "other", "x"), "2");
  EXPECT_EQ(profiles.size(), 2u);
}

TEST(SharedFile, ConfigHasOtherSectionNames) {
  const Profiles profiles = parse_shared_file(
      "[default]\na=1\n[profile docs]\na=2\n[profile \"with blank\"]\na=3\n[docs2]\na=4\n[sso-session docs]\na=5\n"
      "[profiledocs]\na=6\n[profile]\na=7\n",
      SharedFileKind::config);
  EXPECT_EQ(profiles.size(), 3u);
  EXPECT_EQ(value(profiles, "docs", "a"), "2");
  EXPECT_EQ(value(profiles, "with blank", "a"), "3");
}

TEST(SharedFile, GarbageGivesNoProfiles) {
  EXPECT_TRUE(parse_shared_file("", SharedFileKind::credentials).empty());
  EXPECT_TRUE(parse_shared_file("[", SharedFileKind::credentials).empty());
  EXPECT_TRUE(parse_shared_file("[]\na=b", SharedFileKind::credentials).empty());
  EXPECT_TRUE(parse_shared_file(std::string("\0\0=\0\n", 5), SharedFileKind::credentials).empty());
}

class SharedKeys : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "credentials_test.XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    home_ = pattern;
    std::filesystem::create_directory(home_ + "/.aws");
    environment_["HOME"] = home_;
  }
  void TearDown() override { std::filesystem::remove_all(home_); }

  void write(const std::string& path, const std::string& text, mode_t mode = 0600) const {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    ASSERT_EQ(::chmod(path.c_str(), mode), 0);
  }
  std::string credentials_path() const { return home_ + "/.aws/credentials"; }
  std::string config_path() const { return home_ + "/.aws/config"; }

  static std::string section(const std::string& name, const std::string& id, const std::string& secret) {
    return "[" + name + "]\naws_access_key_id = " + id + "\naws_secret_access_key = " + secret + "\n";
  }

  std::string home_;
  std::map<std::string, std::string> environment_;
  SharedCredentials source_{[this](const char* name) -> std::optional<std::string> {
    const auto found = environment_.find(name);
    return found == environment_.end() ? std::nullopt : std::optional(found->second);
  }};
};

TEST_F(SharedKeys, TheEnvironmentComesBeforeTheFiles) {
  write(credentials_path(), section("default", "FILE", "s"));
  environment_["AWS_ACCESS_KEY_ID"] = "ENV";
  environment_["AWS_SECRET_ACCESS_KEY"] = "secret";
  environment_["AWS_SESSION_TOKEN"] = "token";
  environment_["AWS_CREDENTIAL_EXPIRATION"] = "2030-01-01T00:00:00Z";
  const auto result = source_.get("");
  ASSERT_TRUE(result) << result.error;
  EXPECT_EQ(result.credentials->access_key_id, "ENV");
  EXPECT_EQ(result.credentials->secret_access_key.reveal(), "secret");
  EXPECT_EQ(result.credentials->session_token.reveal(), "token");
  EXPECT_TRUE(result.credentials->expires_at);
}

TEST_F(SharedKeys, AProfileOfTheStoreComesBeforeTheEnvironment) {
  write(credentials_path(), section("default", "DEFAULT", "s") + section("docs", "DOCS", "s"));
  environment_["AWS_ACCESS_KEY_ID"] = "ENV";
  environment_["AWS_SECRET_ACCESS_KEY"] = "secret";
  const auto result = source_.get("docs");
  ASSERT_TRUE(result) << result.error;
  EXPECT_EQ(result.credentials->access_key_id, "DOCS");
  EXPECT_NE(result.origin.find("\"docs\" in " + credentials_path()), std::string::npos) << result.origin;
}

TEST_F(SharedKeys, AMissingProfileIsNotReplacedByAnother) {
  write(credentials_path(), section("default", "DEFAULT", "s"));
  environment_["AWS_ACCESS_KEY_ID"] = "ENV";
  environment_["AWS_SECRET_ACCESS_KEY"] = "secret";
  const auto result = source_.get("docs");
  EXPECT_FALSE(result);
  EXPECT_NE(result.error.find("docs"), std::string::npos);
  EXPECT_NE(result.error.find(credentials_path() + " (no such profile)"), std::string::npos) << result.error;
  EXPECT_NE(result.error.find(config_path() + " (No such file"), std::string::npos) << result.error;
}

TEST_F(SharedKeys, TheVariablesNameFilesAndProfile) {
  write(home_ + "/other", section("x", "OTHER", "s"));
  environment_["AWS_SHARED_CREDENTIALS_FILE"] = "~/other";
  environment_["AWS_PROFILE"] = "x";
  const auto result = source_.get("");
  ASSERT_TRUE(result) << result.error;
  EXPECT_EQ(result.credentials->access_key_id, "OTHER");
}

TEST_F(SharedKeys, TheConfigFileComesLast) {
  write(config_path(), section("profile docs", "CONFIG", "s"));
  auto result = source_.get("docs");
  ASSERT_TRUE(result) << result.error;
  EXPECT_EQ(result.credentials->access_key_id, "CONFIG");
  write(credentials_path(), section("docs", "CREDENTIALS", "s"));
  result = source_.get("docs");
  ASSERT_TRUE(result) << result.error;
  EXPECT_EQ(result.credentials->access_key_id, "CREDENTIALS");
}

TEST_F(SharedKeys, HalfAPairIsAnErrorNotAFallback) {
  write(credentials_path(), section("default", "DEFAULT", "s"));
  environment_["AWS_ACCESS_KEY_ID"] = "ENV";
  EXPECT_NE(source_.get("").error.find("AWS_SECRET_ACCESS_KEY"), std::string::npos);
  environment_.erase("AWS_ACCESS_KEY_ID");
  environment_["AWS_SECRET_ACCESS_KEY"] = "topsecret";
  EXPECT_NE(source_.get("").error.find("no AWS_ACCESS_KEY_ID"), std::string::npos);

  write(credentials_path(), "[docs]\naws_secret_access_key = topsecret\n");
  EXPECT_NE(source_.get("docs").error.find("no aws_access_key_id"), std::string::npos);
  write(credentials_path(), "[docs]\naws_access_key_id = AKID\naws_secret_access_key =\n");
  EXPECT_NE(source_.get("docs").error.find("no aws_secret_access_key"), std::string::npos);
}

TEST_F(SharedKeys, NoErrorHoldsASecret) {
  environment_["AWS_SECRET_ACCESS_KEY"] = "topsecret";
  EXPECT_EQ(source_.get("").error.find("topsecret"), std::string::npos);
  environment_["AWS_ACCESS_KEY_ID"] = "ENV";
  for (const char* broken : {"topsecret with blank", "topsecret\n", "topsecret\x01", "topsecret\xc3\xa9"}) {
    environment_["AWS_SECRET_ACCESS_KEY"] = broken;
    const auto result = source_.get("");
    EXPECT_FALSE(result) << broken;
    EXPECT_EQ(result.error.find("topsecret"), std::string::npos) << result.error;
  }
}

TEST_F(SharedKeys, AnAccessKeyIdThatWouldBreakTheHeaderIsRefused) {
  environment_["AWS_SECRET_ACCESS_KEY"] = "s";
  for (const char* id : {"A/B", "A,B", "A B", "A\r\nX: y"}) {
    environment_["AWS_ACCESS_KEY_ID"] = id;
    EXPECT_FALSE(source_.get("")) << id;
  }
}

TEST_F(SharedKeys, AMendedFileIsReadAgain) {
  EXPECT_FALSE(source_.get("docs"));
  write(credentials_path(), section("docs", "ONE", "s"));
  EXPECT_EQ(source_.get("docs").credentials->access_key_id, "ONE");
  // Same size, written in place: only the time of modification differs.
  write(credentials_path(), section("docs", "TWO", "s"));
  const timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, credentials_path().c_str(), times, 0), 0);
  EXPECT_EQ(source_.get("docs").credentials->access_key_id, "TWO");
  // Replaced by renaming.
  write(home_ + "/new", section("docs", "SIX", "s"));
  ASSERT_EQ(::utimensat(AT_FDCWD, (home_ + "/new").c_str(), times, 0), 0);
  std::filesystem::rename(home_ + "/new", credentials_path());
  EXPECT_EQ(source_.get("docs").credentials->access_key_id, "SIX");
  std::filesystem::remove(credentials_path());
  EXPECT_FALSE(source_.get("docs"));
}

TEST_F(SharedKeys, AFileForAllEyesIsUsedWithAWarning) {
  write(credentials_path(), section("docs", "AKID", "topsecret"), 0644);
  const auto result = source_.get("docs");
  EXPECT_TRUE(result);
  EXPECT_NE(result.warning.find(credentials_path()), std::string::npos);
  EXPECT_EQ(result.warning.find("topsecret"), std::string::npos);
  write(credentials_path(), section("docs", "AKID", "topsecret"), 0600);
  EXPECT_EQ(source_.get("docs").warning, "");
}

TEST_F(SharedKeys, AFolderOrAHugeFileIsUnreadable) {
  std::filesystem::create_directory(credentials_path());
  auto result = source_.get("docs");
  EXPECT_FALSE(result);
  EXPECT_NE(result.error.find("Is a directory"), std::string::npos) << result.error;
  std::filesystem::remove(credentials_path());
  write(credentials_path(), section("docs", "AKID", "s") + std::string(2 << 20, '#'));
  result = source_.get("docs");
  EXPECT_FALSE(result);
  EXPECT_NE(result.error.find("larger than 1 MiB"), std::string::npos) << result.error;
}

TEST_F(SharedKeys, WithoutHomeItSaysSo) {
  environment_.clear();
  const auto result = source_.get("");
  EXPECT_FALSE(result);
  EXPECT_NE(result.error.find("HOME is not set"), std::string::npos) << result.error;
}

}  // namespace
}  // namespace objectlink
