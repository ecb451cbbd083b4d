#include "work.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "database.hpp"

namespace objectlink {
namespace {

template <class Digest>
Digest digest_from(const std::string& bytes) {
  Digest digest{};
  std::copy_n(bytes.begin(), std::min(bytes.size(), digest.size()), digest.begin());
  return digest;
}

std::string without_nul(std::string text) {
  std::erase(text, '\0');
  return text;
}

}  // namespace

std::vector<Work> read_work(const Rows& rows) {
  enum Column {
    key,
    state,
    due_at,
    attempts,
    max_attempts,
    size,
    etag,
    version_id,
    issued_at,
    issued_epoch,
    payload_size,
    payload_sha256,
    payload_md5,
    content_type,
    chosen_key,
    content,
    known_sha256,
    verified
  };
  std::vector<Work> all;
  all.reserve(rows.size());
  for (std::size_t row = 0; row < rows.size(); ++row) {
    Work& work = all.emplace_back();
    work.key = rows.string(row, key);
    work.state = rows.string(row, state);
    work.due_at = rows.string(row, due_at);
    work.attempts = static_cast<int>(rows.integer(row, attempts));
    work.max_attempts = static_cast<int>(rows.integer(row, max_attempts));
    work.size = rows.optional_integer(row, size);
    work.etag = rows.string(row, etag);
    work.version_id = rows.string(row, version_id);
    if (!rows.is_null(row, known_sha256)) work.sha256 = digest_from<Sha256>(rows.bytes(row, known_sha256));
    work.verified = rows.boolean(row, verified);
    work.content_type = rows.string(row, content_type);
    work.issued = !rows.is_null(row, issued_at);
    if (rows.is_null(row, payload_size)) continue;
    Payload& payload = work.payload.emplace();
    payload.size = rows.integer(row, payload_size);
    payload.sha256 = digest_from<Sha256>(rows.bytes(row, payload_sha256));
    payload.md5 = digest_from<Md5>(rows.bytes(row, payload_md5));
    payload.chosen_key = rows.boolean(row, chosen_key);
    if (!rows.is_null(row, content)) payload.content = std::make_shared<const std::string>(rows.bytes(row, content));
  }
  return all;
}

const char* to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::stored: return "stored";
    case Outcome::retry: return "retry";
    case Outcome::failed: return "failed";
    case Outcome::gone: return "gone";
    case Outcome::unknown: return "unknown";
  }
  return "retry";
}

Result result_for(const Work& work, const char* cause, Outcome outcome) {
  Result result;
  result.key = work.key;
  result.state = work.state;
  result.attempts = work.attempts;
  result.outcome = outcome;
  result.cause = cause;
  return result;
}

std::string message_of(const S3Error& error) { return error.message.empty() ? error.describe() : error.message; }

std::string to_json(const std::vector<Result>& results) {
  auto array = nlohmann::json::array();
  for (const Result& result : results) {
    nlohmann::json item{{"key", result.key},
                        {"state", result.state},
                        {"attempts", result.attempts},
                        {"outcome", to_string(result.outcome)},
                        {"cause", result.cause},
                        {"counted", result.counted},
                        {"retry_ms", result.retry_after.count()}};
    const auto add = [&item](const char* name, const std::string& value) {
      if (!value.empty()) item[name] = without_nul(value);
    };
    if (result.size) item["size"] = *result.size;
    add("etag", result.etag);
    add("version_id", result.version_id);
    add("sha256", result.sha256_hex);
    add("content_type", result.content_type);
    add("request_id", result.request_id);
    add("proof", result.proof);
    if (result.versions_left) item["versions_left"] = *result.versions_left;
    if (result.delete_unknown) item["delete_unknown"] = true;
    if (result.put_unknown) item["put_unknown"] = true;
    if (result.error) {
      item["error_class"] = std::string(to_string(result.error->klass));
      add("error_code", result.error->code);
      item["message"] = without_nul(message_of(*result.error));
      add("request_id", result.error->request_id);
    }
    array.push_back(std::move(item));
  }
  return array.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace objectlink
