"""How does a test have an S3 Inventory of a bucket? Written by boto3 in the form of AWS's own: manifest.json, manifest.checksum, gzips of CSV.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""
import csv
import gzip
import hashlib
import io
import json
import time
import urllib.parse
from dataclasses import dataclass, field

CURRENT = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass"
ALL_VERSIONS = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"


@dataclass
class Inventory:
    """What will be delivered; a test changes it before."""
    manifest: dict
    files: dict = field(default_factory=dict)  # key -> bytes
    folder: str = "inventory"

    @property
    def key(self):
        return f"{self.folder}/2026-01-01T00-00Z/manifest.json"

    def add(self, text, name=None):
        """Another data file, and its entry in the manifest."""
        key = name or f"{self.folder}/data/{len(self.files)}.csv.gz"
        self.put(key, gzip.compress(text.encode()))
        return key

    def put(self, key, content):
        self.files[key] = content
        entry = {"key": key, "size": len(content), "MD5checksum": hashlib.md5(content).hexdigest()}
        self.manifest["files"] = [other for other in self.manifest["files"] if other["key"] != key] + [entry]

    def deliver(self, bucket, checksum=None):
        """Into this bucket; returns the key of the manifest."""
        for key, content in self.files.items():
            bucket.put(key, content)
        text = json.dumps(self.manifest, indent=2).encode()
        bucket.put(self.key, text)
        if checksum != "":
            bucket.put(self.key.replace("manifest.json", "manifest.checksum"), (checksum or hashlib.md5(text).hexdigest()).encode())
        return self.key


def rows_of(bucket, leave_out=()):
    """Of each object of the bucket now, in an order that tells nothing."""
    pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
    entries = [entry for page in pages for entry in page.get("Contents", ()) if entry["Key"] not in leave_out]
    entries.sort(key=lambda entry: hashlib.md5(entry["Key"].encode()).digest())
    return [{"Bucket": bucket.name, "Key": entry["Key"], "Size": entry["Size"], "LastModifiedDate": as_time(entry["LastModified"]),
             "ETag": entry["ETag"].strip('"'), "StorageClass": "STANDARD"} for entry in entries]


def versions_of(bucket):
    rows = []
    for page in bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name):
        for entry in page.get("Versions", []) + page.get("DeleteMarkers", []):
            rows.append({"Bucket": bucket.name, "Key": entry["Key"], "VersionId": entry["VersionId"],
                         "IsLatest": str(entry["IsLatest"]).lower(), "IsDeleteMarker": str("ETag" not in entry).lower(),
                         "Size": entry.get("Size", ""), "LastModifiedDate": as_time(entry["LastModified"]), "ETag": entry.get("ETag", "").strip('"')})
    return rows


def as_time(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def to_csv(rows, schema=CURRENT):
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in rows:
        # As Java's URLEncoder: a space is a plus.
        row = {**row, "Key": urllib.parse.quote_plus(row["Key"], safe="/*")}
        writer.writerow([row[name.strip()] for name in schema.split(",")])
    return text.getvalue()


def take_inventory(bucket, rows=None, files=3, schema=CURRENT, created=None, folder="inventory"):
    """Of what is in the bucket now (or of these rows). created: seconds since 1970."""
    rows = rows_of(bucket) if rows is None else rows
    created = created or time.time()
    inventory = Inventory({"sourceBucket": bucket.name, "destinationBucket": "arn:aws:s3:::elsewhere", "version": "2016-11-30",
                           "creationTimestamp": str(int(created * 1000)), "fileFormat": "CSV", "fileSchema": schema, "files": []}, folder=folder)
    for number in range(files):
        inventory.add(to_csv(rows[number::files], schema))
    return inventory
