// Many transfers in one thread, over libcurl's socket interface and epoll: see http.hpp.
// (curl_multi_perform looks at every transfer each time; this looks only at those that something happened to.)
#include "http.hpp"

#include <curl/curl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <deque>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <vector>

#include "http_transfer.hpp"

namespace objectlink {
namespace {

using std::chrono::steady_clock;

class Descriptor {
 public:
  Descriptor(int fd, const char* what) : fd_(fd) {
    if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  }
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

struct CleanMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

void initialise_curl_once() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw std::runtime_error("libcurl cannot be initialised");
    // With NOSIGNAL libcurl leaves this to us: OpenSSL writes to closed connections without MSG_NOSIGNAL.
    struct sigaction now {};
    if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) ::signal(SIGPIPE, SIG_IGN);
  });
}

HttpReply never_sent(const HttpRequest& request, HttpFailure failure, std::string error) {
  HttpReply reply;
  reply.outcome = HttpReply::Outcome::not_sent;
  reply.failure = failure;
  reply.error = std::move(error);
  reply.method = request.method;
  return reply;
}

}  // namespace

class HttpClient::Impl {
 public:
  explicit Impl(Options options);
  ~Impl();

  void start(HttpRequest request, Completion done);
  std::size_t active() const { return running_.size() + waiting_.size(); }
  bool run(std::chrono::milliseconds wait, int watched_fd);
  void wake();

 private:
  struct Waiting {
    HttpRequest request;
    Completion done;
  };

  void launch(Waiting next);
  void watch_socket(int fd, int what);
  void wait_for_events(std::chrono::milliseconds wait, int watched_fd);
  void act(int fd, int events);
  bool timer_due() const { return timer_ && steady_clock::now() >= *timer_; }
  bool complete_finished();
  bool launch_waiting();

  const Options options_;
  Descriptor epoll_;
  Descriptor wake_;
  std::unique_ptr<CURLM, CleanMulti> multi_;
  std::optional<steady_clock::time_point> timer_;  // when curl wants to be called without an event
  std::vector<std::unique_ptr<HttpTransfer>> idle_;
  std::unordered_set<HttpTransfer*> running_;
  std::deque<Waiting> waiting_;
};

HttpClient::Impl::Impl(Options options)
    : options_(std::move(options)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1"),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd") {
  initialise_curl_once();
  multi_.reset(curl_multi_init());
  if (!multi_) throw std::bad_alloc();
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = wake_.get();
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0)
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");

  curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(options_.max_transfers));
  curl_multi_setopt(multi_.get(), CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, static_cast<void*>(this));
  curl_multi_setopt(
      multi_.get(), CURLMOPT_SOCKETFUNCTION, +[](CURL*, curl_socket_t fd, int what, void* self, void*) {
        static_cast<Impl*>(self)->watch_socket(fd, what);
        return 0;
      });
  curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, static_cast<void*>(this));
  curl_multi_setopt(
      multi_.get(), CURLMOPT_TIMERFUNCTION, +[](CURLM*, long milliseconds, void* self) {
        auto& timer = static_cast<Impl*>(self)->timer_;
        timer.reset();
        if (milliseconds >= 0) timer = steady_clock::now() + std::chrono::milliseconds{milliseconds};
        return 0;
      });
}

HttpClient::Impl::~Impl() {
  for (HttpTransfer* transfer : running_) {
    curl_multi_remove_handle(multi_.get(), transfer->easy());
    delete transfer;
  }
  idle_.clear();
  multi_.reset();  // calls watch_socket for the last time
}

void HttpClient::Impl::watch_socket(int fd, int what) {
  epoll_event event{};
  event.data.fd = fd;
  if (what == CURL_POLL_REMOVE) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &event);
    return;
  }
  if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
  if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
  // A descriptor that was closed and opened again has silently left epoll, so neither operation is sure to fit.
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT)
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
}

void HttpClient::Impl::start(HttpRequest request, Completion done) {
  HttpTransfer::check(request);
  Waiting next{std::move(request), std::move(done)};
  // Behind those that wait already, or a busy caller would overtake them for ever.
  if (running_.size() >= options_.max_transfers || !waiting_.empty())
    waiting_.push_back(std::move(next));
  else
    launch(std::move(next));
}

