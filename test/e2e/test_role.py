"""Goal: a daemon that is given a role has its keys from where it runs, and goes on with new ones when the old have ended.
Method: a stub stands for the metadata service of a cloud instance, version 2, which no test machine has; the keys that it gives are temporary ones of the
real server. The other ways to a role are tested by unit/role_source_test.cpp.
"""
import datetime
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest

from harness.store import S3Server
from harness.waiting import eventually

ROLES = "/latest/meta-data/iam/security-credentials/"


class MetadataService:
    """Gives nothing without its token."""

    def __init__(self, s3_server):
        account = {"endpoint_url": s3_server.endpoint, "region_name": "us-east-1", "aws_access_key_id": s3_server.access_key,
                   "aws_secret_access_key": s3_server.secret_key}
        allowed = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["sts:GetSessionToken"], "Resource": ["*"]}]}
        boto3.client("iam", **account).put_user_policy(UserName="sandbox", PolicyName="sessions", PolicyDocument=json.dumps(allowed))
        self._sts = boto3.client("sts", **account)
        self.asked = []
        self.token = "a-token"
        self.given = []  # access key ids
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self):
                service.asked.append(("PUT", self.path, self.headers["x-aws-ec2-metadata-token-ttl-seconds"]))
                self.reply(200, service.token)

            def do_GET(self):
                service.asked.append(("GET", self.path, self.headers["x-aws-ec2-metadata-token"]))
                if self.headers["x-aws-ec2-metadata-token"] != service.token:
                    self.reply(401, "")
                elif self.path == ROLES:
                    self.reply(200, "docs-role")
                else:
                    self.reply(200, json.dumps(service.keys()))

            def reply(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def keys(self):
        keys = self._sts.get_session_token(DurationSeconds=900)["Credentials"]
        self.given.append(keys["AccessKeyId"])
        return {"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": keys["AccessKeyId"], "SecretAccessKey": keys["SecretAccessKey"], "Token": keys["SessionToken"],
                "Expiration": keys["Expiration"].astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}

    def stop(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def s3_server():
    server = S3Server(sts=True)
    yield server
    server.remove()


@pytest.fixture
def service(s3_server):
    service = MetadataService(s3_server)
    yield service
    service.stop()


@pytest.fixture
def environment(service, tmp_path):
    return {"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": service.endpoint, "HOME": str(tmp_path)}


def test_the_keys_of_the_instance(documents, service, proxy, make_daemon, environment):
    daemon = make_daemon(credentials=None, environment=environment)
    keys = documents.put_fresh(3)
    documents.sync()
    documents.delete(keys[:1])
    documents.sync()
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()
    assert service.asked == [("PUT", "/latest/api/token", "21600"), ("GET", ROLES, "a-token"), ("GET", ROLES + "docs-role", "a-token")]
    assert {done.access_key for done in proxy.operations(own=None)} == set(service.given)
    log = daemon.log_text()
    assert "docs-role" in log and service.given[0] not in log and "a-token" not in log


def test_keys_that_have_ended_are_asked_for_again(documents, service, proxy, make_daemon, environment):
    make_daemon(credentials=None, environment=environment)
    documents.put_fresh(1)
    documents.sync()
    proxy.revoke(service.given[0], code="ExpiredToken").open()
    documents.put_fresh(3)
    documents.sync(60)
    documents.assert_in_step()
    documents.assert_no_attempt_spent()
    assert len(set(service.given)) == 2


def test_an_instance_without_a_role_is_told(documents, service, make_daemon, environment):
    """And its store works as soon as it has one, without a restart."""
    pg = documents.pg
    service.token = ""
    make_daemon(credentials=None, environment=environment)
    documents.put_fresh(1)
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.consistency WHERE status = 'paused' AND error_message LIKE '%the metadata service gives no token%'"))
    service.token = "another-token"
    documents.sync(90)
    documents.assert_in_step()
    documents.assert_no_attempt_spent()
