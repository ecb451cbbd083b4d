// The table of a store's options.
#include "core/store_options.hpp"

#include "core/store_option_values.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace objectlink {

namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t megabyte = 1024ULL * 1024;
constexpr std::uint64_t part_bytes_min = 5 * megabyte;  // S3's least size of a part
constexpr std::uint64_t part_bytes_max = 64 * megabyte;
constexpr hours retention_max = hours(24) * 3650;
constexpr std::uint32_t delete_limit_max = 1'000'000'000;
constexpr std::size_t word_bytes_max = 64;
constexpr std::uint32_t scrub_rate_max = 10'000;

// Checks with `check`, then keeps the text itself.
template <class Check>
ValueResult keep(std::string_view text, std::string& value, Check check) {
  if (auto problem = check(text)) return problem;
  value = text;
  return std::nullopt;
}

struct Option {
  std::string_view name;
  ValueResult (*read)(std::string_view text, StoreOptions& options);
  std::string_view hint;
};

constexpr auto options_table = std::to_array<Option>({
    {"bucket", [](std::string_view t, StoreOptions& o) { return keep(t, o.bucket, check_bucket); },
     "Give the bucket's name as S3 knows it, for example 'invoices-2024'."},
    {"ca_file", [](std::string_view t, StoreOptions& o) { return keep(t, o.ca_file, check_path); },
     "Give the absolute path of a PEM file on the daemon's host."},
    {"concurrency", [](std::string_view t, StoreOptions& o) { return read_integer(t, 1, 256, o.concurrency); },
     "Give a number of parallel requests, for example '32'."},
    {"connect_timeout",
     [](std::string_view t, StoreOptions& o) {
       return read_duration(t, milliseconds(100), minutes(1), o.connect_timeout);
     },
     "Give a time with its unit, for example '5s' or '500ms'."},
    {"credentials",
     [](std::string_view t, StoreOptions& o) {
       return keep(t, o.credentials, [](std::string_view w) { return check_word(w, "_.-", word_bytes_max); });
     },
     "Give the name of a profile in the credentials file, never a secret."},
    {"delete_limit",
     [](std::string_view t, StoreOptions& o) { return read_integer(t, 1, delete_limit_max, o.delete_limit); },
     "Give a number of objects, for example '100000'."},
    {"delete_limit_share",
     [](std::string_view t, StoreOptions& o) { return read_integer(t, 1, 100, o.delete_limit_share); },
     "Give a percentage without its sign, for example '50'; '100' means no limit."},
    {"delete_versions",
     [](std::string_view t, StoreOptions& o) { return read_choice(t, "stored", "all", o.delete_all_versions); },
     "Write 'stored' to delete the version that was stored, or 'all' to delete every version of its key."},
    {"endpoint", [](std::string_view t, StoreOptions& o) { return keep(t, o.endpoint, check_endpoint); },
     "Write scheme, host and optionally port only, for example 'https://s3.example.com:9000'."},
    {"inventory_bucket", [](std::string_view t, StoreOptions& o) { return keep(t, o.inventory_bucket, check_bucket); },
     "Give the name of the bucket to which S3 Inventory delivers the lists of this one."},
    {"max_attempts", [](std::string_view t, StoreOptions& o) { return read_integer(t, 1, 1000, o.max_attempts); },
     "Give a number of attempts, for example '10'."},
    {"multipart_threshold",
     [](std::string_view t, StoreOptions& o) {
       return read_size(t, part_bytes_min, part_bytes_max, o.multipart_threshold_bytes);
     },
     "Give a size with its unit, for example '16MB'."},
    {"orphan_grace",
     [](std::string_view t, StoreOptions& o) {
       return read_duration(t, milliseconds(0), retention_max, o.orphan_grace);
     },
     "Give a time with its unit, for example '24h' or '7 days'."},
    {"part_size",
     [](std::string_view t, StoreOptions& o) {
       return read_size(t, part_bytes_min, part_bytes_max, o.part_size_bytes);
     },
     "Give a size with its unit, for example '8MB'."},
    {"path_style", [](std::string_view t, StoreOptions& o) { return read_bool(t, o.path_style); },
     "Write 'true' for https://host/bucket/key or 'false' for https://bucket.host/key."},
    {"prefix", [](std::string_view t, StoreOptions& o) { return read_prefix(t, o.prefix); },
     "Give the common beginning of all keys, for example 'invoices/'."},
    {"region",
     [](std::string_view t, StoreOptions& o) {
       return keep(t, o.region, [](std::string_view w) { return check_word(w, "_-", word_bytes_max); });
     },
     "Give the region's name as the store knows it, for example 'eu-central-1'."},
    {"request_timeout",
     [](std::string_view t, StoreOptions& o) { return read_duration(t, seconds(1), minutes(15), o.request_timeout); },
     "Give a time with its unit, for example '60s' or '2min'."},
    {"retention",
     [](std::string_view t, StoreOptions& o) { return read_duration(t, milliseconds(0), retention_max, o.retention); },
     "Give a time with its unit, for example '12h' or '7 days'; '0' deletes at once."},
    {"scrub_content_share", [](std::string_view t, StoreOptions& o) { return read_share(t, o.scrub_content_share); },
     "Give a share from 0 to 1, for example '0.1'; '1' reads the content of every object in each round."},
    {"scrub_interval",
     [](std::string_view t,
        StoreOptions& o) { return read_duration(t, milliseconds(0), retention_max, o.scrub_interval); },
     "Give a time with its unit, for example '30 days'; '0' proves nothing again."},
    {"scrub_rate", [](std::string_view t, StoreOptions& o) { return read_integer(t, 1, scrub_rate_max, o.scrub_rate); },
     "Give a number of requests a second, for example '10'."},
    {"seat_check", [](std::string_view t, StoreOptions& o) { return read_bool(t, o.seat_check); },
     "Write 'false' only where the server's host, port or data directory change by themselves, as in some containers."},
    {"upload_grace",
     [](std::string_view t,
        StoreOptions& o) { return read_duration(t, milliseconds(0), retention_max, o.upload_grace); },
     "Give a time with its unit, for example '7 days'."},
});

