#include "refused_keys.hpp"

namespace objectlink {
namespace {

bool is_other(const CredentialsResult& found, const Credentials& refused) {
  return found && !same_keys(*found.credentials, refused);
}

}  // namespace

bool RefusedKeys::there_are_others(CredentialsSource& source, const std::string& profile, const Credentials& refused,
                                   Time now) {
  // Most take what the first of them has found.
  if (is_other(source.get(profile), refused)) return true;
  if (now < next_) return false;
  next_ = now + interval;
  return is_other(source.get_anew(profile), refused);
}

}  // namespace objectlink
