// Goal: the table of transitions is the one of the design, and no other transition is legal.
// Method: the whole matrix of states against a list written down again from docs, not from the code.
#include "core/object_state.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace objectlink {
namespace {

constexpr int state_count = 9;

ObjectState state(int i) { return static_cast<ObjectState>(i); }

// "" is the row that is not there yet.
const std::set<std::pair<std::string, std::string>> expected = {
    {"", "reserved"},         {"", "pending"},         {"", "unlinked"},         {"reserved", "pending"},
    {"reserved", "unlinked"}, {"pending", "stored"},   {"pending", "failed"},    {"pending", "unlinked"},  {"pending", "missing"},
    {"stored", "missing"},    {"stored", "corrupt"},   {"stored", "unlinked"},   {"missing", "pending"},
    {"missing", "stored"},    {"missing", "unlinked"}, {"corrupt", "pending"},   {"corrupt", "stored"},
    {"corrupt", "unlinked"},  {"failed", "pending"},   {"failed", "stored"},     {"failed", "unlinked"},
    {"unlinked", "stored"},   {"unlinked", "pending"}, {"unlinked", "deleting"}, {"deleting", "stored"},
    {"missing", "corrupt"},   {"corrupt", "missing"},  {"deleting", "pending"},  {"deleting", "unlinked"},
    {"deleting", "gone"},
};

std::pair<std::string, std::string> names(ObjectState from, ObjectState to) {
  return {from == ObjectState::absent ? "" : std::string(state_name(from)), std::string(state_name(to))};
}

TEST(ObjectState, AllowsExactlyTheTransitionsOfTheDesign) {
  for (int from = 0; from < state_count; ++from)
    for (int to = 0; to < state_count; ++to) {
      const bool legal = from == to || expected.contains(names(state(from), state(to)));
      EXPECT_EQ(transition_is_legal(state(from), state(to)), legal)
          << state_name(state(from)) << " to " << state_name(state(to));
    }
}

TEST(ObjectState, ListsEachTransitionOnce) {
  std::set<std::pair<std::string, std::string>> listed;
  for (const Transition& legal : legal_transitions()) EXPECT_TRUE(listed.insert(names(legal.from, legal.to)).second);
  EXPECT_EQ(listed, expected);
}

TEST(ObjectState, NeverDeletesWhatIsNotUnlinked) {
  for (int from = 0; from < state_count; ++from) {
    if (state(from) == ObjectState::unlinked || state(from) == ObjectState::deleting) continue;
    EXPECT_FALSE(transition_is_legal(state(from), ObjectState::deleting)) << state_name(state(from));
  }
}

TEST(ObjectState, LeavesTheRegistryOnlyFromDeleting) {
  for (int from = 1; from < state_count; ++from)
    EXPECT_EQ(transition_is_legal(state(from), ObjectState::absent), state(from) == ObjectState::deleting);
}

TEST(ObjectState, ParsesItsOwnNamesOnly) {
  for (int i = 1; i < state_count; ++i) EXPECT_EQ(parse_state(state_name(state(i))), state(i));
  for (const char* word : {"", "gone", "absent", "Stored", "stored ", " stored", "store", "storedx", "deleted"})
    EXPECT_EQ(parse_state(word), std::nullopt) << word;
}

}  // namespace
}  // namespace objectlink
