"""Goal: a store is spoken to over TLS, whichever way its bucket is named, and only if it proves who it is.
Method: the proxy speaks TLS with a certificate made here; behind it is the real server, which is asked by boto3 too. That a certificate for another host,
or one that has expired, is refused is shown by unit/http_tls_test.cpp.
"""
import ssl
import subprocess

import pytest

from conftest import create_document_table
from fault.proxy import FaultProxy
from harness.documents import Documents
from harness.waiting import eventually


@pytest.fixture
def certificate(tmp_path, bucket):
    """For a host that serves buckets both below its own name and by paths."""
    names = f"subjectAltName=DNS:localhost,DNS:{bucket.name}.localhost"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=store",
                    "-addext", names, "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"], check=True, capture_output=True)
    return tmp_path / "cert.pem"


@pytest.fixture
def proxy(s3_server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    proxy = FaultProxy(s3_server.endpoint, s3_server.access_key, s3_server.secret_key, tls=context).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def documents(pg, bucket, proxy):
    pg.create_server("docs", f"https://localhost:{proxy.port}", bucket.name)
    create_document_table(pg)
    return Documents(pg, bucket)


@pytest.mark.parametrize("path_style", ["on", "off"])
def test_a_store_over_tls(documents, proxy, certificate, make_daemon, path_style):
    """The whole job: upload, look, deletion alone and of several, and a listing."""
    pg, name = documents.pg, documents.bucket.name
    pg.run(f"ALTER SERVER docs OPTIONS (ADD ca_file '{certificate}', ADD path_style '{path_style}')")
    daemon = make_daemon()
    keys = documents.put_fresh(4) + documents.put(["a b/ü+%.txt"])
    documents.sync()
    documents.assert_bucket(set(keys))
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", pg.value("SELECT objectlink.reconcile_storage('docs')"))
    assert pg.run("SELECT state, listed FROM objectlink.runs") == [("done", 5)]
    documents.delete(keys[:4])
    documents.sync()
    documents.delete(keys[4:])
    documents.sync()
    documents.assert_in_step(marks_held=True)
    assert documents.bucket.keys() == []
    hosts = {done.host for done in proxy.operations(own=None)}
    assert hosts == {f"localhost:{proxy.port}" if path_style == "on" else f"{name}.localhost:{proxy.port}"}
    assert all(done.path.startswith(f"/{name}") == (path_style == "on") for done in proxy.operations(own=None))
    assert daemon.alive


def test_one_that_nobody_vouches_for_gets_nothing(documents, proxy, certificate, make_daemon):
    """Not one request, nor a key, until its certificate is known."""
    pg = documents.pg
    make_daemon()
    documents.put_fresh(3)
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.consistency WHERE status = 'paused' AND error_code = 'TlsFailed'"))
    assert proxy.operations(own=None) == []
    pg.run(f"ALTER SERVER docs OPTIONS (ADD ca_file '{certificate}')")
    documents.sync()
    documents.assert_in_step()
    documents.assert_no_attempt_spent()
