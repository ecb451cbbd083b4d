"""When does a request arrive? An S3 server that stores nothing and notes the time at which each request's head was read."""
import hashlib
import socketserver
import threading
import time


class ArrivalStore(socketserver.ThreadingTCPServer):
    """arrivals: {path: time.perf_counter()}. Use with `with`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Connection)
        self.port = self.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.arrivals = {}
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Connection(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while line := self.rfile.readline():
            arrived = time.perf_counter()
            method, path, _ = line.decode().split(" ")
            headers = dict(self._headers())
            body = self.rfile.read(int(headers.get("content-length", 0)))
            if method == "PUT":
                self.server.arrivals[path] = arrived
            self.wfile.write(f'HTTP/1.1 200 OK\r\nETag: "{hashlib.md5(body).hexdigest()}"\r\nContent-Length: 0\r\n\r\n'.encode())

    def _headers(self):
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            if name.lower() == "expect":
                self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            yield name.lower(), value.strip()
