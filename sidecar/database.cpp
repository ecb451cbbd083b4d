#include "database.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <map>

#include "database_reply.hpp"
#include "dsn.hpp"
#include "log.hpp"
#include "redact.hpp"

namespace objectlink {

using Clock = std::chrono::steady_clock;

namespace {

// One round trip. What the design rests on is set here whatever the role, the database or the server default to.
// - READ COMMITTED: deleting safely needs a new snapshot for each statement.
// - synchronous_commit at least on: nothing is sent to a store before the reason for it is durable.
// - the server, too, must notice a dead daemon soon, or its advisory locks stay for hours; and one that hangs, whose host
//   answers for it: a daemon that lives asks something every 5 seconds.
constexpr const char* session_setup = R"(
SET search_path = pg_catalog;
SET client_min_messages = warning;
SET bytea_output = hex;
SET datestyle = 'ISO, YMD';
SET intervalstyle = postgres;
SET timezone = 'UTC';
SET default_transaction_isolation = 'read committed';
SET default_transaction_read_only = off;
SET statement_timeout = '60s';
SET lock_timeout = '5s';
SET idle_in_transaction_session_timeout = '60s';
SET idle_session_timeout = '30s';
SET jit = off;
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 3;
SET tcp_keepalives_count = 3;
SET tcp_user_timeout = '15s';
SET client_connection_check_interval = '5s';
SELECT set_config('synchronous_commit', 'on', false)
 WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
SELECT pg_backend_pid(), pg_is_in_recovery(), current_user, current_database(),
       (SELECT extversion FROM pg_extension WHERE extname = 'objectlink')
)";

// Prepared statements of a session; more distinct texts than this are not constants, and are sent unprepared.
constexpr std::size_t prepared_max = 500;

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

// libpq spreads a message of its own over several lines.
std::string in_one_line(std::string text) {
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at)) {
    const std::size_t next = text.find_first_not_of("\n\t ", at);
    text.replace(at, next == std::string::npos ? next : next - at, "; ");
  }
  return text;
}

// "ERROR:  message\nDETAIL:  ...\nHINT:  ..." -> message, the rest.
std::pair<std::string, std::string> split_message(const std::string& what) {
  const std::size_t line_end = what.find('\n');
  std::string message = what.substr(0, line_end);
  const std::size_t severity = message.find(":  ");
  if (severity != std::string::npos && severity < 20) message.erase(0, severity + 3);
  return {message, line_end == std::string::npos ? std::string() : trimmed(what.substr(line_end + 1))};
}

// libpqxx 6.4.5 keeps the SQLSTATE of some errors only as the exception's type (result::ThrowSQLError).
std::string sqlstate_of(const std::exception& error) {
  if (const auto* sql = dynamic_cast<const pqxx::sql_error*>(&error); sql != nullptr && !sql->sqlstate().empty()) {
    return sql->sqlstate();
  }
  if (dynamic_cast<const pqxx::insufficient_privilege*>(&error) != nullptr) return "42501";
  if (dynamic_cast<const pqxx::serialization_failure*>(&error) != nullptr) return "40001";
  if (dynamic_cast<const pqxx::deadlock_detected*>(&error) != nullptr) return "40P01";
  if (dynamic_cast<const pqxx::statement_completion_unknown*>(&error) != nullptr) return "40003";
  if (dynamic_cast<const pqxx::transaction_rollback*>(&error) != nullptr) return "40000";
  if (dynamic_cast<const pqxx::too_many_connections*>(&error) != nullptr) return "53300";
  if (dynamic_cast<const pqxx::broken_connection*>(&error) != nullptr) return "08000";
  return {};
}

std::string compatible_part(std::string_view version) {  // 0.1.7 -> 0.1
  return std::string(version.substr(0, version.find('.', version.find('.') + 1)));
}

class Doorbell final : public pqxx::notification_receiver {
 public:
  Doorbell(pqxx::connection& connection, const std::string& channel, int& count)
      : pqxx::notification_receiver(connection, channel), count_(count) {}
  void operator()(const std::string&, int) override { ++count_; }

 private:
  int& count_;
};

// Takes what the server says unasked. A FATAL line is the reason why a session ends.
class Notices final : public pqxx::errorhandler {
 public:
  using pqxx::errorhandler::errorhandler;
  bool operator()(const char message[]) noexcept override {
    const std::string_view text(message);
    const bool fatal = text.starts_with("FATAL") || text.starts_with("PANIC");
    try {
      if (fatal) last_fatal_ = split_message(trimmed(message)).first;
      if (text.starts_with("WARNING"))
        log::warning("database.notice", trimmed(message));
      else
        log::debug("database.notice", trimmed(message));  // also libpqxx's own remarks
    } catch (const std::bad_alloc&) {
      return false;
    }
    return false;
  }
  const std::string& last_fatal() const { return last_fatal_; }

