#include "transport.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>

#include "refused_keys.hpp"
#include "repeat.hpp"

namespace objectlink {

using std::chrono::steady_clock;

namespace {

// The loop decides when a store is paused, but hears of failures later than they come. Until it has, what is queued for a store
// that fails goes slowly, or most of it would be sent in vain.
constexpr unsigned failures_max = 16;
constexpr std::chrono::milliseconds slow_start_interval{100};

}  // namespace

// One store, in the transport's thread.
struct Transport::Channel {
  StoreConnection connection;
  std::unique_ptr<S3RequestBuilder> builder;
  std::string fault;  // why there is no builder
  std::chrono::milliseconds clock_offset{0};
  Bounds bounds;
  std::size_t active = 0;
  unsigned failures = 0;  // in a row
  std::deque<Request> queue;

  steady_clock::time_point next_start{};  // after many failures
  RefusedKeys refused_keys;

  bool is_slowed() const { return failures >= failures_max; }
  bool may_start(steady_clock::time_point now) const {
    return is_slowed() ? active == 0 && now >= next_start : active < connection.concurrency;
  }
};

namespace {

HttpReply not_sent(HttpFailure failure, std::string error) {
  HttpReply reply;
  reply.outcome = HttpReply::Outcome::not_sent;
  reply.failure = failure;
  reply.error = std::move(error);
  return reply;
}

bool failed(const HttpReply& reply) {
  return reply.outcome != HttpReply::Outcome::replied || reply.status >= 500 || reply.status == 429;
}

// Want of memory, for instance, is no fault of the request.
HttpFailure fault_of(const std::exception& problem) {
  return dynamic_cast<const std::invalid_argument*>(&problem) ? HttpFailure::request : HttpFailure::local;
}

constexpr std::chrono::milliseconds wait_max{1000};

}  // namespace

Transport::Transport(std::size_t max_transfers, WakeUp& replied)
    : replied_(replied),
      client_([max_transfers] {
        HttpClient::Options options;
        options.max_transfers = max_transfers;
        return options;
      }()),
      thread_([this] { run(); }) {}

Transport::~Transport() {
  stop_ = true;
  client_.wake();
  thread_.join();
}

void Transport::post(std::function<void()> command) {
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(command));
  }
  client_.wake();
}

void Transport::configure(int store, StoreConnection connection) {
  post([this, store, connection = std::move(connection)] {
    auto& channel = channels_[store];
    if (!channel) channel = std::make_unique<Channel>();
    channel->connection = connection;
    channel->fault.clear();
    try {
      channel->builder = std::make_unique<S3RequestBuilder>(connection.endpoint);
    } catch (const std::exception& problem) {
      channel->builder.reset();
      channel->fault = problem.what();
    }
    start_queued(*channel);  // there may be more room than before
  });
}

void Transport::set_bounds(int store, Bounds bounds) {
  post([this, store, bounds] {
    auto& channel = channels_[store];
    if (!channel) channel = std::make_unique<Channel>();
    channel->bounds = bounds;
  });
}

void Transport::set_clock_offset(int store, std::chrono::milliseconds offset) {
  post([this, store, offset] { channels_.at(store)->clock_offset = offset; });
}

void Transport::set_concurrency(int store, std::size_t requests) {
  post([this, store, requests] {
    Channel& channel = *channels_.at(store);
    channel.connection.concurrency = requests;
    start_queued(channel);
  });
}

void Transport::set_region(int store, std::string region) {
  post([this, store, region = std::move(region)] {
    if (auto& builder = channels_.at(store)->builder) builder->set_region(region);
  });
}

void Transport::submit(int store, bool mutating, Build build, Done done, bool destroying, Read read) {
  ++active_;
  post([this, request = std::make_shared<Request>(Request{store, mutating, std::move(build), std::move(done),
                                                          generation_, destroying, std::move(read)})] {
    Channel& channel = *channels_.at(request->store);
    channel.queue.push_back(std::move(*request));
    start_queued(channel);
  });
}

void Transport::drop_queued(int store) {
  post([this, store] {
    std::deque<Request> dropped;
    dropped.swap(channels_.at(store)->queue);
    for (Request& request : dropped) finish(std::move(request), not_sent(HttpFailure::too_late, "the store is paused"));
  });
}

