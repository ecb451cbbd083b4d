"""How long does a comparison take, beside what else could be done? On a real server; and what do users notice of it meanwhile?"""
import os
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.config

from figure import Figure, median_ratio
from harness.postgres import clean_environment
from harness.store import Bucket, S3Server
from interleave import interleave
from listed_store import ListedStore, ListingServer
from pgbench import run_pgbench
from setting import raw_loop_seconds

OBJECTS = 200_000
HEADS = 500
FOREGROUND_KEYS = 3_000_000
FOREGROUND_SECONDS = 8


def measure(setting):
    return _on_a_real_server(setting) + _foreground(setting)


class RealServer:
    """A bucket with objects in it, as ListedStore wants to see a server."""

    def __init__(self, count):
        self.server = S3Server()
        self.bucket = Bucket(self.server)
        self.name, self.endpoint = self.bucket.name, self.server.endpoint
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda n: self.bucket.put(f"data/{n:08}", b"x" * 100), range(count)))
        pages = self.bucket.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        self.listed = [(entry["Key"], entry["ETag"], entry["Size"]) for page in pages for entry in page["Contents"]]

    def page_urls(self):
        # Version 4 signs no headers but the host's here.
        signer = boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", aws_access_key_id=self.server.access_key,
                              aws_secret_access_key=self.server.secret_key,
                              config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}))
        return [signer.generate_presigned_url("list_objects_v2", Params={"Bucket": self.name} | (
            {"StartAfter": self.listed[first - 1][0]} if first else {})) for first in range(0, len(self.listed), 1000)]


def _on_a_real_server(setting):
    count, heads = setting.many(OBJECTS), setting.many(HEADS)
    server = RealServer(count)
    try:
        with setting.database() as pg:
            store = ListedStore(setting, pg, server, count, bucket=server.name, credentials=server.server, listed=server.listed)

            def head_each():
                started = time.perf_counter()
                with ThreadPoolExecutor(8) as pool:
                    list(pool.map(lambda entry: server.bucket.client.head_object(Bucket=server.name, Key=entry[0]), server.listed[:heads]))
                return heads / (time.perf_counter() - started)

            def list_sort_compare():
                started = time.perf_counter()
                script = """set -o pipefail
                    aws --endpoint-url "$ENDPOINT" s3api list-objects-v2 --bucket "$BUCKET" --query 'Contents[].[Key]' --output text | LC_ALL=C sort > "$FOLDER/store"
                    psql -XAtc 'SELECT key FROM objectlink.object' "$DSN" | LC_ALL=C sort > "$FOLDER/registry"
                    comm -3 "$FOLDER/store" "$FOLDER/registry" | grep -cv '^.objectlink/' || true"""
                done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, env=clean_environment() | {
                    "PATH": os.environ["PATH"], "HOME": str(setting.folder), "ENDPOINT": server.endpoint, "BUCKET": server.name, "FOLDER": str(setting.folder),
                    "DSN": pg.dsn(pg.cluster.superuser), "AWS_ACCESS_KEY_ID": server.server.access_key,
                    "AWS_SECRET_ACCESS_KEY": server.server.secret_key, "AWS_DEFAULT_REGION": "us-east-1"})
                assert done.stdout.strip() == "0", done
                return count / (time.perf_counter() - started)

            with store.running():
                store.ended(store.begin())  # the marker is there
                rates = interleave({
                    "objectlinkd": lambda: count / store.ended(store.begin()).took.total_seconds(),
                    # Another lister has to wait for each page before it can ask for the next; and one that knows all pages beforehand.
                    "raw lister": lambda: count / raw_loop_seconds(server.page_urls(), "GET", connections=1),
                    "8 raw listers": lambda: count / raw_loop_seconds(server.page_urls(), "GET", connections=8),
                    "boto3 HEAD": head_each,
                    "awscli, sort, comm": list_sort_compare,
                }, setting.rounds, "keys/s")
    finally:
        server.server.remove()
    return [
        Figure("reconcile_peers", "radosgw: over a raw lister", median_ratio(rates["objectlinkd"], rates["raw lister"]), target=(">=", 0.95), rounds=rates),
        Figure("reconcile_peers", "radosgw: over 8 raw listers that know where each page begins", median_ratio(rates["objectlinkd"], rates["8 raw listers"]), rounds=rates),
        Figure("reconcile_peers", "radosgw: over boto3, a HEAD for each row", median_ratio(rates["objectlinkd"], rates["boto3 HEAD"]), rounds=rates),
        Figure("reconcile_peers", "radosgw: over awscli, sort and comm", median_ratio(rates["objectlinkd"], rates["awscli, sort, comm"]), rounds=rates)]


def _foreground(setting):
    """Single-row inserts into another table of the same database, by one client."""
    keys = setting.many(FOREGROUND_KEYS)
    seconds = setting.seconds(FOREGROUND_SECONDS)
    with ListingServer(keys) as server, setting.database() as pg:
        store = ListedStore(setting, pg, server, keys)
        pg.run("CREATE TABLE ledger (id bigserial PRIMARY KEY, note text)")

        def latency():
            return 1000 / run_pgbench(pg, "INSERT INTO ledger (note) VALUES ('x');", 1, seconds, "on").tps

        def latency_beside_a_run():
            run = store.begin()
            value = latency()
            assert pg.value("SELECT state = 'running' FROM objectlink.run WHERE id = %s", run), "the run ended too early"
            pg.run("SELECT objectlink.cancel_run(%s)", run)
            return value

        with store.running():
            times = interleave({"beside a run": latency_beside_a_run, "alone": latency}, setting.rounds, "ms")
    print(f"  medians: {statistics.median(times['beside a run']):.3f} and {statistics.median(times['alone']):.3f} ms")
    return [Figure("reconcile_peers", "latency of an INSERT beside a run over alone", median_ratio(times["beside a run"], times["alone"]),
                   target=("<=", 1.1), rounds=times)]
