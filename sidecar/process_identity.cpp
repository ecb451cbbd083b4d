#include "process_identity.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <vector>

namespace objectlink {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string process_namespace() {
  std::array<char, 64> target{};
  const ssize_t length = readlink("/proc/self/ns/pid", target.data(), target.size() - 1);
  return length > 0 ? std::string(target.data(), static_cast<std::size_t>(length)) : std::string();
}

struct Seen {
  std::string started;
  bool ended;  // only its zombie is left
};

// Fields 3 and 22 of /proc/<pid>/stat (proc(5)); the second field may hold spaces and ends at the last parenthesis.
std::optional<Seen> see(const std::string& pid) {
  const std::string stat = first_line("/proc/" + pid + "/stat");
  const auto after_name = stat.rfind(") ");
  if (after_name == std::string::npos) return std::nullopt;
  std::istringstream rest(stat.substr(after_name + 2));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  constexpr std::size_t state_field = 0;
  constexpr std::size_t start_field = 19;
  if (fields.size() <= start_field) return std::nullopt;
  return Seen{fields[start_field], fields[state_field] == "Z" || fields[state_field] == "X"};
}

// That /proc shows nothing of another user may also be its mount option hidepid.
bool exists(pid_t pid) { return kill(pid, 0) == 0 || errno != ESRCH; }

// A number above 0, and nothing else.
template <class Number>
bool read_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0;
}

std::string place() { return first_line("/proc/sys/kernel/random/boot_id") + " " + process_namespace(); }

}  // namespace

std::string own_process_identity() {
  const std::string pid = std::to_string(getpid());
  const auto self = see(pid);
  return self ? place() + " " + pid + " " + self->started : std::string();
}

bool is_certainly_dead(std::string_view identity) {
  std::istringstream words{std::string(identity)};
  std::string boot, names, pid, started, more;
  if (!(words >> boot >> names >> pid >> started) || words >> more) return false;
  if (boot + " " + names != place()) return false;
  pid_t number = 0;
  std::uint64_t ticks = 0;
  if (!read_number(pid, number) || !read_number(started, ticks)) return false;
  const auto seen = see(pid);
  return seen ? seen->ended || seen->started != started : !exists(number);
}

}  // namespace objectlink
