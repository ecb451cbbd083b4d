// How was this daemon told to behave? Flags, then environment, then config file, then defaults.
// Knows nothing of stores: their settings are options of the foreign server in the database.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace objectlink {

enum class LogFormat { automatic, json, text };
enum class LogLevel { debug, info, warning, error };

struct Config {
  std::string dsn;                              // libpq connection string or URI; empty: libpq's environment
  std::string name;                             // of this worker, unique among daemons; default host:pid
  LogFormat log_format = LogFormat::automatic;  // text on a terminal, else json
  LogLevel log_level = LogLevel::info;
  std::string metrics_address = "127.0.0.1:19432";  // host:port, [v6]:port; empty: no HTTP server
  bool metrics_address_is_default = true;
  bool once = false;  // do the work that is there, then exit
  bool check_config = false;
  int batch_size = 1000;                           // rows a database call handles, 1..10000
  int concurrency = 128;                           // requests in flight over all stores, 1..1024
  std::chrono::milliseconds poll_interval{1000};   // 50 ms .. 1 min
  std::chrono::milliseconds drain_timeout{30000};  // after SIGTERM, 0 .. 10 min
  std::uint64_t payload_memory_bytes = 32u << 20;  // payloads held at once, 1 MB .. 4 GB
  std::string config_file;                         // empty: none
  std::vector<std::string> warnings;               // for the log, once it is set up
};

// Either a config to run with, or an exit code after --help, --version or a message on stderr.
struct ParsedConfig {
  std::optional<Config> config;
  int exit_code = 0;
};

// Never throws for anything a user typed. argv as main() got it; the environment is read with getenv().
ParsedConfig parse_config(int argc, const char* const* argv);

}  // namespace objectlink
