"""Signs the one request the proxy makes in its own name (a DeleteObjects with fewer keys). Standard library only;
no oracle for the daemon's signatures: those are compared with botocore."""
import datetime
import hashlib
import hmac


def signed_headers(method, host, path, query, body, access_key, secret_key, region="us-east-1"):
    """Headers for a request whose path and query are encoded and ordered already (one parameter at most)."""
    stamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    payload_hash = hashlib.sha256(body).hexdigest()
    canonical = "\n".join([
        method, path, query, f"host:{host}", f"x-amz-content-sha256:{payload_hash}", f"x-amz-date:{stamp}", "",
        "host;x-amz-content-sha256;x-amz-date", payload_hash])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret_key).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    return {
        "Host": host, "x-amz-date": stamp, "x-amz-content-sha256": payload_hash, "Content-Length": str(len(body)),
        "Authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/{scope},"
                         f"SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature={signature}"}
