// Goal: a process is called dead only where that is certain; a mistake here lets two daemons work for one store.
// Method: this process, children that end, and identities that are almost right.
#include "process_identity.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <sstream>
#include <string>
#include <vector>

namespace objectlink {
namespace {

using Words = std::array<std::string, 4>;
enum Word { boot, names, pid, started };

Words own_words() {
  std::istringstream text(own_process_identity());
  Words words;
  for (std::string& word : words) text >> word;
  return words;
}

std::string joined(const Words& words) {
  return words[boot] + " " + words[names] + " " + words[pid] + " " + words[started];
}

std::string changed(Word which, const std::string& value) {
  Words words = own_words();
  words[which] = value;
  return joined(words);
}

// Lives until it is ended.
class Child {
 public:
  Child() {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) return;
    pid_ = ::fork();
    if (pid_ == 0) {
      const std::string text = own_process_identity();
      (void)!::write(ends[1], text.data(), text.size());
      ::close(ends[1]);
      for (;;) ::pause();
    }
    ::close(ends[1]);
    char byte = 0;
    while (::read(ends[0], &byte, 1) == 1) identity_ += byte;
    ::close(ends[0]);
  }
  ~Child() { end_and_reap(); }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  const std::string& identity() const { return identity_; }
  // Only its zombie is left.
  void end() {
    ::kill(pid_, SIGKILL);
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT);
  }
  void end_and_reap() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  std::string identity_;
};

TEST(ProcessIdentity, HasFourWordsAndStaysTheSame) {
  const std::string identity = own_process_identity();
  EXPECT_EQ(identity, own_process_identity());
  EXPECT_EQ(identity, joined(own_words()));
  const Words words = own_words();
  EXPECT_EQ(words[boot].size(), 36u);
  EXPECT_TRUE(words[names].starts_with("pid:[")) << words[names];
  EXPECT_EQ(words[pid], std::to_string(::getpid()));
  EXPECT_GT(std::stoull(words[started]), 0u);
}

TEST(ProcessIdentity, WeAreAlive) { EXPECT_FALSE(is_certainly_dead(own_process_identity())); }

TEST(ProcessIdentity, AChildIsAliveUntilItEnds) {
  Child child;
  ASSERT_NE(child.identity(), "");
  ASSERT_NE(child.identity(), own_process_identity());
  EXPECT_FALSE(is_certainly_dead(child.identity()));
  child.end();
  EXPECT_TRUE(is_certainly_dead(child.identity()));  // a zombie sends nothing
  child.end_and_reap();
  EXPECT_TRUE(is_certainly_dead(child.identity()));
}

TEST(ProcessIdentity, AnotherProcessWithItsNumberIsNotIt) {
  const std::string later = std::to_string(std::stoull(own_words()[started]) + 1);
  EXPECT_TRUE(is_certainly_dead(changed(started, later)));
  EXPECT_TRUE(is_certainly_dead(changed(started, "1")));
}

TEST(ProcessIdentity, ANumberThatNoProcessHasIsDead) {
  EXPECT_TRUE(is_certainly_dead(changed(pid, "2147483647")));  // above PID_MAX_LIMIT
}

TEST(ProcessIdentity, NothingIsKnownOfAnotherBootOrHost) {
  Words words = own_words();
  words[boot] = "00000000-0000-4000-8000-000000000000";
  words[started] = "1";
  EXPECT_FALSE(is_certainly_dead(joined(words)));
  words[pid] = "2147483647";
  EXPECT_FALSE(is_certainly_dead(joined(words)));
}

TEST(ProcessIdentity, NothingIsKnownOfAnotherNamespace) {
  Words words = own_words();
  words[names] = "pid:[1]";
  words[started] = "1";
  EXPECT_FALSE(is_certainly_dead(joined(words)));
  words[pid] = "2147483647";
  EXPECT_FALSE(is_certainly_dead(joined(words)));
}

TEST(ProcessIdentity, WhatCannotBeReadCountsAsAlive) {
  const Words own = own_words();
  const std::string place = own[boot] + " " + own[names];
  const std::vector<std::string> garbage = {"",
                                            " ",
                                            "garbage",
                                            "a b c d",
                                            own[boot],
                                            place,
                                            place + " " + own[pid],
                                            place + " " + own[pid] + " ",
                                            place + " 1",
                                            std::string("\0\0\0", 3),
                                            joined(own) + " more",
                                            std::string(100'000, 'x'),
                                            changed(started, "1") + " more"};
  for (const std::string& identity : garbage) EXPECT_FALSE(is_certainly_dead(identity)) << identity.substr(0, 200);
}

TEST(ProcessIdentity, NumbersThatAreNoneCountAsAlive) {
  for (const char* number : {"self", "-1", "+5", "0", "0x10", "1e3", "12a", "../1", "99999999999999999999"}) {
    EXPECT_FALSE(is_certainly_dead(changed(pid, number))) << number;
    EXPECT_FALSE(is_certainly_dead(changed(started, number))) << number;
  }
}

}  // namespace
}  // namespace objectlink
