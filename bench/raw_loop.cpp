// How fast can this machine send these requests at all? A loop over libcurl's multi interface and nothing else: no
// signing, no database, no look at the replies but for the status. The limit that the daemon is compared with.
//
//   bench_raw_loop METHOD CONNECTIONS BODY_BYTES < URLS     prints the seconds from the first request to the last reply
#include <curl/curl.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

struct CleanEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct CleanMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};
using Easy = std::unique_ptr<CURL, CleanEasy>;
using Multi = std::unique_ptr<CURLM, CleanMulti>;

std::size_t discard(char*, std::size_t size, std::size_t count, void*) { return size * count; }

Easy make_easy(const std::string& method, const std::string& body) {
  Easy easy(curl_easy_init());
  if (!easy) throw std::bad_alloc();
  curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, discard);
  curl_easy_setopt(easy.get(), CURLOPT_TCP_NODELAY, 1L);
  if (method == "HEAD") {
    curl_easy_setopt(easy.get(), CURLOPT_NOBODY, 1L);
    return easy;
  }
  curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(easy.get(), CURLOPT_CUSTOMREQUEST, method.c_str());
  return easy;
}

std::vector<std::string> read_lines() {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) {
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

void check_status(CURL* easy, CURLcode code) {
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK || status != 200)
    throw std::runtime_error(std::string("a request failed: ") + curl_easy_strerror(code) + ", status " +
                             std::to_string(status));
}

double send_all(const std::vector<std::string>& urls, const std::string& method, std::size_t connections,
                const std::string& body) {
  const Multi multi(curl_multi_init());
  if (!multi) throw std::bad_alloc();
  curl_multi_setopt(multi.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(connections));
  std::vector<Easy> handles;
  std::size_t next = 0;
  const auto start = [&](CURL* easy) {
    curl_easy_setopt(easy, CURLOPT_URL, urls[next++].c_str());
    curl_multi_add_handle(multi.get(), easy);
  };
  const auto started = std::chrono::steady_clock::now();
  while (handles.size() < connections && next < urls.size()) {
    handles.push_back(make_easy(method, body));
    start(handles.back().get());
  }
  int running = 1;
  while (running > 0) {
    curl_multi_perform(multi.get(), &running);
    int left = 0;
    while (CURLMsg* const message = curl_multi_info_read(multi.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* const easy = message->easy_handle;
      check_status(easy, message->data.result);
      curl_multi_remove_handle(multi.get(), easy);
      if (next < urls.size()) {
        start(easy);
        running = 1;
      }
    }
    if (running > 0) curl_multi_poll(multi.get(), nullptr, 0, 1000, nullptr);
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: bench_raw_loop METHOD CONNECTIONS BODY_BYTES < URLS\n", stderr);
    return 2;
  }
  try {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const std::string body(std::strtoul(argv[3], nullptr, 10), 'x');
    std::printf("%.6f\n", send_all(read_lines(), argv[1], std::strtoul(argv[2], nullptr, 10), body));
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "bench_raw_loop: %s\n", problem.what());
    return 1;
  }
}
