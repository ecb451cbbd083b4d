"""What does a process use? Read from /proc."""
import os
from pathlib import Path


def cpu_seconds(pid):
    """Of all its threads that live, to the nanosecond (the tick of /proc/PID/stat is 10 ms)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def children(pid):
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def ended_children_cpu_seconds(pid):
    """Of those of its children that have ended (and whose end it has noticed)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")  # cutime, cstime


def resident_mib(pid):
    return _status_kib(pid, "VmRSS") / 1024


def peak_resident_mib(pid):
    return _status_kib(pid, "VmHWM") / 1024


def private_mib(pid):
    """What the system would gain if the process ended; libraries that others use too are not in it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def _status_kib(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise ValueError(f"/proc/{pid}/status has no {name}")
