// How fast can a store list? As fast as one thread can write: an S3 server whose keys are made by arithmetic, so that ten
// million of them cost no memory. Answers ListObjectsV2 (prefix, start-after, continuation-token, max-keys), HEAD of a key,
// 404 for anything else. GET /listings says how many pages it has listed.  Checks no signature, keeps nothing.
//
//   bench_listing_server PORT KEYS BUCKET     key number n is "data/" || lpad(n / 1000, 9, '0') || '/' || lpad(n % 1000, 3, '0'),
//                                             its ETag lpad(to_hex(n), 32, '0'), its size 1000 + n % 1000000
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t head_bytes_max = 16'384;
constexpr std::int64_t page_keys_max = 1000;
constexpr std::string_view key_pattern = "data/000000000/000";

// Digits from the right, zeros before them.
void write_number(char* end, std::size_t digits, std::uint64_t value, unsigned base) {
  for (; digits > 0; --digits, value /= base) *--end = "0123456789abcdef"[value % base];
}

std::string key_of(std::int64_t number) {
  std::string key(key_pattern);
  write_number(key.data() + 14, 9, static_cast<std::uint64_t>(number / 1000), 10);
  write_number(key.data() + 18, 3, static_cast<std::uint64_t>(number % 1000), 10);
  return key;
}

// The first number below `keys` whose key is not before (or, with `after`, behind) this one.
std::int64_t lower_bound(std::int64_t keys, std::string_view key, bool after) {
  std::int64_t low = 0, high = keys;
  while (low < high) {
    const std::int64_t middle = low + (high - low) / 2;
    const int order = key_of(middle).compare(key);
    if (order < 0 || (after && order == 0))
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%' || i + 2 >= text.size()) {
      out += text[i];
      continue;
    }
    out += static_cast<char>(std::strtol(std::string(text.substr(i + 1, 2)).c_str(), nullptr, 16));
    i += 2;
  }
  return out;
}

std::string parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.starts_with(name) && pair.substr(name.size()).starts_with("="))
      return decoded(pair.substr(name.size() + 1));
  }
  return {};
}

