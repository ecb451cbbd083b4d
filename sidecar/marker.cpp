// The table of docs/architecture.md, "Ownership": see marker.hpp.
#include "marker.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/digest.hpp"
#include "s3_error.hpp"

namespace objectlink {

using std::chrono::milliseconds;

namespace {

constexpr int format_known = 1;
constexpr std::string_view suffix = ".json";
// With folder and suffix still a key of at most 1024 bytes.
constexpr std::size_t encoded_bytes_max = 900;
constexpr std::size_t truncated_bytes = 800;

std::string encode(std::string_view prefix) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : prefix) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (plain)
      out += c;
    else
      (out += '=').append({digits[byte >> 4], digits[byte & 15]});
  }
  return out;
}

// The database may be given anything that calls itself a marker, so its texts are made fit for it.
std::string text_of(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_string() ? presentable(found->get<std::string>()) : std::string();
}

std::int64_t number_of(const nlohmann::json& json, const char* name) {
  const auto found = json.find(name);
  return found != json.end() && found->is_number_integer() ? found->get<std::int64_t>() : 0;
}

DatabaseIdentity identity_of(const nlohmann::json& json) {
  DatabaseIdentity identity;
  identity.install = text_of(json, "install");
  identity.system = text_of(json, "system");
  identity.database = number_of(json, "database");
  identity.name = text_of(json, "name");
  identity.timeline = number_of(json, "timeline");
  identity.host = text_of(json, "host");
  identity.port = number_of(json, "port");
  identity.directory = text_of(json, "directory");
  identity.boot = text_of(json, "boot");
  identity.store = text_of(json, "store");
  return identity;
}

milliseconds duration_of(const nlohmann::json& json, const char* name) {
  return std::clamp(milliseconds{number_of(json, name)}, milliseconds{0}, marker_wait_max);
}

bool same_core(const DatabaseIdentity& a, const DatabaseIdentity& b) {
  return a.install == b.install && a.system == b.system && a.database == b.database;
}

// Until when may an owner of whom we know nothing still have requests under way?
milliseconds rest_of_lease(const MarkerSighting& seen) {
  if (seen.kind == MarkerSighting::Kind::absent) return milliseconds{0};
  const bool known = seen.kind == MarkerSighting::Kind::marker;
  if (known && seen.marker.lease.count() == 0) return milliseconds{0};  // it said that it was done
  const milliseconds whole =
      (known ? seen.marker.lease + seen.marker.request_time : 2 * marker_lease) + store_clock_slack;
  return std::max(milliseconds{0}, whole - seen.age.value_or(milliseconds{0}));
}

MarkerVerdict write_after(milliseconds wait) {
  if (wait.count() > 0) return {MarkerVerdict::Action::wait, wait, {}};
  return {MarkerVerdict::Action::write, milliseconds{0}, {}};
}

MarkerVerdict fenced(std::string_view why) { return {MarkerVerdict::Action::fence, milliseconds{0}, why}; }

bool is_ours(const MarkerState& state, const MarkerSighting& seen) {
  return seen.kind == MarkerSighting::Kind::marker &&
         std::find(state.nonces.begin(), state.nonces.end(), seen.marker.nonce) != state.nonces.end();
}

// Written by this database, or by the one that this one was copied from.
MarkerVerdict decide_ours(const MarkerState& state, const MarkerSighting& seen, bool seat_check) {
  const DatabaseIdentity& owner = seen.marker.owner;
  if (!same_core(owner, state.ours)) return fenced("copy");
  if (owner.timeline > state.ours.timeline) return fenced("overtaken");
  if (owner.timeline < state.ours.timeline) return write_after(rest_of_lease(seen));  // promoted
  if (!same_seat(owner, state.ours)) return seat_check ? fenced("moved") : write_after(rest_of_lease(seen));
  // The session's lock and lease keep daemons of one database apart. Of another start of the host, or of one that cannot be told
  // apart, that is not certain: hosts can have equal names.
  if (owner.boot.empty() || owner.boot != state.ours.boot) return write_after(rest_of_lease(seen));
  return write_after(milliseconds{0});
}

}  // namespace

std::string MarkerSighting::fingerprint() const {
  switch (kind) {
    case Kind::absent: return "absent";
    case Kind::unreadable: return "etag " + etag;
    case Kind::marker: return "nonce " + marker.nonce;
  }
  return {};
}

std::string marker_key(std::string_view prefix) {
  std::string name = prefix.empty() ? "root" : encode(prefix);
  if (name.size() > encoded_bytes_max) {
    name.resize(truncated_bytes);
    name.append("~").append(hex(sha256(prefix)));
  }
  return std::string(marker_folder).append(name).append(suffix);
}

bool may_overlap(std::string_view key, std::string_view prefix) {
  if (!key.starts_with(marker_folder) || !key.ends_with(suffix)) return false;
  std::string_view name = key.substr(marker_folder.size());
  name.remove_suffix(std::min(name.size(), suffix.size()));
  if (name == "root" || prefix.empty()) return true;
  name = name.substr(0, name.find('~'));  // of a long one only the beginning is known
  return overlap(name, encode(prefix));
}

bool overlap(std::string_view a, std::string_view b) { return a.starts_with(b) || b.starts_with(a); }

