// What stands behind Rows? Only for database*.cpp: the one header that includes libpqxx.
#pragma once

#include <pqxx/pqxx>

#include "database.hpp"

namespace objectlink {

struct Rows::Reply {
  pqxx::result result;
};

}  // namespace objectlink
