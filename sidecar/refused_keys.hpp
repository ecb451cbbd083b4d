// A store has refused the keys that a request was signed with: are there others by now? Files are read anew at most once an
// interval, however many are refused, since a file that was written over in place looks unchanged (credentials.hpp).
#pragma once

#include <chrono>
#include <string>

#include "credentials.hpp"

namespace objectlink {

class RefusedKeys {
 public:
  using Time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::milliseconds interval{1000};

  bool there_are_others(CredentialsSource& source, const std::string& profile, const Credentials& refused, Time now);

 private:
  Time next_{};
};

}  // namespace objectlink
