#include "config.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string_view>
#include <utility>

#include "core/store_option_values.hpp"
#include "dsn.hpp"
#include "exit_code.hpp"
#include "health_server.hpp"

namespace objectlink {

namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t payload_memory_bytes_min = std::uint64_t{1} << 20;
constexpr std::uint64_t payload_memory_bytes_max = std::uint64_t{4} << 30;

constexpr const char* description =
    "objectlinkd carries out what the PostgreSQL extension objectlink has recorded: it uploads, verifies and\n"
    "deletes S3 objects after the transactions that asked for it have committed, and writes down the proof.\n"
    "Several may run for one database; they share the stores and take over from one another.";

constexpr const char* footer = R"(
Every option NAME may also be set as OBJECTLINKD_NAME in the environment (dashes as underscores) or as a line
'name = "value"' of the config file. The command line goes before the environment, the environment before the file.
Stores are not configured here but in the database (CREATE SERVER ... FOREIGN DATA WRAPPER objectlink), and their
credentials come from the AWS environment variables and shared files.

Examples:
  objectlinkd --dsn 'host=db.example.org dbname=app user=objectlinkd'
  PGHOST=/run/postgresql PGDATABASE=app objectlinkd --log-format json
  objectlinkd --config /etc/objectlink/objectlinkd.conf --check-config
  objectlinkd --dsn 'dbname=app' --once        # do what is waiting, then exit

Signals: SIGTERM or SIGINT finishes what is in flight and exits; a second one exits at once.

Exit codes:
  0    stopped as asked, or --once or --check-config found all well
  1    unexpected failure; the last log line says what
  2    command line, environment or config file is wrong
  3    the database can't be used (--once and --check-config only; the daemon waits for it)
  4    --check-config found a store that can't be used
  5    stopped with work unfinished (nothing is lost)
  128+n  ended by a second signal n)";

constexpr std::array<LogLevel, 4> log_levels{LogLevel::info, LogLevel::debug, LogLevel::warning, LogLevel::error};

// Options that the environment may give. It is read here and not by CLI11, which lets the config file win over it.
constexpr std::array<std::pair<const char*, const char*>, 12> environment_options{{
    {"OBJECTLINKD_DSN", "--dsn"},
    {"OBJECTLINKD_NAME", "--name"},
    {"OBJECTLINKD_CONFIG", "--config"},
    {"OBJECTLINKD_LOG_FORMAT", "--log-format"},
    {"OBJECTLINKD_LOG_LEVEL", "--log-level"},
    {"OBJECTLINKD_METRICS_ADDRESS", "--metrics-address"},
    {"OBJECTLINKD_BATCH_SIZE", "--batch-size"},
    {"OBJECTLINKD_CONCURRENCY", "--concurrency"},
    {"OBJECTLINKD_POLL_INTERVAL", "--poll-interval"},
    {"OBJECTLINKD_DRAIN_TIMEOUT", "--drain-timeout"},
    {"OBJECTLINKD_PAYLOAD_MEMORY", "--payload-memory"},
    {"OBJECTLINKD_ONCE", "--once"},
}};

bool given_on_command_line(const std::vector<std::string>& arguments, std::string_view option) {
  for (const std::string& argument : arguments) {
    if (argument == option || (argument.starts_with(option) && argument.substr(option.size(), 1) == "=")) return true;
  }
  return false;
}

std::vector<std::string> with_environment(std::vector<std::string> arguments) {
  std::vector<std::string> added;
  for (const auto& [variable, option] : environment_options) {
    const char* value = std::getenv(variable);
    if (value == nullptr || *value == '\0' || given_on_command_line(arguments, option)) continue;
    added.push_back(std::string(option) + "=" + value);
  }
  arguments.insert(arguments.begin(), added.begin(), added.end());
  return arguments;
}

void refuse_problem(const std::string& option, const ValueResult& problem) {
  if (problem) throw CLI::ValidationError(option, problem->what);
}

void add_duration(CLI::App& app, const std::string& option, milliseconds& target, milliseconds min, milliseconds max,
                  const std::string& shown_default, const std::string& help) {
  const auto read = [&target, option, min, max](const std::string& text) {
    refuse_problem(option, read_duration(text, min, max, target));
  };
  app.add_option_function<std::string>(option, read, help)->type_name("DURATION")->default_str(shown_default);
}

void add_choice(CLI::App& app, const std::string& option, const std::vector<std::string>& names,
                const std::function<void(std::size_t)>& choose, const std::string& help) {
  std::string shown;
  for (const std::string& name : names) shown += (shown.empty() ? "" : "|") + name;
  const auto read = [option, names, choose, shown](const std::string& text) {
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == text) return choose(i);
    }
    throw CLI::ValidationError(option, "'" + text + "' is none of " + shown);
  };
  app.add_option_function<std::string>(option, read, help)->type_name(shown)->default_str(names.front());
}