std::optional<Marker> parse_marker(std::string_view json) {
  const auto parsed = nlohmann::json::parse(json, nullptr, false);
  if (!parsed.is_object() || number_of(parsed, "format") != format_known) return std::nullopt;
  Marker marker;
  marker.owner = identity_of(parsed);
  // As it stands: it is compared, not shown.
  if (const auto place = parsed.find("place"); place != parsed.end() && place->is_string())
    marker.place = place->get<std::string>();
  marker.epoch = number_of(parsed, "epoch");
  marker.nonce = text_of(parsed, "nonce");
  marker.lease = duration_of(parsed, "lease_ms");
  marker.request_time = duration_of(parsed, "request_ms");
  if (marker.owner.install.empty() || marker.owner.system.empty() || marker.nonce.empty() || marker.epoch <= 0)
    return std::nullopt;
  return marker;
}

bool overlaps(const MarkerSighting& seen, std::string_view key, std::string_view prefix) {
  if (!may_overlap(key, prefix)) return false;
  // The key of a long prefix has only its beginning; the marker has all of it.
  if (key.find('~') == key.npos || seen.kind != MarkerSighting::Kind::marker) return true;
  return overlap(prefix_of_place(seen.marker.place), prefix);
}

std::string to_found_json(const MarkerSighting& seen, std::string_view key) {
  nlohmann::json json{{"key", presentable(key, 1100)}, {"fingerprint", seen.fingerprint()}};
  switch (seen.kind) {
    case MarkerSighting::Kind::absent: json["state"] = "absent"; break;
    case MarkerSighting::Kind::unreadable: json["state"] = "unreadable"; break;
    case MarkerSighting::Kind::marker: {
      const DatabaseIdentity& owner = seen.marker.owner;
      json["state"] = "marker";
      json["epoch"] = seen.marker.epoch;
      json["place"] = presentable(seen.marker.place, 1500);
      json.update({{"install", owner.install},
                   {"system", owner.system},
                   {"database", owner.database},
                   {"name", owner.name},
                   {"timeline", owner.timeline},
                   {"host", owner.host},
                   {"port", owner.port},
                   {"directory", owner.directory},
                   {"store", owner.store}});
      break;
    }
  }
  if (seen.age) json["age_s"] = seen.age->count() / 1000;
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string prefix_of_place(std::string_view place) {
  const std::size_t bucket = place.find('/');
  const std::size_t prefix = bucket == place.npos ? place.npos : place.find('/', bucket + 1);
  return prefix == place.npos ? std::string() : std::string(place.substr(prefix + 1));
}

MarkerState parse_marker_state(std::string_view json) {
  const auto parsed = nlohmann::json::parse(json);
  MarkerState state;
  state.ours = identity_of(parsed.at("ours"));
  state.recorded = identity_of(parsed.at("recorded"));
  state.recorded.store = state.ours.store;
  state.epoch = parsed.at("epoch").get<std::int64_t>();
  state.confirmed = parsed.at("confirmed").get<bool>();
  state.nonces = parsed.at("nonces").get<std::vector<std::string>>();
  state.accepted = parsed.at("accepted").get<std::string>();
  state.fence = parsed.at("fence").get<std::string>();
  state.looked = parsed.at("looked").get<bool>();
  return state;
}

bool same_database(const DatabaseIdentity& a, const DatabaseIdentity& b) {
  return same_core(a, b) && a.store == b.store;
}

bool same_seat(const DatabaseIdentity& a, const DatabaseIdentity& b) {
  // A host that could not be read once tells nothing.
  const bool same_host = a.host == b.host || a.host.empty() || b.host.empty();
  return same_host && a.port == b.port && a.directory == b.directory;
}

std::string_view fence_alone(const MarkerState& state, bool seat_check) {
  if (!same_core(state.ours, state.recorded)) return "copy";
  if (state.ours.timeline < state.recorded.timeline) return "overtaken";
  if (seat_check && state.ours.timeline == state.recorded.timeline && !same_seat(state.ours, state.recorded))
    return "moved";
  return {};
}

MarkerVerdict decide(const MarkerState& state, const MarkerSighting& seen, bool seat_check) {
  if (!state.accepted.empty() && state.accepted == seen.fingerprint()) return write_after(rest_of_lease(seen));
  if (const auto alone = fence_alone(state, seat_check); !alone.empty()) return fenced(alone);
  if (seen.kind == MarkerSighting::Kind::absent) {
    if (state.confirmed) return fenced("missing");
    return write_after(milliseconds{0});
  }
  if (seen.kind == MarkerSighting::Kind::unreadable) return fenced("unreadable");
  if (is_ours(state, seen)) return decide_ours(state, seen, seat_check);
  if (!same_database(seen.marker.owner, state.ours)) return fenced(state.confirmed ? "replaced" : "foreign");
  return fenced(seen.marker.epoch > state.epoch ? "behind" : "overtaken");
}

MarkerVerdict decide_overlap(const MarkerState& state, const MarkerSighting& seen) {
  if (seen.kind == MarkerSighting::Kind::absent) return write_after(milliseconds{0});  // gone since it was listed
  if (seen.kind == MarkerSighting::Kind::marker && same_database(seen.marker.owner, state.ours))
    return write_after(milliseconds{0});
  if (!state.accepted.empty() && state.accepted == seen.fingerprint()) return write_after(rest_of_lease(seen));
  return fenced("overlap");
}

}  // namespace objectlink
