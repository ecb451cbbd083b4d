// What does this process use of the machine? Read from /proc/self at the moment of asking.
#pragma once

namespace objectlink {

struct ProcessStatistics {
  double cpu_seconds = 0;
  double resident_bytes = 0;
  double virtual_bytes = 0;
  double start_time_seconds = 0;  // since 1970
  double open_descriptors = 0;
};

// What can't be read stays 0.
ProcessStatistics read_process_statistics();

}  // namespace objectlink