std::string date() {
  char text[64];
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

class Store {
 public:
  Store(std::int64_t keys, std::string bucket) : keys_(keys), bucket_("/" + std::move(bucket)) {}

  void answer(std::string_view method, std::string_view target, std::string& out) {
    const std::string_view path = target.substr(0, target.find('?'));
    const std::string_view query = path.size() < target.size() ? target.substr(path.size() + 1) : std::string_view();
    const bool bucket = path == bucket_ || path == bucket_ + "/";
    if (method == "GET" && path == "/listings") return reply("200 OK", "", std::to_string(listings_), out);
    if (method == "GET" && bucket && parameter(query, "list-type") == "2") return list(query, out);
    if (method == "HEAD" && bucket) return reply("200 OK", "", "", out);
    if (method == "HEAD" && path.starts_with(bucket_ + "/")) return head(decoded(path.substr(bucket_.size() + 1)), out);
    reply("404 Not Found", "Content-Type: application/xml\r\n",
          method == "HEAD" ? "" : "<Error><Code>NoSuchKey</Code></Error>", out);
  }

 private:
  void reply(std::string_view status, std::string_view headers, std::string_view body, std::string& out) {
    out += "HTTP/1.1 ";
    out += status;
    out += "\r\nDate: " + date() + "\r\nx-amz-request-id: bench\r\n";
    out += headers;
    out += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
    out += body;
  }

  void head(const std::string& key, std::string& out) {
    const std::int64_t number = lower_bound(keys_, key, false);
    if (number >= keys_ || key_of(number) != key) return reply("404 Not Found", "", "", out);
    std::string etag(32, '0');
    write_number(etag.data() + 32, 32, static_cast<std::uint64_t>(number), 16);
    out += "HTTP/1.1 200 OK\r\nDate: " + date() +
           "\r\nx-amz-request-id: bench\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nETag: \"" + etag +
           "\"\r\nContent-Length: " + std::to_string(1000 + number % 1'000'000) + "\r\n\r\n";
  }

  void list(std::string_view query, std::string& out) {
    ++listings_;
    const std::string prefix = parameter(query, "prefix");
    std::string after = parameter(query, "continuation-token");
    if (after.empty()) after = parameter(query, "start-after");
    const std::string max_keys = parameter(query, "max-keys");
    const std::int64_t limit =
        max_keys.empty() ? page_keys_max : std::min<std::int64_t>(page_keys_max, std::atoll(max_keys.c_str()));
    const std::int64_t first = std::max(lower_bound(keys_, after, true), lower_bound(keys_, prefix, false));
    std::int64_t last = first;
    body_ =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
        "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
    std::string key = key_of(first);
    for (; last < keys_ && last < first + limit; ++last) {
      key = key_of(last);
      if (!key.starts_with(prefix)) break;
      static constexpr std::string_view before = "<Contents><Key>",
                                        modified =
                                            "</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified><ETag>&quot;",
                                        size = "&quot;</ETag><Size>",
                                        end = "</Size><StorageClass>STANDARD</StorageClass></Contents>";
      char digits[32];
      body_ += before;
      body_ += key;
      body_ += modified;
      write_number(digits + 32, 32, static_cast<std::uint64_t>(last), 16);
      body_.append(digits, 32);
      body_ += size;
      body_ += std::to_string(1000 + last % 1'000'000);
      body_ += end;
    }
    const bool truncated = last < keys_ && key_of(last).starts_with(prefix);
    body_ += "<EncodingType>url</EncodingType><KeyCount>" + std::to_string(last - first) + "</KeyCount><MaxKeys>" +
             std::to_string(limit) + "</MaxKeys><IsTruncated>" + (truncated ? "true" : "false") + "</IsTruncated>" +
             (truncated ? "<NextContinuationToken>" + key_of(last - 1) + "</NextContinuationToken>" : "") +
             "</ListBucketResult>";
    reply("200 OK", "Content-Type: application/xml\r\n", body_, out);
  }

  const std::int64_t keys_;
  const std::string bucket_;
  std::string body_;
  std::int64_t listings_ = 0;
};

struct Client {
  int socket;
  std::string in, out;
  std::size_t sent = 0;
};

// False: the client has gone.
bool serve(Client& client, Store& store) {
  char buffer[head_bytes_max];
  while (true) {
    const ssize_t got = recv(client.socket, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) return false;
    if (got < 0) break;
    client.in.append(buffer, static_cast<std::size_t>(got));
  }
  for (std::size_t end = client.in.find("\r\n\r\n"); end != std::string::npos; end = client.in.find("\r\n\r\n")) {
    const std::string_view line = std::string_view(client.in).substr(0, client.in.find("\r\n"));
    const std::size_t space = line.find(' '), next = line.find(' ', space + 1);
    if (next == std::string_view::npos) return false;
    store.answer(line.substr(0, space), line.substr(space + 1, next - space - 1), client.out);
    client.in.erase(0, end + 4);
  }
  while (client.sent < client.out.size()) {
    const ssize_t put = send(client.socket, client.out.data() + client.sent, client.out.size() - client.sent,
                             MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0) return errno == EAGAIN;
    client.sent += static_cast<std::size_t>(put);
  }
  client.out.clear();
  client.sent = 0;
  return client.in.size() < head_bytes_max;
}

void run(std::uint16_t port, Store& store) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  sockaddr generic{};
  std::memcpy(&generic, &address, sizeof generic);
  if (bind(listener, &generic, sizeof generic) != 0 || listen(listener, 128) != 0)
    throw std::runtime_error(std::strerror(errno));
  std::vector<Client> clients;
  std::vector<pollfd> watched;
  while (true) {
    watched.assign(1, {listener, POLLIN, 0});
    for (const Client& client : clients)
      watched.push_back({client.socket, static_cast<short>(client.out.empty() ? POLLIN : POLLIN | POLLOUT), 0});
    if (poll(watched.data(), watched.size(), -1) < 0) throw std::runtime_error(std::strerror(errno));
    for (std::size_t i = clients.size(); i > 0; --i) {
      if (watched[i].revents == 0 || serve(clients[i - 1], store)) continue;
      close(clients[i - 1].socket);
      clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i) - 1);
    }
    if (watched[0].revents == 0) continue;
    const int accepted = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0) continue;
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    clients.push_back({accepted, {}, {}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: bench_listing_server PORT KEYS BUCKET\n", stderr);
    return 2;
  }
  try {
    Store store(std::atoll(argv[2]), argv[3]);
    run(static_cast<std::uint16_t>(std::atoi(argv[1])), store);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "bench_listing_server: %s\n", problem.what());
  }
  return 1;
}
