// One easy handle: see http_transfer.hpp.
#include "http_transfer.hpp"

#include <algorithm>
#include <new>
#include <stdexcept>
#include <utility>

namespace objectlink {
namespace {

template <class Value>
void set(CURL* easy, CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(easy, option, value);
  if (code != CURLE_OK) throw std::runtime_error(std::string("libcurl refuses an option: ") + curl_easy_strerror(code));
}

bool has_line_break(const std::string& text) { return text.find_first_of(std::string_view("\r\n\0", 3)) != text.npos; }

// A repeat of these changes nothing.
bool may_be_sent_again(const std::string& method) { return method == "GET" || method == "HEAD"; }

constexpr std::string_view blanks = " \t\r\n";

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

}  // namespace

HttpTransfer::HttpTransfer(const HttpClient::Options& options) : options_(options), easy_(curl_easy_init()) {
  if (!easy_) throw std::bad_alloc();
  set_constant_options();
}

HttpTransfer* HttpTransfer::of(CURL* easy) {
  HttpTransfer* transfer = nullptr;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
  return transfer;
}

void HttpTransfer::set_constant_options() {
  CURL* const easy = easy_.get();
  set(easy, CURLOPT_PRIVATE, static_cast<void*>(this));
  set(easy, CURLOPT_ERRORBUFFER, error_);
  set(easy, CURLOPT_NOSIGNAL, 1L);
  set(easy, CURLOPT_PATH_AS_IS, 1L);  // or /b/a/../../x becomes /x, which is another bucket
  set(easy, CURLOPT_FOLLOWLOCATION, 0L);
  set(easy, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(easy, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(easy, CURLOPT_SSL_VERIFYPEER, 1L);
  set(easy, CURLOPT_SSL_VERIFYHOST, 2L);
  set(easy, CURLOPT_TCP_NODELAY, 1L);
  set(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  set(easy, CURLOPT_MAXAGE_CONN, static_cast<long>(options_.max_idle.count()));
  set(easy, CURLOPT_PROXY, options_.proxy.c_str());  // empty: not even those of the environment
  set(easy, CURLOPT_USERAGENT, options_.user_agent.c_str());
  set(easy, CURLOPT_BUFFERSIZE, 64L * 1024);
  set(easy, CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(
      easy, CURLOPT_WRITEFUNCTION, +[](char* data, std::size_t, std::size_t size, void* self) {
        return static_cast<HttpTransfer*>(self)->on_body({data, size});
      });
  set(easy, CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(
      easy, CURLOPT_HEADERFUNCTION, +[](char* data, std::size_t, std::size_t size, void* self) {
        return static_cast<HttpTransfer*>(self)->on_header({data, size});
      });
  set(easy, CURLOPT_PREREQDATA, static_cast<void*>(this));
  set(
      easy, CURLOPT_PREREQFUNCTION,
      +[](void* self, char*, char*, int, int) { return static_cast<HttpTransfer*>(self)->before_sending(); });
}

void HttpTransfer::add_header(const std::string& line) {
  curl_slist* const longer = curl_slist_append(headers_.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  (void)headers_.release();
  headers_.reset(longer);
}

void HttpTransfer::check(const HttpRequest& request) {
  for (const auto& [name, value] : request.headers)
    if (name.empty() || has_line_break(name) || has_line_break(value) || name.find(':') != name.npos)
      throw std::invalid_argument("header " + name + " would break the message");
  if (has_line_break(request.method) || has_line_break(request.url))
    throw std::invalid_argument("a line break in the method or the URL would break the message");
}

void HttpTransfer::prepare(HttpRequest request, HttpClient::Completion done) {
  request_ = std::move(request);
  done_ = std::move(done);
  reply_ = HttpReply{};
  reply_.method = request_.method;
  header_bytes_ = 0;
  headers_complete_ = false;
  sends_ = 0;
  own_failure_ = HttpFailure::none;
  error_[0] = '\0';

  CURL* const easy = easy_.get();
  if (ca_file_ != request_.ca_file) {
    // Only a reset brings the built-in certificates back.
    curl_easy_reset(easy);
    set_constant_options();
    if (!request_.ca_file.empty()) set(easy, CURLOPT_CAINFO, request_.ca_file.c_str());
    ca_file_ = request_.ca_file;
  }

  headers_.reset();
  bool has_content_type = false;
  for (const auto& [name, value] : request_.headers) {
    std::string line = name;
    line.append(value.empty() ? ";" : ": ").append(value);
    add_header(line);
    has_content_type = has_content_type || name == "content-type" || name == "Content-Type";
  }

  set(easy, CURLOPT_URL, request_.url.c_str());
  set(easy, CURLOPT_HTTPGET, 1L);  // undoes what an earlier HEAD or PUT had set
  const bool sends_body = request_.body != nullptr || request_.method == "PUT" || request_.method == "POST";
  if (sends_body) {
    // As "POST fields" also for PUT: small bodies then go out in one packet with the headers, and nothing is copied.
    set(easy, CURLOPT_POST, 1L);
    set(easy, CURLOPT_POSTFIELDS, request_.body ? request_.body->data() : "");
    set(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body ? request_.body->size() : 0));
    add_header("Expect:");
    if (!has_content_type) add_header("Content-Type:");
  } else if (request_.method == "HEAD") {
    set(easy, CURLOPT_NOBODY, 1L);
  }
  const bool natural = request_.method == "HEAD" || request_.method == (sends_body ? "POST" : "GET");
  set(easy, CURLOPT_CUSTOMREQUEST, natural ? static_cast<const char*>(nullptr) : request_.method.c_str());
  set(easy, CURLOPT_HTTPHEADER, headers_.get());
  set(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_timeout.count()));
  set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(request_.request_timeout.count()));
}

// libcurl calls this when connected, right before the first byte of the request; and once more if it means to repeat
// the request because a kept-alive connection turned out to be closed.
int HttpTransfer::before_sending() {
  if (sends_ > 0 && !may_be_sent_again(request_.method)) {
    own_failure_ = HttpFailure::cut;
    return CURL_PREREQFUNC_ABORT;
  }
  if (request_.send_before && std::chrono::steady_clock::now() >= *request_.send_before) {
    own_failure_ = HttpFailure::too_late;
    return CURL_PREREQFUNC_ABORT;
  }
  ++sends_;
  return CURL_PREREQFUNC_OK;
}

std::size_t HttpTransfer::on_header(std::string_view line) {
  const std::size_t size = line.size();
  header_bytes_ += size;
  if (header_bytes_ > options_.max_header_bytes) {
    own_failure_ = HttpFailure::limit;
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    reply_.headers.clear();  // what came before was an interim reply
    headers_complete_ = false;
    return size;
  }
  if (trim(line).empty()) headers_complete_ = true;
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  std::string name(trim(line.substr(0, colon)));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  reply_.headers.emplace_back(std::move(name), trim(line.substr(colon + 1)));
  return size;
}

std::size_t HttpTransfer::on_body(std::string_view bytes) {
  if (bytes.size() > request_.max_body_bytes - reply_.body.size()) {
    own_failure_ = HttpFailure::limit;
    return 0;
  }
  if (reply_.body.empty()) {
    curl_off_t length = -1;
    curl_easy_getinfo(easy_.get(), CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (length > 0) reply_.body.reserve(std::min(static_cast<std::size_t>(length), request_.max_body_bytes));
  }
  reply_.body.append(bytes);
  return bytes.size();
}

HttpFailure HttpTransfer::failure_of(CURLcode code) const {
  if (own_failure_ != HttpFailure::none) return own_failure_;
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY: return HttpFailure::resolve;
    case CURLE_COULDNT_CONNECT: return HttpFailure::connect;
    case CURLE_OPERATION_TIMEDOUT: return sends_ == 0 ? HttpFailure::connect : HttpFailure::timeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS: return sends_ == 0 ? HttpFailure::tls : HttpFailure::cut;
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:  // said of HTTP/0.9, i.e. of bytes that are no reply at all
      return sends_ == 0 ? HttpFailure::local : HttpFailure::malformed;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_URL_MALFORMAT:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_FAILED_INIT: return HttpFailure::local;
    default: return sends_ == 0 ? HttpFailure::connect : HttpFailure::cut;
  }
}

HttpReply HttpTransfer::finish(CURLcode code) {
  CURL* const easy = easy_.get();
  curl_off_t microseconds = 0;
  curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &microseconds);
  reply_.seconds = static_cast<double>(microseconds) / 1e6;
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  // libcurl takes a connection closed amid the headers for the end of an empty reply.
  if (code == CURLE_OK && (!headers_complete_ || status < 200)) {
    own_failure_ = HttpFailure::cut;
    code = CURLE_GOT_NOTHING;
  }
  if (code == CURLE_OK) {
    reply_.outcome = HttpReply::Outcome::replied;
    reply_.status = status;
  } else {
    reply_.outcome = sends_ == 0 ? HttpReply::Outcome::not_sent : HttpReply::Outcome::unknown;
    reply_.failure = failure_of(code);
    reply_.error = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
    if (reply_.failure == HttpFailure::too_late) reply_.error = "not sent: its time had passed";
    if (reply_.failure == HttpFailure::limit) reply_.error = "the reply is larger than allowed";
    if (own_failure_ == HttpFailure::cut) reply_.error = "the connection was closed before a whole reply came";
  }
  // The request's memory is the caller's to free; curl must not keep pointers into it.
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, nullptr);
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, nullptr);
  headers_.reset();
  request_ = HttpRequest{};
  return std::move(reply_);
}

}  // namespace objectlink