void add_options(CLI::App& app, Config& config) {
  app.set_help_flag("-h,--help", "Print this and exit");
  app.set_version_flag("-V,--version", "objectlinkd " OBJECTLINK_VERSION, "Print the version and exit");
  app.set_config("--config", "", "Read options from this file (TOML)")->type_name("FILE");
  app.allow_config_extras(CLI::config_extras_mode::error);

  app.add_option("--dsn", config.dsn,
                 "Database to serve, as libpq connection string or URI; without it\n"
                 "libpq's environment counts (PGHOST, PGDATABASE, ...).\n"
                 "Passwords are better kept in PGPASSFILE or ~/.pgpass")
      ->type_name("CONNINFO");
  app.add_option("--name", config.name, "Name of this worker, shown in objectlink.workers [host:pid]")
      ->type_name("TEXT");
  app.add_flag("--once", config.once, "Do the work that is there, then exit");
  app.add_flag("--check-config", config.check_config,
               "Check config, database, privileges and the stores' credentials, then exit")
      ->configurable(false);

  app.add_option("--batch-size", config.batch_size, "Rows handled by one call of the database, 1 to 10000")
      ->type_name("N")
      ->check(CLI::Range(1, 10000).description(""))
      ->default_str("1000");
  app.add_option("--concurrency", config.concurrency,
                 "Requests in flight over all stores, 1 to 1024;\n"
                 "each store has its own limit besides (option concurrency)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024).description(""))
      ->default_str("128");
  add_duration(app, "--poll-interval", config.poll_interval, milliseconds{50}, std::chrono::minutes{1}, "1s",
               "Look for work at least this often when nothing rings");
  add_duration(app, "--drain-timeout", config.drain_timeout, milliseconds{0}, std::chrono::minutes{10}, "30s",
               "After SIGTERM, wait this long for requests in flight");
  const auto read_memory = [&config](const std::string& text) {
    refuse_problem("--payload-memory",
                   read_size(text, payload_memory_bytes_min, payload_memory_bytes_max, config.payload_memory_bytes));
  };
  app.add_option_function<std::string>("--payload-memory", read_memory, "Memory for content on its way to a store")
      ->type_name("SIZE")
      ->default_str("32MB");

  app.add_option("--metrics-address", config.metrics_address,
                 "Serve /metrics, /healthz, /readyz and /livez here; 'off' for none")
      ->type_name("HOST:PORT")
      ->default_str(config.metrics_address);
  add_choice(
      app, "--log-format", {"auto", "json", "text"},
      [&config](std::size_t i) { config.log_format = static_cast<LogFormat>(i); },
      "Log lines on stderr; auto: text on a terminal, else json");
  add_choice(
      app, "--log-level", {"info", "debug", "warning", "error"},
      [&config](std::size_t i) { config.log_level = log_levels[i]; }, "Least level to log");
}

std::string default_name() {
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  return std::string(host) + ":" + std::to_string(getpid());
}

void check_name(const std::string& name) {
  constexpr std::size_t name_bytes_max = 200;
  bool printable = !name.empty() && name.size() <= name_bytes_max;
  for (const char c : name) printable = printable && c >= ' ' && c <= '~';
  if (!printable) throw CLI::ValidationError("--name", "must be 1 to 200 printable ASCII characters");
}

bool readable_by_others(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 && (status.st_mode & (S_IRGRP | S_IROTH)) != 0;
}

// What CLI11 can't say about single values.
void finish(const CLI::App& app, const std::vector<std::string>& command_line, Config& config) {
  if (config.name.empty()) config.name = default_name();
  check_name(config.name);
  config.metrics_address_is_default = app.get_option("--metrics-address")->count() == 0;
  if (config.metrics_address == "off") config.metrics_address.clear();
  if (!config.metrics_address.empty()) {
    try {
      parse_listen_address(config.metrics_address);
    } catch (const std::invalid_argument& error) {
      throw CLI::ValidationError("--metrics-address", error.what());
    }
  }
  try {
    daemon_dsn(config.dsn);
  } catch (const std::invalid_argument& error) {
    throw CLI::ValidationError("--dsn", error.what());
  }
  if (const CLI::Option* file = app.get_config_ptr(); file->count() > 0) config.config_file = file->as<std::string>();
  if (!dsn_has_password(config.dsn)) return;
  if (given_on_command_line(command_line, "--dsn")) {
    config.warnings.push_back(
        "a password on the command line can be read by every user of this machine: use PGPASSFILE or the config file");
  } else if (!config.config_file.empty() && std::getenv("OBJECTLINKD_DSN") == nullptr &&
             readable_by_others(config.config_file)) {
    config.warnings.push_back("the config file holds a password and others may read it: chmod 600 " +
                              config.config_file);
  }
}

}  // namespace

ParsedConfig parse_config(int argc, const char* const* argv) {
  Config config;
  CLI::App app(description, "objectlinkd");
  app.footer(footer);
  app.get_formatter()->column_width(36);
  const std::vector<std::string> command_line(argv + (argc > 0 ? 1 : 0), argv + argc);
  try {
    add_options(app, config);
    std::vector<std::string> arguments = with_environment(command_line);
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the back
    app.parse(std::move(arguments));
    finish(app, command_line, config);
  } catch (const CLI::Success& done) {  // --help, --version
    app.exit(done);
    return {std::nullopt, exit_code::ok};
  } catch (const CLI::Error& error) {
    std::cerr << "objectlinkd: " << error.what() << "\nTry 'objectlinkd --help'.\n";
    return {std::nullopt, exit_code::usage};
  }
  return {std::move(config), exit_code::ok};
}

}  // namespace objectlink
