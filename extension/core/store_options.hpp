// Which options has a store (a foreign server of objectlink), what do they mean, and what are their defaults? The
// backend validates with it at CREATE and ALTER SERVER, the daemon reads the same options with it. Secrets are no
// options.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

namespace objectlink {

struct StoreOptions {
  std::string endpoint;  // http[s]://host[:port]; empty: not set, and the store cannot be used
  std::string bucket;    // empty: not set, and the store cannot be used
  std::string prefix;    // ends in '/', or is empty
  std::string region = "us-east-1";
  std::string credentials;       // a profile's name; empty: the default chain
  std::string ca_file;           // empty: the system's
  std::string inventory_bucket;  // where S3 Inventory delivers; empty: the bucket itself
  bool path_style = true;
  bool delete_all_versions = false;  // of a key, not only the version that was stored
  bool seat_check = true;            // another host, port or data directory of the server: perhaps a clone
  std::chrono::milliseconds connect_timeout = std::chrono::seconds(5);
  std::chrono::milliseconds request_timeout = std::chrono::seconds(60);
  std::chrono::milliseconds retention = std::chrono::milliseconds(0);
  std::chrono::milliseconds orphan_grace = std::chrono::hours(24);
  std::chrono::milliseconds upload_grace = std::chrono::hours(7 * 24);
  std::chrono::milliseconds scrub_interval = std::chrono::milliseconds(0);  // 0: nothing is proved again by itself
  double scrub_content_share = 0;  // of the objects, whose content is read in each round
  std::uint32_t scrub_rate = 10;   // requests a second
  std::uint32_t concurrency = 32;
  std::uint32_t max_attempts = 10;
  std::uint32_t delete_limit = 100'000;
  std::uint32_t delete_limit_share = 50;  // percent of the store's objects
  std::uint64_t part_size_bytes = 8ULL * 1024 * 1024;
  std::uint64_t multipart_threshold_bytes = 16ULL * 1024 * 1024;
};

enum class OptionFault : std::uint8_t {
  unknown,    // no option has this name
  secret,     // no option has this name, and it looks as if a secret was to be stored
  malformed,  // the value is not valid
  missing,    // needed before the store can be used
};

/// Detail and hint are whole sentences; neither repeats the value.
struct OptionProblem {
  OptionFault fault;
  std::string option;
  std::string detail;
  std::string hint;
};

struct OptionText {
  std::string_view name;
  std::string_view value;
};

/// Reads one option into `options`. On a problem `options` is as before.
std::optional<OptionProblem> set_store_option(StoreOptions& options, OptionText option);

/// Reads all options over the defaults; the first problem ends it.
std::variant<StoreOptions, OptionProblem> parse_store_options(std::span<const OptionText> options);

/// What a store lacks before requests can be sent to it: endpoint or bucket. CREATE SERVER does not ask for them.
std::optional<OptionProblem> find_missing_option(const StoreOptions& options);

/// Names of all options, comma-separated, sorted, for hints.
std::string store_option_names();

}  // namespace objectlink
