// What does the connection string say, and what may be shown of it? Pure: reads no files, opens no connection.
#pragma once

#include <string>

namespace objectlink {

// Throws std::invalid_argument, with a message that quotes nothing of the text, if libpq can't read it.
// Adds what a daemon needs unless the user set it: application_name, connect_timeout, keepalives, tcp_user_timeout,
// client_encoding; with several hosts target_session_attrs=primary.
std::string daemon_dsn(const std::string& dsn);

// "host=db port=5432 dbname=app user=objectlinkd": no passwords, whatever the form of the dsn.
std::string redacted_dsn(const std::string& dsn);

// True if a password stands in the text itself.
bool dsn_has_password(const std::string& dsn);

}  // namespace objectlink
