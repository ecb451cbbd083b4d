// How is one HTTP request run by libcurl, and what does its end mean?
// One easy handle, used again and again. Who runs it and when is http.cpp. Part of http.*: includes curl.
#pragma once

#include <curl/curl.h>

#include <functional>
#include <memory>
#include <string>

#include "http.hpp"

namespace objectlink {

class HttpTransfer {
 public:
  explicit HttpTransfer(const HttpClient::Options& options);
  HttpTransfer(const HttpTransfer&) = delete;  // curl holds its address
  HttpTransfer& operator=(const HttpTransfer&) = delete;

  // std::invalid_argument if a header, the method or the URL would break the message.
  static void check(const HttpRequest& request);
  // Prepares the handle for a request that passed check().
  void prepare(HttpRequest request, HttpClient::Completion done);
  // The outcome, after curl said `code`.
  HttpReply finish(CURLcode code);
  // Of the completion that prepare() took.
  HttpClient::Completion take_completion() { return std::move(done_); }

  CURL* easy() const { return easy_.get(); }
  static HttpTransfer* of(CURL* easy);

 private:
  struct FreeEasy {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  void set_constant_options();
  void add_header(const std::string& line);
  HttpFailure failure_of(CURLcode code) const;
  int before_sending();
  std::size_t on_header(std::string_view line);
  std::size_t on_body(std::string_view bytes);

  const HttpClient::Options& options_;
  std::unique_ptr<CURL, FreeEasy> easy_;
  std::unique_ptr<curl_slist, FreeList> headers_;
  HttpRequest request_;
  HttpClient::Completion done_;
  HttpReply reply_;
  std::string ca_file_;  // what the handle is set to
  std::size_t header_bytes_ = 0;
  bool headers_complete_ = false;  // the empty line after the final reply's headers has come
  int sends_ = 0;                  // how often libcurl has begun to send it
  // Why one of our callbacks ended the transfer, if one did.
  HttpFailure own_failure_ = HttpFailure::none;
  char error_[CURL_ERROR_SIZE] = {};
};

}  // namespace objectlink
