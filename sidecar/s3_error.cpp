// The table of errors: see s3_error.hpp.
#include "s3_error.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/utf8.hpp"
#include "s3_time.hpp"
#include "s3_xml.hpp"

namespace objectlink {
namespace {

using enum ErrorClass;

struct Verdict {
  ErrorClass klass;
  bool outcome_unknown;
};

struct CodeRule {
  std::string_view code;  // a '*' at the end stands for any rest
  Verdict verdict;
};

// Codes of AWS, Ceph RGW and MinIO. The first that fits counts.
constexpr CodeRule code_rules[] = {
    {"InternalError", {transient, true}},
    {"InternalServerError", {transient, true}},
    {"RequestTimeout", {transient, true}},
    {"RequestTimeoutException", {transient, true}},
    {"XMinioBackendDown", {transient, true}},
    {"XMinioServerNotInitialized", {transient, false}},
    {"IncompleteBody", {transient, false}},
    {"BadDigest", {transient, false}},  // broken on the way; the third time the bytes themselves are wrong
    {"XAmzContentSHA256Mismatch", {transient, false}},
    {"XAmzContentChecksumMismatch", {transient, false}},

    {"SlowDown*", {throttled, false}},
    {"Throttl*", {throttled, false}},
    {"RequestThrottled*", {throttled, false}},
    {"TooManyRequests*", {throttled, false}},
    {"RequestLimitExceeded", {throttled, false}},
    {"BandwidthLimitExceeded", {throttled, false}},
    {"ServiceUnavailable", {throttled, true}},
    {"ServerBusy", {throttled, false}},
    {"Busy", {throttled, false}},

    {"RequestTimeTooSkewed", {ErrorClass::clock, false}},

    {"ExpiredToken*", {credentials, false}},
    {"InvalidToken", {credentials, false}},
    {"TokenRefreshRequired", {credentials, false}},

    {"PermanentRedirect", {redirect, false}},
    {"TemporaryRedirect", {redirect, false}},
    {"Redirect", {redirect, false}},
    {"IllegalLocationConstraintException", {redirect, false}},

    {"PreconditionFailed", {conflict, false}},
    {"ConditionalRequestConflict", {conflict, false}},
    {"OperationAborted", {conflict, false}},
    {"InvalidPart", {conflict, false}},
    {"InvalidPartOrder", {conflict, false}},
    {"BucketNotEmpty", {conflict, false}},

    {"NoSuchKey", {not_found, false}},
    {"NoSuchVersion", {not_found, false}},
    {"NoSuchUpload", {not_found, false}},

    {"AccessDenied", {store, false}},
    {"AccountProblem", {store, false}},
    {"AllAccessDisabled", {store, false}},
    {"InvalidAccessKeyId", {store, false}},
    {"SignatureDoesNotMatch", {store, false}},
    {"AuthorizationHeaderMalformed", {store, false}},  // redirect if it names another region
    {"NoSuchBucket", {store, false}},
    {"InvalidBucketName", {store, false}},
    {"InvalidBucketState", {store, false}},
    {"QuotaExceeded", {store, false}},
    {"InsufficientStorage", {store, false}},
    {"XMinioStorageFull", {store, false}},
    {"XMinioAdminBucketQuotaExceeded", {store, false}},
    {"NotImplemented", {store, false}},
    {"MethodNotAllowed", {store, false}},
    {"NotSignedUp", {store, false}},
    {"UserSuspended", {store, false}},

    {"KeyTooLong*", {object, false}},
    {"InvalidObjectName", {object, false}},
    {"XMinioInvalidObjectName", {object, false}},
    {"XMinioObjectExistsAsDirectory", {object, false}},
    {"XMinioParentIsObject", {object, false}},
    {"InvalidURI", {object, false}},
    {"EntityTooLarge", {object, false}},
    {"EntityTooSmall", {object, false}},
    {"MaxMessageLengthExceeded", {object, false}},
    {"MetadataTooLarge", {object, false}},
    {"InvalidDigest", {object, false}},
    {"InvalidRange", {object, false}},
    {"InvalidObjectState", {object, false}},
};

struct StatusRule {
  long first;
  long last;
  Verdict verdict;
  std::string_view code;  // where the reply has none
};

// For codes that are not in the table, and for replies without one. The first that fits counts.
constexpr StatusRule status_rules[] = {
    {200, 299, {transient, true}, "UnexpectedReply"},
    {301, 303, {redirect, false}, "Redirect"},
    {307, 308, {redirect, false}, "Redirect"},
    {401, 401, {store, false}, "Unauthorized"},
    {403, 403, {store, false}, "AccessDenied"},
    {404, 404, {store, false}, "UnexplainedNotFound"},  // a HEAD's 404 is dealt with before
    {405, 405, {store, false}, "MethodNotAllowed"},
    {407, 407, {store, false}, "ProxyAuthenticationRequired"},
    {408, 408, {transient, true}, "RequestTimeout"},
    {409, 409, {conflict, false}, "Conflict"},
    {412, 412, {conflict, false}, "PreconditionFailed"},
    {413, 413, {object, false}, "EntityTooLarge"},
    {414, 414, {object, false}, "InvalidURI"},
    {416, 416, {object, false}, "InvalidRange"},
    {429, 429, {throttled, false}, "TooManyRequests"},
    {400, 499, {object, false}, "BadRequest"},
    {501, 501, {store, false}, "NotImplemented"},
    {503, 503, {throttled, true}, "ServiceUnavailable"},
    {507, 507, {store, false}, "InsufficientStorage"},
    {509, 509, {throttled, true}, "BandwidthLimitExceeded"},
    {500, 599, {transient, true}, "InternalError"},
    {0, 999, {transient, true}, "UnexpectedReply"},
};

struct FailureRule {
  HttpFailure failure;
  ErrorClass klass;
  std::string_view code;
};

// Whether the outcome is unknown says the reply itself.
constexpr FailureRule failure_rules[] = {
    {HttpFailure::resolve, store, "NameNotResolved"},
    {HttpFailure::connect, store, "ConnectFailed"},
    {HttpFailure::tls, store, "TlsFailed"},
    {HttpFailure::local, store, "LocalFailure"},
    {HttpFailure::request, object, "RequestNotPossible"},
    {HttpFailure::too_late, transient, "NotSentInTime"},
    {HttpFailure::timeout, transient, "Timeout"},
    {HttpFailure::cut, transient, "ConnectionClosed"},
    {HttpFailure::limit, transient, "ReplyTooLarge"},
    {HttpFailure::malformed, transient, "NotHttp"},
    {HttpFailure::none, transient, "NoReply"},
};

bool fits(std::string_view pattern, std::string_view code) {
  if (!pattern.ends_with('*')) return pattern == code;
  return code.starts_with(pattern.substr(0, pattern.size() - 1));
}

const StatusRule& rule_of_status(long status) {
  return *std::find_if(std::begin(status_rules), std::end(status_rules) - 1,
                       [&](const StatusRule& rule) { return status >= rule.first && status <= rule.last; });
}

Verdict verdict_of(std::string_view code, long status) {
  for (const CodeRule& rule : code_rules)
    if (fits(rule.code, code)) return rule.verdict;
  return rule_of_status(status).verdict;
}

// Only what looks like a region is believed: it ends up in signatures and logs.
std::string region_name(std::string_view text) {
  const bool fine = !text.empty() && text.size() <= 64 &&
                    text.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") ==
                        std::string_view::npos;
  return fine ? std::string(text) : std::string();
}

std::optional<std::chrono::milliseconds> retry_after_of(const HttpReply& reply) {
  constexpr long milliseconds_max = 3'600'000;
  struct Source {
    const char* name;
    long unit;
  };
  for (const Source source : {Source{"x-amz-retry-after", 1}, Source{"retry-after", 1000}}) {
    const std::string* const text = reply.header(source.name);
    if (text == nullptr) continue;
    long value = 0;
    const auto [stop, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (error != std::errc{} || stop != text->data() + text->size() || value < 0) continue;
    return std::chrono::milliseconds{std::min(value, milliseconds_max / source.unit) * source.unit};
  }
  return std::nullopt;
}

S3Error from_reply(const HttpReply& reply) {
  S3Error error;
  error.status = reply.status;
  error.request_id = request_id_of(reply);
  error.retry_after = retry_after_of(reply);
  if (const std::string* const date = reply.header("date")) error.server_time = parse_http_date(*date);
  return error;
}

S3Error no_reply(const HttpReply& reply) {
  S3Error error;
  const auto rule = std::find_if(std::begin(failure_rules), std::end(failure_rules) - 1,
                                 [&](const FailureRule& candidate) { return candidate.failure == reply.failure; });
  error.klass = rule->klass;
  error.code = rule->code;
  error.message = presentable(reply.error);
  error.outcome_unknown = reply.outcome == HttpReply::Outcome::unknown;
  return error;
}

}  // namespace

std::string_view to_string(ErrorClass klass) {
  switch (klass) {
    case transient: return "transient";
    case throttled: return "throttled";
    case ErrorClass::clock: return "clock";
    case credentials: return "credentials";
    case redirect: return "redirect";
    case conflict: return "conflict";
    case not_found: return "not_found";
    case store: return "store";
    case object: return "object";
  }
  return "unknown";
}

ErrorClass error_class_named(std::string_view name) {
  for (const ErrorClass klass :
       {throttled, ErrorClass::clock, credentials, redirect, conflict, not_found, store, object})
    if (to_string(klass) == name) return klass;
  return transient;
}

std::string S3Error::describe() const {
  std::string out(to_string(klass));
  out.append(" ").append(code);
  if (status != 0) out.append(" (").append(std::to_string(status)).append(")");
  if (!message.empty()) out.append(": ").append(message);
  if (!request_id.empty()) out.append(" [").append(request_id).append("]");
  return out;
}

S3Error classify(const HttpReply& reply) {
  if (reply.outcome != HttpReply::Outcome::replied) return no_reply(reply);

  S3Error error = from_reply(reply);
  std::string_view region;
  pugi::xml_document document;
  if (parse_xml(reply.body, document)) {
    const pugi::xml_node root = root_named(document, "Error");
    error.code = presentable(child_text(root, "Code"), 100);
    error.message = presentable(child_text(root, "Message"));
    if (error.request_id.empty()) error.request_id = presentable(child_text(root, "RequestId"), 200);
    region = child_text(root, "Region");
  }
  if (const std::string* const header = reply.header("x-amz-bucket-region")) region = *header;

  const bool head = reply.method == "HEAD";
  const StatusRule& status_rule = rule_of_status(reply.status);
  Verdict verdict = error.code.empty() ? status_rule.verdict : verdict_of(error.code, reply.status);
  error.code_is_guessed = error.code.empty();
  if (error.code_is_guessed) error.code = status_rule.code;
  if (head && reply.status == 404) {
    verdict = {not_found, false};
    error.code = "NotFound";
  } else if (head && reply.status == 400) {
    // May be the wrong region, an expired token, or this very object: only the first can be told apart.
    verdict = {region.empty() ? transient : redirect, false};
  } else if (error.code == "AuthorizationHeaderMalformed" && !region.empty()) {
    verdict = {redirect, false};
  }
  error.klass = verdict.klass;
  error.outcome_unknown = verdict.outcome_unknown;
  if (error.klass == redirect) error.region = region_name(region);
  return error;
}

S3Error classify_code(std::string_view code, std::string_view message, const HttpReply& reply) {
  S3Error error = from_reply(reply);
  error.of_one_key = true;
  const Verdict verdict = verdict_of(code, reply.status);
  error.klass = verdict.klass;
  error.outcome_unknown = verdict.outcome_unknown;
  error.code = code.empty() ? "UnexpectedReply" : presentable(code, 100);
  error.message = presentable(message);
  return error;
}

S3Error unreadable(const HttpReply& reply, std::string what) {
  S3Error error = from_reply(reply);
  error.klass = transient;
  error.outcome_unknown = true;
  error.code = "UnreadableReply";
  error.message = std::move(what);
  return error;
}

std::string request_id_of(const HttpReply& reply) {
  for (const char* name : {"x-amz-request-id", "x-request-id", "x-guploader-uploadid"})
    if (const std::string* const value = reply.header(name)) return presentable(*value, 200);
  return {};
}

std::string presentable(std::string_view text, std::size_t bytes_max) {
  std::string out(text.substr(0, bytes_max));
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  for (std::size_t at = 0, bad = 0; (bad = find_malformed_utf8(std::string_view(out).substr(at))) != out.npos;) {
    at += bad;
    out[at] = '?';
  }
  return out;
}

}  // namespace objectlink