void Transport::start_queued(Channel& channel) {
  while (!channel.queue.empty() && channel.may_start(steady_clock::now())) {
    Request request = std::move(channel.queue.front());
    channel.queue.pop_front();
    start(channel, std::move(request));
  }
}

void Transport::start(Channel& channel, Request request) {
  if (!channel.builder) return finish(std::move(request), not_sent(HttpFailure::local, channel.fault));
  const CredentialsResult credentials = credentials_.get(channel.connection.profile);
  if (!credentials)
    return finish(std::move(request), not_sent(HttpFailure::local, "no credentials: " + credentials.error));
  HttpRequest http;
  try {
    http = request.build(*channel.builder,
                         {*credentials.credentials, std::chrono::system_clock::now() + channel.clock_offset});
  } catch (const std::exception& problem) {
    return finish(std::move(request), not_sent(fault_of(problem), problem.what()));
  }
  if (request.mutating) {
    const auto own =
        request.destroying ? std::min(channel.bounds.changes, channel.bounds.destroys) : channel.bounds.changes;
    http.send_before = std::min(steady_clock::time_point(steady_clock::duration(lease_until_.load())), own);
  }
  request.signed_with = *credentials.credentials;
  ++channel.active;
  auto shared = std::make_shared<Request>(std::move(request));
  try {
    client_.start(std::move(http), [this, &channel, shared](HttpReply&& reply) {
      --channel.active;
      channel.failures = failed(reply) ? std::min(channel.failures + 1, failures_max) : 0;
      if (channel.is_slowed()) channel.next_start = steady_clock::now() + slow_start_interval;
      if (!shared->renewed && refuses_credentials(reply) &&
          channel.refused_keys.there_are_others(credentials_, channel.connection.profile, shared->signed_with,
                                                steady_clock::now())) {
        shared->renewed = true;
        start(channel, std::move(*shared));
        return start_queued(channel);
      }
      reply.renewed = shared->renewed;
      finish(std::move(*shared), std::move(reply));
      start_queued(channel);
    });
  } catch (const std::exception& problem) {
    --channel.active;
    finish(std::move(*shared), not_sent(fault_of(problem), problem.what()));
  }
}

void Transport::finish(Request request, HttpReply reply) {
  request.build = nullptr;  // frees what it holds (a body) here and now
  try {
    if (request.read) request.read(reply);
  } catch (const std::exception& problem) {
    reply = not_sent(HttpFailure::local, problem.what());
    reply.outcome = HttpReply::Outcome::unknown;
  }
  {
    const std::lock_guard lock(mutex_);
    replies_.push_back({std::move(request.done), std::move(reply), request.generation});
  }
  replied_.ring();
}

void Transport::run() {
  std::vector<std::function<void()>> commands;
  while (!stop_) {
    {
      const std::lock_guard lock(mutex_);
      commands.swap(commands_);
    }
    for (auto& command : commands) command();
    const bool had_commands = !commands.empty();
    commands.clear();
    bool slowed = false;
    for (auto& [store, channel] : channels_) {
      if (!channel->is_slowed() || channel->queue.empty()) continue;
      start_queued(*channel);
      slowed = slowed || !channel->queue.empty();
    }
    client_.run(had_commands ? std::chrono::milliseconds{0} : slowed ? slow_start_interval / 2 : wait_max);
  }
}

std::size_t Transport::take_replies() {
  std::vector<Reply> replies;
  {
    const std::lock_guard lock(mutex_);
    replies.swap(replies_);
  }
  // All of them at once: a completion may throw because its session is lost, and the others will never be called then.
  active_ -= replies.size();
  for (Reply& reply : replies) {
    if (reply.generation == generation_) reply.done(reply.reply);
  }
  return replies.size();
}

void Transport::abandon() {
  ++generation_;
  post([this] {
    for (auto& [store, channel] : channels_) {
      std::deque<Request> dropped;
      dropped.swap(channel->queue);
      for (Request& request : dropped) finish(std::move(request), not_sent(HttpFailure::local, "abandoned"));
    }
  });
}

}  // namespace objectlink
