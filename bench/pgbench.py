"""How fast do many small transactions run? As pgbench says; and what CPU time do their backends take?"""
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from harness.postgres import clean_environment
from harness.waiting import eventually
from process import children, ended_children_cpu_seconds


class Rate(NamedTuple):
    tps: float
    cpu_us: float  # of the backends, per transaction: hardly changed by what else the machine does


def run_pgbench(pg, script, clients, seconds, synchronous_commit):
    """script: a pgbench script; statements are prepared, so that parsing does not hide what is measured."""
    bindir = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], capture_output=True, check=True, text=True)
    postmaster = int((pg.cluster.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
    others = children(postmaster)
    cpu_before = ended_children_cpu_seconds(postmaster)
    done = subprocess.run(
        [Path(bindir.stdout.strip()) / "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={clients}",
         f"--jobs={min(clients, 2)}", f"--time={seconds}", "--file=-", pg.dsn(pg.cluster.superuser)],
        input=script, capture_output=True, check=True, text=True,
        env={**clean_environment(), "PGOPTIONS": f"-c synchronous_commit={synchronous_commit}"})
    eventually(lambda: children(postmaster) <= others, 10, "the server has noticed that pgbench's backends ended")
    tps = float(re.search(r"^tps = ([\d.]+)", done.stdout, re.M).group(1))
    transactions = int(re.search(r"actually processed: (\d+)", done.stdout).group(1))
    return Rate(tps, 1e6 * (ended_children_cpu_seconds(postmaster) - cpu_before) / transactions)
