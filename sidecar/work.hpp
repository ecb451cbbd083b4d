// What is due for one object, and what came of it? The rows that objectlink.due_work() gives and objectlink.settle() takes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/digest.hpp"
#include "s3_error.hpp"

namespace objectlink {

class Rows;

// Content of put() that waits to be uploaded.
struct Payload {
  std::int64_t size = 0;
  Sha256 sha256{};
  Md5 md5{};
  bool chosen_key = false;                     // something else may be there already
  std::shared_ptr<const std::string> content;  // small content comes with the work; else null
};

struct Work {
  std::string key;
  std::string state;  // as the registry had it: a result only counts while it still has
  std::string due_at;
  int attempts = 0;
  int max_attempts = 1;
  std::optional<std::int64_t> size;  // these four as last proved or, of content that was never proved, empty
  std::string etag;
  std::string version_id;
  std::optional<Sha256> sha256;
  std::string content_type;
  bool verified = false;  // it was proved to be there once
  bool alone = false;     // deleting: it failed among others before
  bool issued = false;    // deleting: a request may have gone out before
  std::optional<Payload> payload;
};

std::vector<Work> read_work(const Rows& rows);

enum class Outcome { stored, retry, failed, gone, unknown };
const char* to_string(Outcome outcome);

struct Result {
  std::string key;
  std::string state;
  int attempts = 0;
  Outcome outcome = Outcome::retry;
  const char* cause = "";  // upload, verify, delete
  std::optional<std::int64_t> size;
  std::string etag;
  std::string version_id;
  std::string sha256_hex;
  std::string content_type;
  std::string request_id;
  std::optional<S3Error> error;
  std::chrono::milliseconds retry_after{0};
  bool counted = false;                       // the object's own fault: costs it an attempt
  std::string proof;                          // gone: how the store showed that it does not have the object
  std::optional<std::int64_t> versions_left;  // gone: versions under this key that are not ours and were kept
  bool delete_unknown = false;                // a deletion was sent, and may still arrive
  bool put_unknown = false;  // an upload was sent, and nobody knows whether it has arrived or still may
};

Result result_for(const Work& work, const char* cause, Outcome outcome);

// The store's words, or, where it had none (a HEAD has no body), its code and status.
std::string message_of(const S3Error& error);

// The JSON array that objectlink.settle() takes. Text that is no UTF-8 is replaced, NUL left out.
std::string to_json(const std::vector<Result>& results);

}  // namespace objectlink
