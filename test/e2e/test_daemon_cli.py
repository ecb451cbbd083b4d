"""Goal: the daemon tells people, scripts and monitoring the truth about itself, and no secret.
Method: its flags, exit codes, log lines, HTTP server and arguments as other processes see them.
"""
import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness.daemon import BUILD
from harness.documents import Documents, wait_daemon_sessions
from harness.postgres import DAEMON_ROLE, clean_environment
from harness.sandbox import SANDBOX
from harness.waiting import always, eventually

OK, UNEXPECTED, USAGE, DATABASE, STORE, WORK_LEFT = range(6)  # exit codes, as --help says


def objectlinkd(*arguments, **environment):
    return subprocess.run([BUILD / "objectlinkd", *arguments], capture_output=True, text=True, timeout=60, check=False,
                          env={**clean_environment(), "HOME": "/nonexistent", **environment}, cwd="/")


@pytest.fixture
def keys(s3_server):
    return {"AWS_ACCESS_KEY_ID": s3_server.access_key, "AWS_SECRET_ACCESS_KEY": s3_server.secret_key}


# Without a database

def test_version_and_help():
    version = objectlinkd("--version")
    assert version.returncode == OK and re.fullmatch(r"objectlinkd \d+\.\d+\.\d+\n", version.stdout)
    shown = objectlinkd("--help")
    assert shown.returncode == OK and "--check-config" in shown.stdout and "Exit codes" in shown.stdout


@pytest.mark.parametrize("arguments", [["--no-such-option"], ["--batch-size", "0"], ["--poll-interval", "soon"],
                                       ["--dsn", "no dsn at all"], ["--config", "/no/such/file"], ["--metrics-address", "nowhere"],
                                       ["stray"]], ids=" ".join)
def test_wrong_arguments(arguments):
    done = objectlinkd(*arguments)
    assert done.returncode == USAGE
    assert done.stderr.startswith("objectlinkd: ") and "--help" in done.stderr


def test_config_file_and_environment(tmp_path, docs, keys):
    config = tmp_path / "objectlinkd.conf"
    config.write_text(f'dsn = "{docs.dsn(DAEMON_ROLE)}"\nname = "from the file"\n')
    assert objectlinkd("--config", config, "--check-config", **keys).returncode == OK
    assert objectlinkd("--check-config", OBJECTLINKD_CONFIG=str(config), **keys).returncode == OK
    assert objectlinkd("--check-config", OBJECTLINKD_DSN=docs.dsn(DAEMON_ROLE), **keys).returncode == OK
    assert objectlinkd("--check-config", PGHOST=docs.cluster.host, PGPORT=str(docs.cluster.port), PGDATABASE=docs.name,
                       PGUSER=DAEMON_ROLE, **keys).returncode == OK
    config.write_text('no_such_option = "x"\n')
    assert objectlinkd("--config", config, "--check-config").returncode == USAGE


# --check-config

def test_check_config_finds_all_well(docs, keys):
    done = objectlinkd("--dsn", docs.dsn(DAEMON_ROLE), "--check-config", **keys)
    assert done.returncode == OK and done.stdout.endswith("OK\n")
    assert keys["AWS_SECRET_ACCESS_KEY"] not in done.stdout + done.stderr


@pytest.mark.parametrize("change, word", [("port=1", ".PGSQL.1"), ("dbname=no_such_database", "no_such_database"),
                                          ("user=no_such_role", "no_such_role"), ("host=/nonexistent", "/nonexistent")])
def test_check_config_with_a_wrong_dsn(docs, keys, change, word):
    done = objectlinkd("--dsn", f"{docs.dsn(DAEMON_ROLE)} {change}", "--check-config", **keys)
    assert done.returncode == DATABASE
    assert "problem" in done.stdout and word in done.stdout


def test_check_config_without_the_extension(database, keys):
    database.create_role(DAEMON_ROLE)
    done = objectlinkd("--dsn", database.dsn(DAEMON_ROLE), "--check-config", **keys)
    assert done.returncode == DATABASE and "CREATE EXTENSION objectlink" in done.stdout


def test_check_config_without_privileges(docs, keys):
    role = docs.create_role("olx_nobody")
    done = objectlinkd("--dsn", docs.dsn(role), "--check-config", **keys)
    assert done.returncode == DATABASE and "grant_daemon('olx_nobody')" in done.stdout


