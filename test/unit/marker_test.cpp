// Goal: the decision table of ownership, every row and every neighbour of it; keys that no two prefixes share.
// Method: one state in which all is well, and each thing that can differ changed by itself.
#include "marker.hpp"

#include <gtest/gtest.h>

#include <set>

namespace objectlink {
namespace {

using std::chrono::milliseconds;
using Action = MarkerVerdict::Action;
using Kind = MarkerSighting::Kind;

DatabaseIdentity us() {
  return {.install = "i",
          .system = "7",
          .database = 5,
          .name = "app",
          .timeline = 2,
          .host = "h",
          .port = 5432,
          .directory = "/d",
          .boot = "b",
          .store = "docs"};
}

// We own the place, and the marker there is our last one.
MarkerState owner() {
  MarkerState state;
  state.ours = state.recorded = us();
  state.epoch = 4;
  state.confirmed = true;
  state.nonces = {"n3", "n4"};
  return state;
}

MarkerSighting ours_seen() {
  MarkerSighting seen;
  seen.kind = Kind::marker;
  seen.etag = "\"e\"";
  seen.age = milliseconds{1'000};
  seen.marker = {.owner = us(),
                 .place = "h/bucket/",
                 .epoch = 4,
                 .nonce = "n4",
                 .lease = marker_lease,
                 .request_time = milliseconds{10'000}};
  return seen;
}

std::string_view fence_of(const MarkerState& state, const MarkerSighting& seen, bool seat_check = true) {
  const MarkerVerdict verdict = decide(state, seen, seat_check);
  return verdict.action == Action::fence ? verdict.fence : verdict.action == Action::wait ? "(wait)" : "(write)";
}

constexpr milliseconds whole_wait = marker_lease + milliseconds{10'000} + store_clock_slack;

TEST(Marker, GoesOnWhereAllIsEqual) {
  EXPECT_EQ(fence_of(owner(), ours_seen()), "(write)");
  auto state = owner();
  state.ours.name = "renamed";
  EXPECT_EQ(fence_of(state, ours_seen()), "(write)");
  auto seen = ours_seen();
  seen.marker.nonce = "n3";  // an earlier write of ours: the last one was never carried out
  EXPECT_EQ(fence_of(owner(), seen), "(write)");
}

TEST(Marker, FreshPlaceIsTakenByADatabaseThatNeverHadOne) {
  auto state = owner();
  state.confirmed = false;
  EXPECT_EQ(fence_of(state, {}), "(write)");
  state.nonces.clear();
  EXPECT_EQ(fence_of(state, {}), "(write)");
  EXPECT_EQ(fence_of(owner(), {}), "missing");
}

TEST(Marker, CopyIsFencedWhateverItFinds) {
  for (auto change : {+[](DatabaseIdentity& id) { id.install = "j"; }, +[](DatabaseIdentity& id) { id.system = "8"; },
                      +[](DatabaseIdentity& id) { id.database = 6; }}) {
    auto state = owner();
    change(state.ours);
    EXPECT_EQ(fence_alone(state, true), "copy");
    EXPECT_EQ(fence_alone(state, false), "copy");
    EXPECT_EQ(fence_of(state, ours_seen()), "copy");
    EXPECT_EQ(fence_of(state, {}), "copy");
    // Even if its own record was lost: the marker of the original's history is no copy's.
    state.recorded = state.ours;
    EXPECT_EQ(fence_of(state, ours_seen()), "copy");
  }
}

TEST(Marker, CloneIsFencedByItsSeat) {
  for (auto change : {+[](DatabaseIdentity& id) { id.host = "other"; }, +[](DatabaseIdentity& id) { id.port = 1; },
                      +[](DatabaseIdentity& id) { id.directory = "/e"; }}) {
    auto state = owner();
    change(state.ours);
    EXPECT_EQ(fence_alone(state, true), "moved");
    EXPECT_EQ(fence_of(state, ours_seen()), "moved");
    state.recorded = state.ours;
    EXPECT_EQ(fence_of(state, ours_seen()), "moved");
    // Without the check it waits until nobody can be deleting.
    EXPECT_EQ(fence_alone(state, false), "");
    EXPECT_EQ(fence_of(state, ours_seen(), false), "(wait)");
    state = owner();
    change(state.ours);
    state.ours.timeline = 3;  // a promoted standby sits elsewhere
    EXPECT_EQ(fence_alone(state, true), "");
    EXPECT_EQ(fence_of(state, ours_seen()), "(wait)");
  }
}

TEST(Marker, UnknownHostTellsNothing) {
  auto state = owner();
  state.ours.host = "";
  EXPECT_EQ(fence_alone(state, true), "");
  EXPECT_EQ(fence_of(state, ours_seen()), "(write)");
}

TEST(Marker, AnotherStartOfTheHostWaits) {
  auto state = owner();
  state.ours.boot = "c";
  EXPECT_EQ(fence_of(state, ours_seen()), "(wait)");
  auto seen = ours_seen();
  seen.marker.owner.boot = "";
  EXPECT_EQ(fence_of(owner(), seen), "(wait)");
}

TEST(Marker, PromotedStandbyWaitsOutTheLease) {
  auto state = owner();
  state.ours.timeline = 3;
  auto seen = ours_seen();
  EXPECT_EQ(decide(state, seen, true).wait, whole_wait - milliseconds{1'000});
  seen.age.reset();  // the store tells no time: all of it
  EXPECT_EQ(decide(state, seen, true).wait, whole_wait);
  seen.age = whole_wait;
  EXPECT_EQ(fence_of(state, seen), "(write)");
  seen.age = milliseconds{0};
  seen.marker.lease = milliseconds{0};  // it said that nothing is being deleted any more
  EXPECT_EQ(fence_of(state, seen), "(write)");
}

TEST(Marker, OlderTimelineIsFenced) {
  auto state = owner();
  state.ours.timeline = 1;
  EXPECT_EQ(fence_alone(state, true), "overtaken");
  EXPECT_EQ(fence_of(state, ours_seen()), "overtaken");
  state.recorded = state.ours;
  EXPECT_EQ(fence_of(state, ours_seen()), "overtaken");
}

TEST(Marker, AWriteThatIsNotOursFences) {
  for (const std::int64_t timeline : {1, 2, 3}) {
    auto state = owner();
    auto seen = ours_seen();
    seen.marker.nonce = "theirs";
    seen.marker.owner.timeline = timeline;
    seen.marker.epoch = 5;
    EXPECT_EQ(fence_of(state, seen), "behind");
    seen.marker.epoch = 4;
    EXPECT_EQ(fence_of(state, seen), "overtaken");
    seen.marker.lease = milliseconds{0};
    EXPECT_EQ(fence_of(state, seen, false), "overtaken");
  }
}

TEST(Marker, StrangersFence) {
  for (auto change :
       {+[](DatabaseIdentity& id) { id.install = "j"; }, +[](DatabaseIdentity& id) { id.system = "8"; },
        +[](DatabaseIdentity& id) { id.database = 6; }, +[](DatabaseIdentity& id) { id.store = "other"; }}) {
    auto state = owner();
    auto seen = ours_seen();
    seen.marker.nonce = "theirs";
    change(seen.marker.owner);
    EXPECT_EQ(fence_of(state, seen), "replaced");
    state.confirmed = false;
    EXPECT_EQ(fence_of(state, seen), "foreign");
  }
}

TEST(Marker, UnreadableFences) {
  MarkerSighting seen;
  seen.kind = Kind::unreadable;
  seen.etag = "\"x\"";
  auto state = owner();
  EXPECT_EQ(fence_of(state, seen), "unreadable");
  state.confirmed = false;
  EXPECT_EQ(fence_of(state, seen), "unreadable");
}

TEST(Marker, AdoptedIsWhatWasShownAndNothingElse) {
  auto state = owner();
  auto seen = ours_seen();
  seen.marker.nonce = "theirs";
  seen.marker.epoch = 9;
  state.accepted = seen.fingerprint();
  EXPECT_EQ(decide(state, seen, true).wait, whole_wait - milliseconds{1'000});  // its owner may live
  seen.age = whole_wait;
  EXPECT_EQ(fence_of(state, seen), "(write)");
  seen.marker.nonce = "theirs again";
  EXPECT_EQ(fence_of(state, seen), "behind");
  EXPECT_EQ(fence_of(state, {}), "missing");
  state.accepted = MarkerSighting{}.fingerprint();
  EXPECT_EQ(fence_of(state, {}), "(write)");
  EXPECT_EQ(fence_of(state, seen), "behind");

  MarkerSighting garbage;
  garbage.kind = Kind::unreadable;
  garbage.etag = "x";
  state.accepted = garbage.fingerprint();
  EXPECT_EQ(fence_of(state, garbage), "(wait)");
  garbage.age = marker_wait_max;
  EXPECT_EQ(fence_of(state, garbage), "(write)");
  garbage.etag = "y";
  EXPECT_EQ(fence_of(state, garbage), "unreadable");
}

TEST(Marker, OverlappingOnesMustBeOurs) {
  auto seen = ours_seen();
  EXPECT_EQ(decide_overlap(owner(), seen).action, Action::write);
  EXPECT_EQ(decide_overlap(owner(), {}).action, Action::write);
  seen.marker.owner.store = "other";
  EXPECT_EQ(decide_overlap(owner(), seen).fence, "overlap");
  seen.marker.owner = us();
  seen.marker.owner.system = "8";
  EXPECT_EQ(decide_overlap(owner(), seen).fence, "overlap");
  auto state = owner();
  state.accepted = seen.fingerprint();
  EXPECT_EQ(decide_overlap(state, seen).action, Action::wait);
  seen.kind = Kind::unreadable;
  EXPECT_EQ(decide_overlap(owner(), seen).fence, "overlap");
}

TEST(Marker, KeysAreInjectiveAndKeepPrefixes) {
  const std::vector<std::string> prefixes{"",
                                          "root/",
                                          "a/",
                                          "a/b/",
                                          "ab/",
                                          "A/",
                                          "a=2F/",
                                          "%2F/",
                                          "a b/",
                                          "\xC3\xA4/",
                                          "~/",
                                          ".json/",
                                          std::string(1000, 'x') + "/",
                                          std::string(1000, 'x') + "y/",
                                          std::string(500, '/') + "z/",
                                          std::string(1000, 'x') + "/y/"};
  std::set<std::string> keys;
  for (const std::string& prefix : prefixes) {
    const std::string key = marker_key(prefix);
    EXPECT_TRUE(keys.insert(key).second) << prefix;
    EXPECT_LE(key.size(), 1024u);
    EXPECT_TRUE(key.starts_with(marker_folder));
    for (const std::string& other : prefixes) {
      if (overlap(prefix, other)) {
        EXPECT_TRUE(may_overlap(key, other)) << prefix << " " << other;
      } else if (key.find('~') == key.npos && marker_key(other).find('~') == key.npos) {
        EXPECT_FALSE(may_overlap(key, other)) << prefix << " " << other;
      }
    }
  }
  EXPECT_EQ(marker_key(""), ".objectlink/owner/root.json");
  EXPECT_EQ(marker_key("a b/"), ".objectlink/owner/a=20b=2F.json");
  EXPECT_FALSE(may_overlap(".objectlink/owner/", ""));
  EXPECT_FALSE(may_overlap(".objectlink/other/root.json", ""));
}

TEST(Marker, ALongPrefixIsToldByTheMarkerItself) {
  const std::string ours = std::string(1000, 'x') + "/";
  auto seen = ours_seen();
  seen.marker.place = "h/bucket/" + std::string(1000, 'x') + "y/";
  EXPECT_FALSE(overlaps(seen, marker_key(std::string(1000, 'x') + "y/"), ours));
  seen.marker.place = "h/bucket/" + ours + "below/";
  EXPECT_TRUE(overlaps(seen, marker_key(ours + "below/"), ours));
  seen.kind = Kind::unreadable;
  EXPECT_TRUE(overlaps(seen, marker_key(std::string(1000, 'x') + "y/"), ours));
}

constexpr std::string_view good =
    R"({"format":1,"install":"i","system":"7","database":5,"name":"app","timeline":2,"host":"h",
  "port":1,"directory":"/d","boot":null,"store":"docs","place":"h/b/p/","epoch":3,"nonce":"n","lease_ms":60000,"request_ms":5})";

TEST(Marker, ReadsItsOwnForm) {
  const auto marker = parse_marker(good);
  ASSERT_TRUE(marker);
  EXPECT_EQ(marker->owner.database, 5);
  EXPECT_EQ(marker->owner.boot, "");
  EXPECT_EQ(marker->epoch, 3);
  EXPECT_EQ(marker->lease, marker_lease);
  EXPECT_EQ(prefix_of_place(marker->place), "p/");
  EXPECT_EQ(prefix_of_place("h/b/"), "");
  EXPECT_EQ(prefix_of_place("nonsense"), "");
}

TEST(Marker, AnythingElseIsUnreadable) {
  const auto without = [](std::string_view name, std::string_view value) {
    std::string text(good);
    const std::size_t at = text.find("\"" + std::string(name) + "\":") + name.size() + 3;
    return text.replace(at, text.find_first_of(",}", at) - at, value);
  };
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("null"), std::string("\xff\x00", 2),
        without("format", "2"), without("format", "\"1\""), without("epoch", "0"), without("epoch", "-1"),
        without("epoch", "1e30"), without("nonce", "\"\""), without("install", "7"), without("system", "7")}) {
    EXPECT_FALSE(parse_marker(text)) << text;
  }
  // A lease that never ends would fence everybody for ever.
  EXPECT_EQ(parse_marker(without("lease_ms", "99999999999999"))->lease, marker_wait_max);
  EXPECT_EQ(parse_marker(without("lease_ms", "-5"))->lease, milliseconds{0});
}

TEST(Marker, WhatIsShownIsFitForTheDatabase) {
  auto seen = ours_seen();
  seen.marker.place = std::string("h/b/\0\xff", 6);
  const std::string shown = to_found_json(seen, marker_key(""));
  EXPECT_EQ(shown.find("\\u0000"), std::string::npos);
  EXPECT_NE(shown.find("\"fingerprint\":\"nonce n4\""), std::string::npos);
  EXPECT_NE(to_found_json({}, "k").find("\"fingerprint\":\"absent\""), std::string::npos);
}

}  // namespace
}  // namespace objectlink
