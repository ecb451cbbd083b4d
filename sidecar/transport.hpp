// How do requests of many stores run beside the loop? A thread of its own signs and sends them; the replies come back
// to the loop's thread. Bounds how many run at once for each store, and starts none after the lease has run out. What is refused
// because of its keys is sent once more if there are other ones by then.
// Knows nothing of objects. All functions are called from the loop's thread.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "credentials_chain.hpp"
#include "http.hpp"
#include "s3_request.hpp"
#include "wake_up.hpp"

namespace objectlink {

struct StoreConnection {
  StoreEndpoint endpoint;
  std::string profile;  // credentials; empty: the usual chain
  std::size_t concurrency = 32;
};

class Transport {
 public:
  using Build = std::function<HttpRequest(S3RequestBuilder&, const Signing&)>;  // runs in the transport's thread
  using Read = std::function<void(HttpReply&)>;        // runs in the transport's thread; may take the body
  using Done = std::function<void(const HttpReply&)>;  // runs in the loop's thread

  // replied: rung when a reply waits to be taken.
  Transport(std::size_t max_transfers, WakeUp& replied);
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // New settings hold for requests that are not started yet.
  void configure(int store, StoreConnection connection);

  // Queued if the store has its fill. `mutating` requests are bound to the lease and the store's own bounds; `destroying` ones
  // (which are mutating) to the narrower of these.
  // read: what is much work to read is read beside the loop, before its completion is called.
  void submit(int store, bool mutating, Build build, Done done, bool destroying = false, Read read = {});

  // What waits for its turn comes back as not sent in time. What is under way goes on.
  void drop_queued(int store);

  // Calls the completions of replies that have arrived; returns how many. When one throws, the others that had arrived are
  // dropped: nothing but abandon() makes sense then.
  std::size_t take_replies();

  // Mutating requests are sent only before this time.
  void set_lease(std::chrono::steady_clock::time_point until) { lease_until_.store(until.time_since_epoch().count()); }

  // A store's own bounds: after these times nothing that changes it is sent, and nothing that destroys. At first there is none
  // for changes, and nothing may be destroyed.
  struct Bounds {
    std::chrono::steady_clock::time_point changes = std::chrono::steady_clock::time_point::max();
    std::chrono::steady_clock::time_point destroys = std::chrono::steady_clock::time_point::min();
  };
  void set_bounds(int store, Bounds bounds);

  // What the store's Date header said, against our clock.
  void set_clock_offset(int store, std::chrono::milliseconds offset);
  void set_region(int store, std::string region);
  // How many run at once, until configure() says otherwise.
  void set_concurrency(int store, std::size_t requests);

  // Requests whose completion has not been called.
  std::size_t active() const { return active_; }

  // The loop has lost its session: what is queued is dropped, and no completion of what is under way will be called.
  // active() still counts these until they have ended.
  void abandon();

 private:
  struct Request {
    int store;
    bool mutating;
    Build build;
    Done done;
    std::uint64_t generation;
    bool destroying;
    Read read;
    Credentials signed_with = {};
    bool renewed = false;  // sent before, with other keys
  };
  struct Reply {
    Done done;
    HttpReply reply;
    std::uint64_t generation;
  };
  struct Channel;

  void run();
  void post(std::function<void()> command);
  void start_queued(Channel& channel);
  void start(Channel& channel, Request request);
  void finish(Request request, HttpReply reply);

  // The loop's side.
  WakeUp& replied_;
  std::size_t active_ = 0;
  std::uint64_t generation_ = 0;
  std::atomic<std::chrono::steady_clock::rep> lease_until_{0};

  // Between the two threads.
  std::mutex mutex_;
  std::vector<std::function<void()>> commands_;
  std::vector<Reply> replies_;
  std::atomic<bool> stop_{false};

  // The transport's side.
  HttpClient client_;
  CredentialsChain credentials_;
  std::unordered_map<int, std::unique_ptr<Channel>> channels_;

  std::thread thread_;
};

}  // namespace objectlink
