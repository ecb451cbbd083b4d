// What does the exit status of objectlinkd mean to a script or to systemd?
// The numbers are promised to users (docs/daemon.md, --help): never renumber, only add.
#pragma once

namespace objectlink::exit_code {

inline constexpr int ok = 0;                    // stopped on request, or --once/--check-config found all well
inline constexpr int unexpected = 1;            // a defect or a resource limit; the last log line says what
inline constexpr int usage = 2;                 // command line, environment or config file is wrong
inline constexpr int database_unreachable = 3;  // only with --once and --check-config; the daemon itself waits
inline constexpr int store_problem = 4;         // only with --check-config: the database answers, a store is not usable
inline constexpr int work_left = 5;             // --once or a shutdown ended with work unfinished (nothing is lost)

}  // namespace objectlink::exit_code
