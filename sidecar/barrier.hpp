// Has everybody ended who may have written a row, or looked for the mark, before the mark was committed?
// Reads the writers' locks and waits for each of those transactions (what CREATE INDEX CONCURRENTLY does). A prepared
// transaction keeps its name until the server restarts, when it gets one that begins with -1/: so once all are gone, the
// prepared ones of that moment are waited for too.
// Each look is a statement, and so a transaction, of its own.
#pragma once

#include <string>
#include <vector>

#include "database.hpp"

namespace objectlink {

class Barrier {
 public:
  // Must be called after the commit of the marks.
  explicit Barrier(Database& database);

  bool passed(Database& database);  // looks again
  std::string blockers() const;     // for people

 private:
  std::vector<std::string> left_;
  bool prepared_too_ = false;
};

}  // namespace objectlink
