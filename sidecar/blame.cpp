#include "blame.hpp"

#include <algorithm>

namespace objectlink {
namespace {

constexpr int broken_bytes_attempts_max = 3;  // broken on the way once or twice; then the bytes themselves are wrong

// The bytes that arrived are not those that were announced.
constexpr std::string_view broken_bytes_codes[] = {"BadDigest", "XAmzContentSHA256Mismatch",
                                                   "XAmzContentChecksumMismatch"};
// The store answered well, and this object is not as it said.
constexpr std::string_view contradiction_codes[] = {"StillThere", "NoSuchKey", "NoSuchVersion"};
constexpr std::string_view refusal_codes[] = {"AccessDenied", "AllAccessDisabled", "MethodNotAllowed"};

template <std::size_t size>
bool is_one_of(std::string_view code, const std::string_view (&codes)[size]) {
  return std::find(std::begin(codes), std::end(codes), code) != std::end(codes);
}

}  // namespace

WorkKind kind_of(std::string_view cause) {
  if (cause == "upload") return WorkKind::upload;
  return cause == "delete" ? WorkKind::removal : WorkKind::look;
}

ErrorWeight weight_of(const S3Error& error) {
  switch (error.klass) {
    case ErrorClass::object: return ErrorWeight::final;
    case ErrorClass::not_found:
    case ErrorClass::conflict: return ErrorWeight::counted;
    case ErrorClass::transient:
      if (error.code == "NotSentInTime" || error.code == "ContentGone") return ErrorWeight::store;
      if (is_one_of(error.code, broken_bytes_codes) || is_one_of(error.code, contradiction_codes))
        return ErrorWeight::counted;
      return ErrorWeight::unclear;
    case ErrorClass::store:
      return error.status != 0 && is_one_of(error.code, refusal_codes) ? ErrorWeight::refused : ErrorWeight::store;
    case ErrorClass::throttled:
    case ErrorClass::clock:
    case ErrorClass::credentials:
    case ErrorClass::redirect: return ErrorWeight::store;
  }
  return ErrorWeight::store;
}

int attempts_max(const S3Error& error, int max_attempts) {
  if (error.klass == ErrorClass::object) return 1;
  return is_one_of(error.code, broken_bytes_codes) ? std::min(broken_bytes_attempts_max, max_attempts) : max_attempts;
}

Blame::Verdict Blame::failed(const std::string& key, WorkKind kind, ErrorWeight weight, Time now) {
  if (weight == ErrorWeight::store) return Verdict::store;
  if (weight != ErrorWeight::refused && weight != ErrorWeight::unclear) return Verdict::object;
  if (suspects_.size() >= suspects_max && !suspects_.contains(key)) return Verdict::store;
  Suspect& suspect = suspects_[key];
  const Time before = std::exchange(suspect.last_failure, now);
  suspect.failures = std::min(suspect.failures + 1, 1'000'000);
  const std::optional<Time> success = last_success_[static_cast<std::size_t>(kind)];
  const bool others_do_well = suspect.failures > 1 && success && *success > before;
  if (weight == ErrorWeight::unclear && suspect.failures < unclear_failures_min) return Verdict::store;
  return others_do_well ? Verdict::object : Verdict::ask;
}

}  // namespace objectlink
