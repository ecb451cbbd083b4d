"""How fast is content uploaded? put() of 100 bytes, to radosgw, which is what limits here."""
import statistics

import boto3
import botocore.config

from drained import Drained
from figure import Figure, median_ratio
from harness.store import Bucket, S3Server
from interleave import interleave
from setting import Credentials, boto3_seconds, raw_loop_seconds

OBJECTS = 4_000
BYTES = 100
PRESIGNED_SECONDS = 3600


def measure(setting):
    objects = setting.many(OBJECTS)
    server = S3Server()
    try:
        bucket = Bucket(server)
        credentials = Credentials(server.access_key, server.secret_key)
        with setting.database() as pg:
            drained = Drained(setting, pg, server.endpoint, bucket.name, credentials)

            def product():
                drained.load_puts(objects, BYTES)
                return objects / drained.drain(objects).seconds

            folders = iter(range(1_000_000))
            # Version 4 signs no headers but the host's here, so the loop may send what it likes.
            signer = boto3.client("s3", endpoint_url=server.endpoint, region_name="us-east-1",
                                  aws_access_key_id=credentials.access_key, aws_secret_access_key=credentials.secret_key,
                                  config=botocore.config.Config(signature_version="s3v4", s3={"addressing_style": "path"}))

            def raw():
                folder = next(folders)
                urls = [signer.generate_presigned_url(
                    "put_object", {"Bucket": bucket.name, "Key": f"raw/{folder}/{number}"}, PRESIGNED_SECONDS)
                    for number in range(objects)]
                return objects / raw_loop_seconds(urls, "PUT", BYTES)

            rates = interleave({
                "objectlinkd": product, "raw loop": raw,
                "boto3": lambda: objects / boto3_seconds("put", server.endpoint, bucket.name, credentials, objects),
            }, setting.rounds, "op/s")
    finally:
        server.remove()
    return [
        Figure("drain_upload", "uploaded to radosgw, from the daemon's start", statistics.median(rates["objectlinkd"]), "op/s",
               rounds=rates),
        Figure("drain_upload", "over a raw libcurl loop", median_ratio(rates["objectlinkd"], rates["raw loop"]),
               target=(">=", 0.9), rounds=rates),
        Figure("drain_upload", "over a boto3 thread pool", median_ratio(rates["objectlinkd"], rates["boto3"]), rounds=rates)]
