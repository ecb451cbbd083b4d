"""How fast do many small transactions run? As pgbench says."""
import os
import re
import subprocess
from pathlib import Path

from harness.postgres import clean_environment


def transactions_per_second(pg, script, clients, seconds, settings=""):
    """script: a pgbench script; statements are prepared, so that parsing does not hide what is measured."""
    bindir = subprocess.run([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], capture_output=True, check=True, text=True)
    done = subprocess.run(
        [Path(bindir.stdout.strip()) / "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={clients}",
         f"--jobs={min(clients, 2)}", f"--time={seconds}", "--file=-", pg.dsn(pg.cluster.superuser)],
        input=script, capture_output=True, check=True, text=True, env={**clean_environment(), "PGOPTIONS": settings})
    return float(re.search(r"^tps = ([\d.]+)", done.stdout, re.M).group(1))
