#include "process_statistics.hpp"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace objectlink {

namespace {

double boot_time_seconds() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == "btime" && file >> value) return value;
  }
  return 0;
}

}  // namespace

// proc(5), /proc/[pid]/stat: fields 14 utime, 15 stime, 22 starttime, 23 vsize, 24 rss.
ProcessStatistics read_process_statistics() {
  ProcessStatistics statistics;
  std::ifstream file("/proc/self/stat");
  std::string line;
  if (std::getline(file, line)) {
    const double ticks_per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
    std::istringstream fields(line.substr(line.rfind(')') + 1));  // the name before may hold anything
    std::string field;
    for (int number = 3; fields >> field && number <= 24; ++number) {
      const double value = number == 3 ? 0 : std::stod(field);
      if (number == 14 || number == 15) statistics.cpu_seconds += value / ticks_per_second;
      if (number == 22) statistics.start_time_seconds = boot_time_seconds() + value / ticks_per_second;
      if (number == 23) statistics.virtual_bytes = value;
      if (number == 24) statistics.resident_bytes = value * static_cast<double>(sysconf(_SC_PAGESIZE));
    }
  }
  std::error_code error;
  const std::filesystem::directory_iterator descriptors("/proc/self/fd", error);
  if (!error)
    statistics.open_descriptors = static_cast<double>(std::distance(begin(descriptors), end(descriptors)) - 1);
  return statistics;
}

}  // namespace objectlink
