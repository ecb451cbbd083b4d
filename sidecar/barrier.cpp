#include "barrier.hpp"

#include <algorithm>

namespace objectlink {
namespace {

constexpr const char* prepared_mark = "-1/";  // how pg_locks names a prepared transaction that a restart brought back

std::vector<std::string> column_of(const Rows& rows) {
  std::vector<std::string> values;
  for (std::size_t row = 0; row < rows.size(); ++row) values.push_back(rows.string(row, 0));
  return values;
}

std::vector<std::string> writers(Database& database) {
  return column_of(database.query("SELECT * FROM objectlink.writers()"));
}

}  // namespace

Barrier::Barrier(Database& database) : left_(writers(database)) {}

bool Barrier::passed(Database& database) {
  if (!left_.empty()) {
    left_ = column_of(database.query("SELECT * FROM objectlink.writers_left($1::text[])", text_array(left_)));
  }
  if (left_.empty() && !prepared_too_) {
    prepared_too_ = true;
    left_ = writers(database);
    std::erase_if(left_, [](const std::string& name) { return !name.starts_with(prepared_mark); });
  }
  return left_.empty();
}

std::string Barrier::blockers() const {
  std::string text = "waits for transactions";
  for (const std::string& name : left_) text += " " + name;
  return text;
}

}  // namespace objectlink
