"""The peer that a careful script would be: a pool of threads, each request by boto3. Prints the seconds it took.

    boto3_pool.py head|put ENDPOINT BUCKET ACCESS_KEY SECRET_KEY COUNT THREADS
"""
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
import botocore.config


def main():
    operation, endpoint, bucket, access_key, secret_key, count, threads = sys.argv[1:]
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=botocore.config.Config(s3={"addressing_style": "path"}, max_pool_connections=int(threads)))
    body = b"x" * 100

    def act(number):
        key = f"boto3/{time.time_ns()}/{number}"
        if operation == "head":
            client.head_object(Bucket=bucket, Key=key)
        else:
            client.put_object(Bucket=bucket, Key=key, Body=body)

    with ThreadPoolExecutor(int(threads)) as pool:
        list(pool.map(act, range(int(threads))))  # connections are open before the clock runs
        started = time.perf_counter()
        list(pool.map(act, range(int(count))))
        print(time.perf_counter() - started)


main()