 private:
  std::string last_fatal_;
};

}  // namespace

DatabaseError::DatabaseError(DatabaseFailure failure, std::string sqlstate, const std::string& message,
                             std::string detail)
    : std::runtime_error(message), failure_(failure), sqlstate_(std::move(sqlstate)), detail_(std::move(detail)) {}

bool is_passing(const DatabaseError& error) {
  return !error.session_ended() && (error.sqlstate() == "55P03" || error.sqlstate() == "40P01");
}

struct Database::Session {
  explicit Session(const std::string& dsn) : connection(dsn), notices(connection) {
    // Never reconnect behind our back: the new session would not hold the locks of the old one.
#include <pqxx/internal/ignore-deprecated-pre.hxx>
    connection.inhibit_reactivation(true);
#include <pqxx/internal/ignore-deprecated-post.hxx>
  }

  pqxx::connection connection;
  Notices notices;
  int notifications = 0;
  std::vector<std::unique_ptr<Doorbell>> doorbells;
  std::map<std::string, std::string, std::less<>> prepared;  // text -> name
  int names_given = 0;
  Clock::time_point last_round_trip_start{};
  std::string extension_version;
  std::string description;

  // Takes in what has arrived, notifications and the end of the session among it. What ended before a statement was
  // sent is certain to have had no effect.
  void require_open() {
    if (connection.is_open()) {
      try {
        connection.get_notifs();
      } catch (const std::exception&) {
        throw ended(DatabaseFailure::lost);
      }
      if (!notices.last_fatal().empty()) connection.disconnect();  // the end itself may still be on its way
    }
    if (!connection.is_open()) throw ended(DatabaseFailure::lost);
  }

  // Null when there are too many.
  const std::string* prepare(std::string_view sql) {
    const auto found = prepared.find(sql);
    if (found != prepared.end()) return &found->second;
    if (prepared.size() >= prepared_max) return nullptr;
    const std::string name = "objectlinkd_" + std::to_string(++names_given);
    connection.prepare(name, std::string(sql));
    return &prepared.emplace(sql, name).first->second;
  }

  // A plan can become unusable (extension updated) or vanish (DISCARD ALL): under a new name it is made anew.
  void forget_if_stale(std::string_view sql, const std::string& sqlstate) {
    if (sqlstate != "0A000" && sqlstate != "26000") return;
    if (const auto found = prepared.find(sql); found != prepared.end()) prepared.erase(found);
  }

  // libpqxx's own words for an ended session are not helpful ("Could not obtain client encoding").
  DatabaseError ended(DatabaseFailure failure) const {
    const std::string& reason = notices.last_fatal();
    return DatabaseError(failure, "08006", reason.empty() ? "the connection to the server is lost" : reason);
  }

  DatabaseError translate(const std::exception& error, DatabaseFailure when_ended) const {
    if (!connection.is_open()) return ended(when_ended);
    const auto [message, detail] = split_message(trimmed(error.what()));
    return DatabaseError(DatabaseFailure::statement, sqlstate_of(error), message, detail);
  }

  template <typename Statement>
  pqxx::result run(std::string_view sql, const Statement& statement) {
    require_open();
    const Clock::time_point start = Clock::now();
    try {
      pqxx::nontransaction transaction(connection);
      pqxx::result result = statement(transaction);
      last_round_trip_start = start;
      return result;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      const DatabaseError translated = translate(error, DatabaseFailure::in_doubt);
      forget_if_stale(sql, translated.sqlstate());
      throw translated;
    }
  }
};

Database::Database(std::unique_ptr<Session> session) : session_(std::move(session)) {}
Database::~Database() = default;

