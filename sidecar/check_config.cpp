#include "check_config.hpp"

#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "core/store_options.hpp"
#include "credentials_chain.hpp"
#include "database.hpp"
#include "dsn.hpp"
#include "exit_code.hpp"

namespace objectlink {

namespace {

// One function of each duty; grant_daemon() grants them all at once.
constexpr const char* missing_privileges = R"(
SELECT p.proname
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = 'objectlink'
  AND p.proname IN ('store_settings', 'register_worker', 'acquire', 'apply_outbox', 'due_work', 'read_payload', 'settle',
                    'condemn', 'issue')
  AND NOT has_function_privilege(p.oid, 'EXECUTE')
ORDER BY 1)";

class Findings {
 public:
  explicit Findings(std::ostream& out) : out_(out) {}
  void note(const std::string& text) { out_ << "note     " << text << '\n'; }
  void good(const std::string& text) { out_ << "ok       " << text << '\n'; }
  void problem(const std::string& text, int code) {
    out_ << "problem  " << text << '\n';
    ++problems_;
    if (exit_code_ == exit_code::ok) exit_code_ = code;
  }
  int conclude() {
    if (problems_ == 0)
      out_ << "OK\n";
    else
      out_ << problems_ << (problems_ == 1 ? " problem\n" : " problems\n");
    out_.flush();
    return exit_code_;
  }

 private:
  std::ostream& out_;
  int problems_ = 0;
  int exit_code_ = exit_code::ok;
};

void check_privileges(Database& database, Findings& findings) {
  const Rows role = database.query(
      "SELECT current_user, rolsuper, format('SELECT objectlink.grant_daemon(%L)', quote_ident(current_user)) "
      "FROM pg_roles WHERE rolname = current_user");
  const std::string name = role.string(0, 0);
  const std::string remedy = role.string(0, 2);
  if (!database.query("SELECT has_schema_privilege('objectlink', 'USAGE')").boolean(0, 0)) {
    findings.problem("role " + name + " may not use schema objectlink: " + remedy, exit_code::database_unreachable);
    return;
  }
  const Rows missing = database.query(missing_privileges);
  if (!missing.empty()) {
    std::string names;
    for (std::size_t i = 0; i < missing.size(); ++i) names += (i == 0 ? "" : ", ") + missing.string(i, 0);
    findings.problem("role " + name + " may not call " + names + ": " + remedy, exit_code::database_unreachable);
    return;
  }
  findings.good("role " + name + " has the privileges of a daemon");
  if (role.boolean(0, 1)) findings.note("role " + name + " is a superuser; objectlinkd needs none");
}

void check_store(const std::string& store, const std::string& options_json, CredentialsSource& credentials,
                 Findings& findings) {
  const auto problem = [&](const std::string& text) {
    findings.problem("store " + store + ": " + text, exit_code::store_problem);
  };
  const nlohmann::json json = nlohmann::json::parse(options_json);
  std::vector<OptionText> texts;
  for (const auto& [name, value] : json.items()) texts.push_back({name, value.get_ref<const std::string&>()});
  const auto parsed = parse_store_options(std::span<const OptionText>(texts));
  if (const auto* bad = std::get_if<OptionProblem>(&parsed)) {
    problem("option " + bad->option + ": " + bad->detail + " " + bad->hint);
    return;
  }
  const StoreOptions& options = std::get<StoreOptions>(parsed);
  if (const auto missing = find_missing_option(options)) {
    problem("option " + missing->option + ": " + missing->detail + " " + missing->hint);
    return;
  }
  const CredentialsResult keys = credentials.get(options.credentials);
  if (!keys.warning.empty()) findings.note("store " + store + ": " + keys.warning);
  if (!keys)
    problem(keys.error);
  else
    findings.good("store " + store + ": " + options.endpoint + "/" + options.bucket + ", credentials from " +
                  keys.origin);
}

void check_stores(Database& database, Findings& findings) {
  const Rows stores = database.query("SELECT name, options FROM objectlink.server ORDER BY name");
  if (stores.empty()) findings.note("no store yet: CREATE SERVER ... FOREIGN DATA WRAPPER objectlink OPTIONS (...)");
  CredentialsChain credentials;
  for (std::size_t i = 0; i < stores.size(); ++i) {
    check_store(stores.string(i, 0), stores.string(i, 1), credentials, findings);
  }
}

}  // namespace

int check_config(const Config& config, std::ostream& out) {
  Findings findings(out);
  for (const std::string& warning : config.warnings) findings.note(warning);
  const Connected connected = Database::connect(config.dsn);
  if (connected.outcome != ConnectOutcome::connected) {
    findings.problem("database: " + connected.message, exit_code::database_unreachable);
    return findings.conclude();
  }
  Database& database = *connected.database;
  findings.good("database: " + connected.message + ", extension objectlink " + database.extension_version());
  try {
    check_privileges(database, findings);
    check_stores(database, findings);
  } catch (const DatabaseError& error) {
    findings.problem(std::string("database: ") + error.what(), exit_code::database_unreachable);
  }
  return findings.conclude();
}

}  // namespace objectlink