void HttpClient::Impl::launch(Waiting next) {
  std::unique_ptr<HttpTransfer> transfer;
  if (idle_.empty()) {
    transfer = std::make_unique<HttpTransfer>(options_);
  } else {
    transfer = std::move(idle_.back());
    idle_.pop_back();
  }
  transfer->prepare(std::move(next.request), std::move(next.done));
  running_.insert(transfer.get());
  if (const CURLMcode code = curl_multi_add_handle(multi_.get(), transfer->easy()); code != CURLM_OK) {
    running_.erase(transfer.get());
    throw std::runtime_error(std::string("curl_multi_add_handle: ") + curl_multi_strerror(code));
  }
  (void)transfer.release();  // owned by running_ from here
}

bool HttpClient::Impl::launch_waiting() {
  bool called = false;
  while (!waiting_.empty() && running_.size() < options_.max_transfers) {
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    if (next.request.send_before && steady_clock::now() >= *next.request.send_before) {
      next.done(never_sent(next.request, HttpFailure::too_late, "not sent: its time had passed"));
      called = true;
    } else {
      launch(std::move(next));
    }
  }
  return called;
}

void HttpClient::Impl::act(int fd, int events) {
  int still_running = 0;
  curl_multi_socket_action(multi_.get(), fd, events, &still_running);
}

bool HttpClient::Impl::run(std::chrono::milliseconds wait, int watched_fd) {
  wait_for_events(wait, watched_fd);
  if (timer_due()) {
    timer_.reset();
    act(CURL_SOCKET_TIMEOUT, 0);
  }
  bool called = complete_finished();
  called = launch_waiting() || called;
  // What the completions started goes out now, not at the next call.
  if (timer_due()) {
    timer_.reset();
    act(CURL_SOCKET_TIMEOUT, 0);
    called = complete_finished() || called;
  }
  return called;
}

void HttpClient::Impl::wait_for_events(std::chrono::milliseconds wait, int watched_fd) {
  using std::chrono::milliseconds;
  wait = std::clamp(wait, milliseconds{0}, milliseconds{3'600'000});
  if (timer_) {
    const auto until = std::chrono::ceil<milliseconds>(*timer_ - steady_clock::now());
    wait = std::clamp(until, milliseconds{0}, wait);
  }
  int timeout = static_cast<int>(wait.count());
  if (watched_fd >= 0) {
    // Not registered with epoll: the caller may close it, and another may get its number.
    std::array<pollfd, 2> fds{{{epoll_.get(), POLLIN, 0}, {watched_fd, POLLIN, 0}}};
    ::poll(fds.data(), fds.size(), timeout);
    timeout = 0;
  }
  std::array<epoll_event, 64> events;
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), timeout);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.fd == wake_.get()) {
      eventfd_t ignored = 0;
      ::eventfd_read(wake_.get(), &ignored);
      continue;
    }
    int mask = 0;
    if ((event.events & EPOLLIN) != 0) mask |= CURL_CSELECT_IN;
    if ((event.events & EPOLLOUT) != 0) mask |= CURL_CSELECT_OUT;
    if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) mask |= CURL_CSELECT_ERR;
    act(event.data.fd, mask);
  }
}

bool HttpClient::Impl::complete_finished() {
  // First all are taken out, then the completions are called: they may start new transfers, which changes the queue.
  std::vector<std::pair<Completion, HttpReply>> finished;
  int left = 0;
  while (CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    HttpTransfer* const transfer = HttpTransfer::of(message->easy_handle);
    curl_multi_remove_handle(multi_.get(), transfer->easy());
    running_.erase(transfer);
    std::unique_ptr<HttpTransfer> owner(transfer);
    Completion done = owner->take_completion();
    finished.emplace_back(std::move(done), owner->finish(code));
    idle_.push_back(std::move(owner));
  }
  for (auto& [done, reply] : finished) done(std::move(reply));
  return !finished.empty();
}

void HttpClient::Impl::wake() { ::eventfd_write(wake_.get(), 1); }

HttpClient::HttpClient() : HttpClient(Options{}) {}
HttpClient::HttpClient(Options options) : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpClient::~HttpClient() = default;
void HttpClient::start(HttpRequest request, Completion done) { impl_->start(std::move(request), std::move(done)); }
std::size_t HttpClient::active() const { return impl_->active(); }
bool HttpClient::run(std::chrono::milliseconds wait, int watched_fd) { return impl_->run(wait, watched_fd); }
void HttpClient::wake() { impl_->wake(); }

}  // namespace objectlink