def test_check_config_without_credentials(docs):
    done = objectlinkd("--dsn", docs.dsn(DAEMON_ROLE), "--check-config")
    assert done.returncode == STORE and "store docs" in done.stdout and "AWS_ACCESS_KEY_ID" in done.stdout


def test_check_config_with_a_server_that_lacks_options(docs, keys):
    docs.run("CREATE SERVER half FOREIGN DATA WRAPPER objectlink OPTIONS (bucket 'half')")
    done = objectlinkd("--dsn", docs.dsn(DAEMON_ROLE), "--check-config", **keys)
    assert done.returncode == STORE and "store half" in done.stdout and "endpoint" in done.stdout


# Running

def test_once_does_what_is_there(docs, bucket, make_daemon):
    documents = Documents(docs, bucket)
    daemon = make_daemon(start=False)
    keys = documents.put_fresh(20)
    assert daemon.run_once() == OK
    documents.assert_in_step()
    documents.delete(keys)
    assert daemon.run_once() == OK
    documents.assert_in_step()
    assert daemon.run_once() == OK


def test_once_says_when_work_is_left(documents, proxy, make_daemon):
    daemon = make_daemon(start=False)
    documents.put_fresh(2)
    proxy.refuse()
    assert daemon.run_once() == WORK_LEFT
    proxy.accept()
    assert daemon.run_once() == OK
    documents.assert_in_step()


def test_once_without_a_database(make_daemon, database):
    assert make_daemon(dsn="host=/nonexistent", start=False).run_once() == DATABASE


def test_sigterm_finishes_what_is_under_way(documents, proxy, make_daemon):
    daemon = make_daemon()
    held = proxy.hold(method="PUT", after=True)
    key, = documents.put_fresh(1)
    held.wait_reached()
    daemon.process.terminate()
    daemon.wait_log("daemon.stopping")
    assert daemon.alive
    held.open()
    assert daemon.wait_exit(20) == OK
    assert documents.pg.state(key) == "stored"
    assert [done.status for done in proxy.operations()] == [200]


def test_sigterm_gives_up_after_the_drain_timeout(documents, proxy, make_daemon):
    daemon = make_daemon("--drain-timeout", "300ms")
    held = proxy.hold(method="PUT", after=True)
    documents.put_fresh(1)
    held.wait_reached()
    assert daemon.stop(10) == WORK_LEFT
    held.open()
    daemon.start()
    documents.sync()
    documents.assert_in_step()


def test_a_second_signal_ends_at_once(documents, proxy, make_daemon):
    daemon = make_daemon()
    held = proxy.hold(method="PUT", after=True)
    documents.put_fresh(1)
    held.wait_reached()
    daemon.process.terminate()
    daemon.wait_log("daemon.stopping")
    daemon.process.terminate()
    assert daemon.wait_exit(5) in (128 + 15, -15)
    held.open()
    daemon.start()
    documents.sync()
    documents.assert_in_step()


def test_waits_for_the_database(pg, make_daemon):
    daemon = make_daemon(dsn=pg.dsn(DAEMON_ROLE).replace(pg.name, "not_there_yet"))
    daemon.wait_log("database.unreachable")
    assert daemon.http("/livez")[0] == 200 and daemon.http("/readyz")[0] == 503 and daemon.http("/healthz")[0] == 503
    assert daemon.stop(10) == OK


def test_waits_for_the_extension(database, make_daemon):
    database.create_role(DAEMON_ROLE)
    daemon = make_daemon()
    daemon.wait_log("database.no_extension")
    database.create_extension()
    daemon.wait_log("session.started")


def test_log_lines_and_metrics(documents, proxy, make_daemon, s3_server):
    pg = documents.pg
    password = "not-for-the-log-4711"
    daemon = make_daemon("--log-level", "debug", dsn=f"{pg.dsn(DAEMON_ROLE)} password={password}")
    proxy.answer(403, code="AccessDenied", method="PUT", times=5)
    keys = documents.put_fresh(10)
    documents.sync()
    documents.delete(keys[:3])
    documents.sync()
    for record in daemon.log():
        assert {"ts", "level", "event", "message"} <= record.keys(), record
    secrets = [password, s3_server.secret_key, "Signature=", "X-Amz-Signature"]
    arguments = Path(f"/proc/{daemon.pid}/cmdline").read_text(encoding="utf-8")
    everywhere = [daemon.log_text(), daemon.http("/metrics")[1], daemon.http("/healthz")[1],
                  str(pg.run("SELECT * FROM objectlink.events")), str(pg.run("SELECT * FROM objectlink.consistency")),
                  str(pg.run("SELECT query, application_name FROM pg_stat_activity WHERE usename = %s", DAEMON_ROLE))]
    for secret in secrets:
        assert not [place[:200] for place in everywhere if secret in place], secret
    assert s3_server.secret_key not in arguments
    assert daemon.metric("objectlink_operations_total", operation="upload", outcome="stored") == 10
    assert daemon.metric("objectlink_operations_total", operation="delete", outcome="gone") == 3
    health = json.loads(daemon.http("/healthz")[1])
    assert health["status"] == "ok" and health["reasons"] == []
    assert daemon.http("/no-such-path")[0] == 404


