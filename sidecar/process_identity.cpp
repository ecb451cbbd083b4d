#include "process_identity.hpp"

#include <unistd.h>

#include <array>
#include <fstream>
#include <iterator>
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

// Field 22 of /proc/<pid>/stat (proc(5)); the second field may hold spaces and ends at the last parenthesis.
// Empty if there is no such process, or only its zombie.
std::string start_time(const std::string& pid) {
  const std::string stat = first_line("/proc/" + pid + "/stat");
  const auto after_name = stat.rfind(") ");
  if (after_name == std::string::npos) return {};
  std::istringstream rest(stat.substr(after_name + 2));
  const std::vector<std::string> fields{std::istream_iterator<std::string>(rest), {}};
  constexpr std::size_t state_field = 0;
  constexpr std::size_t start_field = 19;
  if (fields.size() <= start_field || fields[state_field] == "Z" || fields[state_field] == "X") return {};
  return fields[start_field];
}

std::string place() { return first_line("/proc/sys/kernel/random/boot_id") + " " + process_namespace(); }

}  // namespace

std::string own_process_identity() {
  const std::string pid = std::to_string(getpid());
  const std::string started = start_time(pid);
  return started.empty() ? std::string() : place() + " " + pid + " " + started;
}

bool is_certainly_dead(std::string_view identity) {
  std::istringstream words{std::string(identity)};
  std::string boot, names, pid, started;
  if (!(words >> boot >> names >> pid >> started)) return false;
  if (boot + " " + names != place()) return false;
  if (pid.find_first_not_of("0123456789") != std::string::npos) return false;
  return start_time(pid) != started;
}

}  // namespace objectlink
