// How does the daemon talk to PostgreSQL? One session on one connection, one SQL statement a call.
// Only database*.cpp know libpqxx. It does not reconnect (reconnect.hpp): a session carries advisory locks,
// and a silently renewed one would have lost them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "database_text.hpp"
#include "wake_up.hpp"

namespace objectlink {

enum class DatabaseFailure {
  unreachable,  // no session could be made; message says why
  lost,         // the session ended before the statement was sent: it had no effect
  in_doubt,     // the session ended while the statement ran: it may have been committed; look again
  statement,    // the server refused the statement and rolled it back; sqlstate says why; the session goes on
};

class DatabaseError : public std::runtime_error {
 public:
  DatabaseError(DatabaseFailure failure, std::string sqlstate, const std::string& message, std::string detail = {});

  DatabaseFailure failure() const noexcept { return failure_; }
  bool session_ended() const noexcept { return failure_ != DatabaseFailure::statement; }
  const std::string& sqlstate() const noexcept { return sqlstate_; }  // five characters, or empty
  const std::string& detail() const noexcept { return detail_; }      // DETAIL, HINT, CONTEXT lines of the server

 private:
  DatabaseFailure failure_;
  std::string sqlstate_;
  std::string detail_;
};

// A lock was not had in time, or a deadlock was ended: the same statement may succeed later.
bool is_passing(const DatabaseError& error);

// The rows of one reply. Cheap to move; values are views into it and live as long as it does.
// Columns are numbered from 0. A value that does not have the asked type, or is NULL where text is not asked for as
// optional, throws std::logic_error: the SQL and this code disagree.
class Rows {
 public:
  Rows();
  ~Rows();
  Rows(Rows&&) noexcept;
  Rows& operator=(Rows&&) noexcept;

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  std::size_t affected() const;        // rows an INSERT, UPDATE or DELETE touched
  int column(const char* name) const;  // its number; throws std::logic_error if there is none

  bool is_null(std::size_t row, int column) const;
  std::string_view text(std::size_t row, int column) const;  // NULL: empty
  std::optional<std::string_view> optional_text(std::size_t row, int column) const;
  std::string string(std::size_t row, int column) const { return std::string(text(row, column)); }
  std::int64_t integer(std::size_t row, int column) const;
  std::optional<std::int64_t> optional_integer(std::size_t row, int column) const;
  double real(std::size_t row, int column) const;
  bool boolean(std::size_t row, int column) const;
  std::string bytes(std::size_t row, int column) const;  // a bytea, decoded

 private:
  friend class Database;
  struct Reply;
  explicit Rows(std::unique_ptr<Reply> reply);
  const Reply& reply() const;
  std::unique_ptr<Reply> reply_;
  std::size_t size_ = 0;
};

enum class ConnectOutcome {
  connected,
  unreachable,       // no server, no such database, wrong password, ...
  standby,           // the server is in recovery: wait for its promotion
  pooler,            // a connection pooler is in between: advisory locks would not hold
  no_extension,      // CREATE EXTENSION objectlink has not been run in this database
  version_mismatch,  // the extension's version is not one this daemon knows
};

class Database;

struct Connected {
  ConnectOutcome outcome = ConnectOutcome::unreachable;
  std::unique_ptr<Database> database;  // only when connected
  std::string message;                 // for people; no secrets
};

// Not thread-safe: one thread owns it.
class Database {
 public:
  // Never throws for what the network or the server does. dsn: libpq connection string, may be empty.
  // Takes at most connect_timeout of the dsn (default 5 s) a host.
  static Connected connect(const std::string& dsn);

  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Runs one statement as a transaction by itself (one round trip; prepared at its first use, so pass constant texts).
  // Throws DatabaseError.
  //   Rows rows = database.query("SELECT * FROM objectlink.next($1, $2)", store, limit);
  template <typename... Args>
  Rows query(std::string_view sql, Args&&... args) {
    std::vector<Param> params;
    params.reserve(sizeof...(args));
    (params.emplace_back(std::forward<Args>(args)), ...);
    return run(sql, params);
  }
  Rows run(std::string_view sql, const std::vector<Param>& params);

  // Without preparing it: for texts made up at run time, and for several statements (without parameters) as one
  // transaction.
  Rows run_unprepared(const std::string& sql);

  void ping();  // an empty round trip: is the session alive? Throws DatabaseError.

  void listen(const std::string& channel);

  // Waits until a notification arrives or wake_up is rung (the ring is taken). True for a notification.
  // Throws DatabaseError (lost) as soon as the server closes the connection. Zero timeout: only looks.
  bool wait_notification(std::chrono::milliseconds timeout, WakeUp& wake_up);
  // For a loop that polls by itself: poll socket() for reading, then take_notifications(): how many have come.
  int socket() const;
  int take_notifications();

  // The time just before the last statement that succeeded was sent: the session lived at that time at the earliest.
  std::chrono::steady_clock::time_point last_round_trip_start() const noexcept;
  bool alive() const noexcept;  // as far as is known without asking

  int backend_pid() const noexcept;
  const std::string& extension_version() const noexcept;
  const std::string& server_description() const noexcept;  // host, port, dbname, user: for the log

 private:
  struct Session;
  explicit Database(std::unique_ptr<Session> session);
  std::unique_ptr<Session> session_;
};

}  // namespace objectlink