bool looks_secret(std::string_view name) {
  constexpr auto marks = std::to_array<std::string_view>(
      {"secret", "password", "passwd", "access_key", "accesskey", "token", "private_key"});
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::ranges::any_of(marks, [&](std::string_view mark) { return lower.find(mark) != std::string::npos; });
}

OptionProblem unknown_option(std::string_view name) {
  if (looks_secret(name))
    return {OptionFault::secret, std::string(name), "Secrets in server options could be read by every role.",
            "Put the secret into a profile of the credentials file, and name that profile with the option "
            "\"credentials\"."};
  return {OptionFault::unknown, std::string(name), {}, "Valid options are: " + store_option_names() + "."};
}

}  // namespace

std::optional<OptionProblem> set_store_option(StoreOptions& options, OptionText option) {
  const auto found = std::ranges::find(options_table, option.name, &Option::name);
  if (found == options_table.end()) return unknown_option(option.name);
  const ValueResult problem = found->read(option.value, options);
  if (!problem) return std::nullopt;
  const bool has_place = problem->at != std::string_view::npos;
  const std::string place = has_place ? " (byte " + std::to_string(problem->at + 1) + ")" : "";
  return OptionProblem{OptionFault::malformed, std::string(option.name), problem->what + place + ".",
                       std::string(found->hint)};
}

std::variant<StoreOptions, OptionProblem> parse_store_options(std::span<const OptionText> options) {
  StoreOptions result;
  for (const OptionText& option : options)
    if (auto problem = set_store_option(result, option)) return std::move(*problem);
  return result;
}

std::optional<OptionProblem> find_missing_option(const StoreOptions& options) {
  const auto missing = [](std::string_view name) {
    return OptionProblem{OptionFault::missing, std::string(name), "The store cannot be used without it.",
                         "Set it with ALTER SERVER ... OPTIONS (ADD " + std::string(name) + " '...')."};
  };
  if (options.endpoint.empty()) return missing("endpoint");
  if (options.bucket.empty()) return missing("bucket");
  return std::nullopt;
}

std::string store_option_names() {
  std::string names;
  for (const Option& option : options_table) names.append(names.empty() ? "" : ", ").append(option.name);
  return names;
}

}  // namespace objectlink
