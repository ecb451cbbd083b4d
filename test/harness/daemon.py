"""How does a test run objectlinkd? As a process of its own, for a role without superuser, logging JSON to a file."""
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request

from harness.postgres import clean_environment
from harness.sandbox import ROOT, SANDBOX
from harness.waiting import eventually

BUILD = ROOT / os.environ.get("OBJECTLINK_BUILD", "build")
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:")


class Daemon:
    """Starts when told to. Several may serve one database; each has a name, a log and a port of its own."""

    def __init__(self, dsn, folder, name="daemon", credentials=None, arguments=(), environment=None):
        """credentials: a server or bucket with access_key and secret_key; None leaves the daemon without any."""
        self.dsn = dsn
        self.name = name
        self.log_file = folder / f"{name}.log"
        self.process = None
        self._arguments = list(arguments)
        self._environment = {**clean_environment(), "HOME": str(folder), "UBSAN_OPTIONS": "print_stacktrace=1",
                             "LSAN_OPTIONS": f"print_suppressions=0:suppressions={ROOT}/test/sanitizer-suppressions"}
        if credentials is not None:
            self._environment |= {"AWS_ACCESS_KEY_ID": credentials.access_key,
                                  "AWS_SECRET_ACCESS_KEY": credentials.secret_key}
        self._environment |= environment or {}
        self._port = int(subprocess.run([SANDBOX / "free-ports"], capture_output=True, check=True, text=True).stdout)

    # Life

    def start(self, *arguments):
        assert not self.alive, f"{self.name} is running"
        # Exec puts the daemon itself at this pid, so kill() hits it and nothing in between.
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [BUILD / "objectlinkd", "--dsn", self.dsn, "--name", self.name, "--log-format", "json",
                 "--metrics-address", f"127.0.0.1:{self._port}", *self._arguments, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, cwd="/")
        return self

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def kill(self):
        """kill -9: no chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=60):
        """SIGTERM; returns the exit status."""
        if self.process is None:
            return None
        if self.alive:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.wait_exit(seconds)

    def wait_exit(self, seconds=60):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not end within {seconds} s") from None

    def restart(self):
        """kill -9 and start again."""
        if self.alive:
            self.kill()
        return self.start()

    def run_once(self, seconds=60):
        """objectlinkd --once; returns the exit status."""
        self.start("--once")
        return self.wait_exit(seconds)

    # What it says

    def log(self):
        """The log lines as dictionaries; one that is no JSON as {"text": line}."""
        records = []
        for line in self.log_text().splitlines():
            try:
                records.append(json.loads(line))
            except ValueError:
                records.append({"text": line})
        return records

    def log_text(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def tail(self, lines=40):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def wait_log(self, text, seconds=30):
        eventually(lambda: text in self.log_text(), seconds, f"{self.name} logs '{text}'")

    def http(self, path):
        """(status, body) of the daemon's own HTTP server; (None, '') while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return None, ""

    def metric(self, name, **labels):
        """Sum over the samples of a metric that carry these labels; None if there is none."""
        found = None
        for line in self.http("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] == name and all(f'{key}="{word}"' in sample for key, word in labels.items()):
                found = (found or 0) + float(value)
        return found

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            kilobytes = next(line.split()[1] for line in status if line.startswith("VmRSS:"))
        return int(kilobytes) * 1024

    def assert_no_defect(self):
        """No sanitizer report, and no end by a signal that nobody sent."""
        text = self.log_text()
        for mark in SANITIZER_MARKS:
            assert mark not in text, f"{self.name}: {text[text.index(mark):][:4000]}"
        crashes = {-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGILL}
        assert self.process is None or self.process.returncode not in crashes, f"{self.name} crashed"
