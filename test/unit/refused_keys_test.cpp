// Goal: whoever was refused gets rotated keys as soon as anybody has seen them, and a thousand refusals read the files once a second.
// Method: time moved by hand, and a source that counts how often it is read anew.
#include "refused_keys.hpp"

#include <gtest/gtest.h>

namespace objectlink {
namespace {

using namespace std::chrono_literals;

// What get() remembers, and what a file holds that nobody has read since.
class WrittenOver final : public CredentialsSource {
 public:
  CredentialsResult get(const std::string& profile) override {
    EXPECT_EQ(profile, "docs");
    return remembered;
  }
  CredentialsResult get_anew(const std::string& profile) override {
    ++read_anew;
    remembered = written;
    return get(profile);
  }
  static CredentialsResult keys(const char* id) {
    return {Credentials{id, Secret("s"), Secret(), std::nullopt}, "a file", {}, {}};
  }

  CredentialsResult remembered = keys("OLD");
  CredentialsResult written = keys("OLD");
  int read_anew = 0;
};

class RefusedKeysTest : public testing::Test {
 protected:
  bool ask(RefusedKeys::Time now) {
    return refused_.there_are_others(source_, "docs", *WrittenOver::keys("OLD").credentials, now);
  }

  WrittenOver source_;
  RefusedKeys refused_;
  RefusedKeys::Time now_ = RefusedKeys::Time{} + 1h;
};

TEST_F(RefusedKeysTest, FilesAreReadOnceAnInterval) {
  for (int i = 0; i < 1000; ++i) EXPECT_FALSE(ask(now_ + i * 1us));
  EXPECT_EQ(source_.read_anew, 1);
  EXPECT_FALSE(ask(now_ + RefusedKeys::interval - 1ms));
  EXPECT_EQ(source_.read_anew, 1);
  EXPECT_FALSE(ask(now_ + RefusedKeys::interval));
  EXPECT_EQ(source_.read_anew, 2);
}

TEST_F(RefusedKeysTest, KeysThatAreWrittenAfterALookAreFoundByTheNextOne) {
  EXPECT_FALSE(ask(now_));
  source_.written = WrittenOver::keys("NEW");
  EXPECT_FALSE(ask(now_ + RefusedKeys::interval - 1ms)) << "nobody has read them";
  EXPECT_TRUE(ask(now_ + RefusedKeys::interval));
  EXPECT_TRUE(ask(now_ + RefusedKeys::interval + 1ms)) << "found by another one: not read once more";
  EXPECT_EQ(source_.read_anew, 2);
}

TEST_F(RefusedKeysTest, WhatIsKnownAlreadyIsNotReadFor) {
  source_.remembered = WrittenOver::keys("NEW");
  EXPECT_TRUE(ask(now_));
  EXPECT_EQ(source_.read_anew, 0);
}

TEST_F(RefusedKeysTest, AFileThatHoldsNoKeysAnyMoreIsNoOther) {
  source_.written = CredentialsResult{std::nullopt, "a file", "no such profile", {}};
  EXPECT_FALSE(ask(now_));
}

}  // namespace
}  // namespace objectlink
