// What went wrong, and whose fault is it?
// The one place that decides an error's class. What a class leads to (retry, breaker, dead letter) is not decided here.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "http_message.hpp"

namespace objectlink {

enum class ErrorClass {
  transient,    // try again soon
  throttled,    // try again later, and lower the pace
  clock,        // our time differs from the store's: see server_time
  credentials,  // refresh them, then try again once
  redirect,     // wrong region: see region; never followed to another host
  conflict,     // 409, 412: somebody else was there (or our own earlier try): look, compare
  not_found,    // the store itself says that the object (version, upload) does not exist
  store,        // the store refuses or cannot be reached at all: objects keep their attempts
  object,       // this object can never succeed as it is
};
std::string_view to_string(ErrorClass klass);
ErrorClass error_class_named(std::string_view name);  // transient for one that is unknown

struct S3Error {
  ErrorClass klass = ErrorClass::transient;
  std::string code = {};  // the store's code; if it gave none, one of ours in the same style ("Timeout", "NotFound")
  bool code_is_guessed = false;  // from the status: the reply had no body, as those to HEAD
  std::string message = {};      // the store's words or curl's; at most 500 bytes, may be empty
  long status = 0;               // 0: no reply
  std::string request_id = {};
  // The request may have been carried out, or may still be (until the signature's window has closed).
  bool outcome_unknown = false;
  std::optional<std::chrono::milliseconds> retry_after = {};
  std::optional<std::chrono::system_clock::time_point> server_time = {};  // of the Date header
  bool of_one_key = false;  // it stands inside of a reply of success, about one key of several
  std::string region = {};  // the right one, with class redirect

  std::string describe() const;  // one line for logs and last_error: "throttled SlowDown (503): ... [request id]"
};

// A value, or why there is none.
template <class T>
class S3Result {
 public:
  S3Result(T value) : content_(std::move(value)) {}        // NOLINT: implicit on purpose
  S3Result(S3Error error) : content_(std::move(error)) {}  // NOLINT
  bool ok() const { return content_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return std::get<0>(content_); }
  const T& value() const { return std::get<0>(content_); }
  const T* operator->() const { return &value(); }
  T* operator->() { return &value(); }
  const S3Error& error() const { return std::get<1>(content_); }

 private:
  std::variant<T, S3Error> content_;
};

// For any reply that is not a success, and for none at all. Also for an <Error> inside of a 200.
// A 404 is not_found only if the store says so: NoSuchKey, NoSuchVersion or NoSuchUpload in the body. A HEAD has no
// body, so its 404 cannot be told from a missing bucket: who is to believe it about an object must know by other means
// that the bucket exists (head_bucket, or an earlier success). Nor can the 403 of a HEAD be told from expired
// credentials or a skewed clock: a GET of one byte says which.
S3Error classify(const HttpReply& reply);

// The same for a code that stands inside of a reply, as those of DeleteObjects for each key.
S3Error classify_code(std::string_view code, std::string_view message, const HttpReply& reply);

// A reply of success that makes no sense: cut XML, a missing field. Transient, outcome unknown.
S3Error unreadable(const HttpReply& reply, std::string what);

// The request id of a reply, or an empty string.
std::string request_id_of(const HttpReply& reply);

// Text of a reply made fit for logs and the database: valid UTF-8, no control characters ('?' in their place), at most
// `bytes_max` long.
std::string presentable(std::string_view text, std::size_t bytes_max = 500);

}  // namespace objectlink