def test_passwords_in_the_log_of_a_failed_connection(database, make_daemon):
    daemon = make_daemon(dsn="postgresql://someone:not-for-the-log-4711@127.0.0.1:1/db")
    daemon.wait_log("database.unreachable")
    assert "not-for-the-log-4711" not in daemon.log_text()
    daemon.stop(10)


# A standby

@pytest.fixture
def standby(cluster):
    """A streaming standby of the cluster."""
    folder = Path(tempfile.mkdtemp(prefix="objectlink-standby.", dir=cluster.folder.parent))
    as_server = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    folder.chmod(0o755)
    if as_server:
        shutil.chown(folder, "postgres")
    (folder / "socket").mkdir()
    if as_server:
        shutil.chown(folder / "socket", "postgres")
    subprocess.run([*as_server, "pg_basebackup", "-h", cluster.host, "-p", str(cluster.port), "-U", cluster.superuser,
                    "-D", folder / "data", "-R", "-X", "stream", "-c", "fast"], check=True, cwd="/", capture_output=True)
    subprocess.run([SANDBOX / "postgres", "start", folder, f"unix_socket_directories={folder}/socket"], check=True)
    port = re.search(r"PGPORT=(\d+)", (folder / "env").read_text()).group(1)
    yield {"dsn": f"host={folder}/socket port={port}", "folder": folder, "as_server": as_server}
    subprocess.run([SANDBOX / "postgres", "remove", folder], check=True)


def test_waits_on_a_standby_until_it_is_promoted(docs, bucket, standby, make_daemon):
    documents = Documents(docs, bucket)
    documents.put_fresh(3)
    daemon = make_daemon(dsn=f"{standby['dsn']} dbname={docs.name} user={DAEMON_ROLE}")
    daemon.wait_log("database.standby")
    assert daemon.http("/readyz")[0] == 503
    always(lambda: bucket.keys() == [], 0.5)
    subprocess.run([*standby["as_server"], "psql", "-q", "-d", f"{standby['dsn']} dbname={docs.name} user=postgres",
                    "-c", "SELECT pg_promote()"], check=True, cwd="/", capture_output=True)
    daemon.wait_log("session.started")
    eventually(lambda: len(bucket.keys()) == 3)


@pytest.fixture
def pooler(docs):
    """Port of a pgbouncer in transaction mode. It refuses to be root, and so needs a folder that others may enter."""
    port = subprocess.run([SANDBOX / "free-ports"], capture_output=True, check=True, text=True).stdout.strip()
    with tempfile.TemporaryDirectory(prefix="objectlink-pooler.", dir="/tmp") as folder:
        Path(folder, "users").write_text(f'"{DAEMON_ROLE}" ""\n', encoding="ascii")
        Path(folder, "pgbouncer.ini").write_text(
            f"[databases]\n* = host={docs.cluster.host} port={docs.cluster.port}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = trust\nauth_file = {folder}/users\n"
            "pool_mode = transaction\nunix_socket_dir =\n", encoding="ascii")
        as_other = []
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
            as_other = ["runuser", "-u", "postgres", "--"]
        with open(Path(folder, "log"), "wb") as log:
            process = subprocess.Popen([*as_other, "pgbouncer", f"{folder}/pgbouncer.ini"], stdout=log, stderr=log)
        try:
            yield port
        finally:
            process.terminate()
            process.wait()
            print("--- pgbouncer's log", Path(folder, "log").read_text(encoding="utf-8", errors="replace"), sep="\n")


def test_refuses_a_pooler(docs, make_daemon, pooler):
    daemon = make_daemon(dsn=docs.dsn(DAEMON_ROLE, "127.0.0.1", pooler))
    daemon.wait_log("database.pooler")
