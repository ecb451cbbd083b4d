// What does the ownership marker of a place in the bucket mean for us?
// The marker's key and form, and the decision what follows from the one that is there: go on, wait, or be fenced. Pure: who
// reads and writes it is ownership.hpp; what each fence means in words stands in extension/sql/35_marker.sql.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace objectlink {

// Who a database is. install, system and database tell copies apart; the timeline tells promotions; host, port and directory
// are its seat. An empty host or boot was not to be found out.
struct DatabaseIdentity {
  std::string install = {};
  std::string system = {};
  std::int64_t database = 0;
  std::string name = {};
  std::int64_t timeline = 0;
  std::string host = {};
  std::int64_t port = 0;
  std::string directory = {};
  std::string boot = {};
  std::string store = {};  // whose marker: two stores of one database are strangers here
};

struct Marker {
  DatabaseIdentity owner = {};
  std::string place = {};
  std::int64_t epoch = 0;
  std::string nonce = {};                     // of this very write
  std::chrono::milliseconds lease{0};         // from its writing on its owner may delete
  std::chrono::milliseconds request_time{0};  // what was begun by then may take so long
};

// What the database knows, and who it is now (objectlink.marker_state()).
struct MarkerState {
  DatabaseIdentity ours = {};
  DatabaseIdentity recorded = {};  // who it was when it last used the place
  std::int64_t epoch = 0;
  bool confirmed = false;  // the marker was seen to be ours at this place before
  std::vector<std::string> nonces = {};
  std::string accepted = {};  // fingerprint of the sighting that adopt_store() said to take over; empty: none
  std::string fence = {};     // empty: not fenced
  bool looked = false;        // fenced, and what is in the bucket has been recorded
};

// What lies under the marker's key.
struct MarkerSighting {
  enum class Kind { absent, unreadable, marker } kind = Kind::absent;
  Marker marker = {};
  std::string etag = {};
  std::optional<std::chrono::milliseconds> age = {};  // by the store's own clock

  // The same thing seen again has the same: "absent", "etag ...", "nonce ...".
  std::string fingerprint() const;
};

struct MarkerVerdict {
  enum class Action { write, wait, fence } action = Action::fence;
  std::chrono::milliseconds wait{0};  // until the last owner can have nothing under way
  std::string_view fence = {};        // a word of objectlink.marker.fence
};

inline constexpr std::chrono::milliseconds marker_lease{60'000};  // objectlink.marker_lease()
// Between the clocks of a store's hosts, and the whole seconds in which it tells the time.
inline constexpr std::chrono::milliseconds store_clock_slack{5'000};
// A marker's own words are not trusted beyond this.
inline constexpr std::chrono::milliseconds marker_wait_max{20 * 60'000};

inline constexpr std::string_view marker_folder = ".objectlink/owner/";
inline constexpr std::size_t marker_bytes_max = 16u << 10;

// The key of a prefix's marker: no two prefixes share one, and one prefix begins with another exactly if their encoded
// beginnings do. Bytes other than letters, digits, '-' and '_' are "=XX". Prefixes whose encoding is too long for a key end in
// '~' and a digest.
std::string marker_key(std::string_view prefix);

// Could the marker of this key be about a prefix that holds ours, or lies in it? Never false for one that does.
bool may_overlap(std::string_view marker_key, std::string_view prefix);
bool overlap(std::string_view a, std::string_view b);  // one begins with the other

// Our own text (begin_marker()), or anybody's. Nothing if it is not a marker of the format we know.
std::optional<Marker> parse_marker(std::string_view json);
// Does it? By what was read under that key: where that tells nothing, it does.
bool overlaps(const MarkerSighting& seen, std::string_view key, std::string_view prefix);
// For people and for adopt_store(): what was found (objectlink.marker.theirs). Holds the fingerprint.
std::string to_found_json(const MarkerSighting& seen, std::string_view key);
std::string prefix_of_place(std::string_view place);  // what follows host and bucket

// objectlink.marker_state(). Throws std::exception if it is not of its form.
MarkerState parse_marker_state(std::string_view json);

bool same_database(const DatabaseIdentity& a, const DatabaseIdentity& b);  // and store
bool same_seat(const DatabaseIdentity& a, const DatabaseIdentity& b);

// What can be told before anything is read: a copy or a clone knows that it is one. Empty: nothing speaks against us.
std::string_view fence_alone(const MarkerState& state, bool seat_check);

// What follows from the marker of our own place.
MarkerVerdict decide(const MarkerState& state, const MarkerSighting& seen, bool seat_check);

// What follows from one that overlaps: none of them may be somebody else's.
MarkerVerdict decide_overlap(const MarkerState& state, const MarkerSighting& seen);

}  // namespace objectlink