Connected Database::connect(const std::string& dsn) {
  Connected connected;
  try {
    auto session = std::make_unique<Session>(daemon_dsn(dsn));
    const pqxx::result facts =
        session->run({}, [](pqxx::nontransaction& transaction) { return transaction.exec(session_setup); });
    const pqxx::row row = facts.at(0);
    const char* host = session->connection.hostname();
    session->description = std::string("host=") + (host != nullptr ? host : "") +
                           " port=" + session->connection.port() + " dbname=" + row[3].c_str() +
                           " user=" + row[2].c_str();
    if (row[0].as<int>() != session->connection.backendpid()) {
      connected.outcome = ConnectOutcome::pooler;
      connected.message = "a connection pooler stands between objectlinkd and PostgreSQL (" + session->description +
                          "): connect to the server itself";
    } else if (row[1].as<bool>()) {
      connected.outcome = ConnectOutcome::standby;
      connected.message = "the server is a standby (" + session->description + "): waiting for its promotion";
    } else if (row[4].is_null()) {
      connected.outcome = ConnectOutcome::no_extension;
      connected.message = "the database has no extension objectlink (" + session->description +
                          "): run CREATE EXTENSION objectlink in it";
    } else if (compatible_part(row[4].c_str()) != compatible_part(OBJECTLINK_VERSION)) {
      connected.outcome = ConnectOutcome::version_mismatch;
      connected.message = std::string("the extension objectlink has version ") + row[4].c_str() +
                          ", objectlinkd has " OBJECTLINK_VERSION
                          ": update the older one (ALTER EXTENSION objectlink UPDATE)";
    } else {
      session->extension_version = row[4].c_str();
      connected.outcome = ConnectOutcome::connected;
      connected.message = session->description;
      connected.database = std::unique_ptr<Database>(new Database(std::move(session)));
    }
  } catch (const std::exception& error) {
    connected.outcome = ConnectOutcome::unreachable;
    connected.message = redact_text(in_one_line(trimmed(error.what())));
  }
  return connected;
}

Rows Database::run(std::string_view sql, const std::vector<Param>& params) {
  std::vector<const char*> values;
  values.reserve(params.size());
  for (const Param& param : params) {
    const auto& text = param.text();
    if (text && text->find('\0') != std::string::npos) {
      throw std::invalid_argument("a NUL byte in a parameter of a statement");
    }
    values.push_back(text ? text->c_str() : nullptr);
  }
  const auto dynamic = pqxx::prepare::make_dynamic_params(values.begin(), values.end());
  auto reply = std::make_unique<Rows::Reply>();
  reply->result = session_->run(sql, [&](pqxx::nontransaction& transaction) {
    const std::string* name = session_->prepare(sql);
    return name != nullptr ? transaction.exec_prepared(*name, dynamic)
                           : transaction.exec_params(std::string(sql), dynamic);
  });
  return Rows(std::move(reply));
}

Rows Database::run_unprepared(const std::string& sql) {
  auto reply = std::make_unique<Rows::Reply>();
  reply->result = session_->run({}, [&](pqxx::nontransaction& transaction) { return transaction.exec(sql); });
  return Rows(std::move(reply));
}

void Database::ping() { run_unprepared(""); }

void Database::listen(const std::string& channel) {
  session_->require_open();
  const Clock::time_point start = Clock::now();
  try {
    session_->doorbells.push_back(std::make_unique<Doorbell>(session_->connection, channel, session_->notifications));
  } catch (const std::exception& error) {
    throw session_->translate(error, DatabaseFailure::lost);
  }
  session_->require_open();  // libpqxx swallows a broken connection here
  session_->last_round_trip_start = start;
}

int Database::take_notifications() {
  session_->require_open();
  return std::exchange(session_->notifications, 0);
}

bool Database::wait_notification(std::chrono::milliseconds timeout, WakeUp& wake_up) {
  const Clock::time_point end = Clock::now() + timeout;
  for (;;) {
    if (take_notifications() > 0) return true;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    pollfd watched[] = {{socket(), POLLIN, 0}, {wake_up.fd(), POLLIN, 0}};
    const int ready = poll(watched, 2, static_cast<int>(std::clamp<decltype(left)>(left, 0, INT_MAX)));
    if (ready < 0 && errno != EINTR) {
      throw DatabaseError(DatabaseFailure::lost, "08000", "poll on the connection failed");
    }
    if (wake_up.take()) return take_notifications() > 0;
    if (ready == 0 && left <= 0) return false;
  }
}

int Database::socket() const { return session_->connection.sock(); }

Clock::time_point Database::last_round_trip_start() const noexcept { return session_->last_round_trip_start; }

bool Database::alive() const noexcept { return session_->connection.is_open(); }

int Database::backend_pid() const noexcept { return session_->connection.backendpid(); }

const std::string& Database::extension_version() const noexcept { return session_->extension_version; }

const std::string& Database::server_description() const noexcept { return session_->description; }

}  // namespace objectlink

#if defined(__SANITIZE_ADDRESS__)
// libpqxx 6.4.5 loses one PGresult when a session ends under a statement: make_result() asks for the client encoding,
// which throws, before it wraps the result. Two kilobytes a lost session; not ours to mend.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() { return "leak:pqxx::connection_base::exec\n"; }
extern "C" const char* __lsan_default_options();
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }
#endif
