"""How does a test look at the S3 server? Through boto3, an implementation that shares nothing with ours."""
import hashlib
import itertools

import boto3
import botocore.config
import botocore.exceptions

from harness.sandbox import Server

MISSING_CODES = {"404", "NoSuchKey", "NotFound"}


class S3Server(Server):
    def __init__(self, log=False, sts=False):
        """log: the server keeps a log of its operations (see store_log.py), at some cost. sts: it gives temporary keys."""
        super().__init__("s3", *(["--log"] if log else []), *(["--sts"] if sts else []))
        self.endpoint = self.env["S3_ENDPOINT"]
        self.access_key = self.env["AWS_ACCESS_KEY_ID"]
        self.secret_key = self.env["AWS_SECRET_ACCESS_KEY"]
        # An account that owns nothing: for tests of missing permission.
        self.other_access_key = self.env["S3_OTHER_ACCESS_KEY_ID"]
        self.other_secret_key = self.env["S3_OTHER_SECRET_ACCESS_KEY"]

    def client(self, endpoint=None, access_key=None, secret_key=None):
        return boto3.client(
            "s3", endpoint_url=endpoint or self.endpoint, region_name="us-east-1",
            aws_access_key_id=access_key or self.access_key, aws_secret_access_key=secret_key or self.secret_key,
            config=botocore.config.Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1},
                                          max_pool_connections=32))

    def set(self, option, value):
        """A setting of the running server, e.g. rgw_max_concurrent_requests: 2 makes it answer 503 SlowDown."""
        self.call("admin", "config", "set", option, str(value))


class Bucket:
    """A bucket of one test's own."""

    _numbers = itertools.count(1)

    def __init__(self, server):
        self.server = server
        self.endpoint = server.endpoint
        self.name = f"test-{next(self._numbers)}"
        self.client = server.client()
        self.client.create_bucket(Bucket=self.name)

    def put(self, key, content=b"", **more):
        return self.client.put_object(Bucket=self.name, Key=key, Body=content, **more)

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def sha256(self, key):
        return hashlib.sha256(self.get(key)).hexdigest()

    def delete(self, key):
        """Behind objectlink's back."""
        self.client.delete_object(Bucket=self.name, Key=key)

    def head(self, key):
        """The reply, or None if there is no such object."""
        try:
            return self.client.head_object(Bucket=self.name, Key=key)
        except botocore.exceptions.ClientError as error:
            if error.response["Error"]["Code"] in MISSING_CODES:
                return None
            raise

    def exists(self, key):
        return self.head(key) is not None

    def keys(self, prefix="", own=False):
        """All keys in the server's order; objectlink's own ones (.objectlink/) only on request."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return [key for key in keys if own or not key.startswith(".objectlink/")]

    # Versions

    def set_versioning(self, status):
        """"Enabled" or "Suspended"; there is no way back."""
        self.client.put_bucket_versioning(Bucket=self.name, VersioningConfiguration={"Status": status})

    def versions(self, key=None, own=False):
        """[(key, version id, content)] of every version, newest of a key first; content None for a delete marker."""
        found = []
        for page in self.client.get_paginator("list_object_versions").paginate(Bucket=self.name, Prefix=key or ""):
            entries = [(entry, False) for entry in page.get("Versions", ())] + [(entry, True) for entry in page.get("DeleteMarkers", ())]
            found += entries
        found.sort(key=lambda entry: (entry[0]["Key"], -entry[0]["LastModified"].timestamp(), not entry[0]["IsLatest"]))
        return [(entry["Key"], entry["VersionId"], None if marker else self._version(entry)) for entry, marker in found
                if (key is None or entry["Key"] == key) and (own or not entry["Key"].startswith(".objectlink/"))]

    def _version(self, entry):
        return self.client.get_object(Bucket=self.name, Key=entry["Key"], VersionId=entry["VersionId"])["Body"].read()

    def listing(self):
        """{key: (size, etag)} of all objects but objectlink's own."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return {entry["Key"]: (entry["Size"], entry["ETag"].strip('"'))
                for page in pages for entry in page.get("Contents", ()) if not entry["Key"].startswith(".objectlink/")}

    def unfinished_uploads(self):
        """Keys of multipart uploads that were neither completed nor aborted."""
        return [upload["Key"] for upload in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ())]
