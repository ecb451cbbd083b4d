"""What is an S3 server that costs nothing? nginx answering every request at once, as if the object were there."""
import subprocess

from harness.waiting import eventually
from setting import free_port

CONFIG = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  default_type application/octet-stream;
  server {{
    listen 127.0.0.1:{port};
    # It holds no ownership marker, and keeps none: what is measured needs no lease. A 200 for it would fence the store.
    location /bench/.objectlink/ {{
      return 404;
    }}
    location / {{
      add_header ETag '"6d0bb00954ceb7fbee436bb55a8397a9"';
      return 200 "{content}";
    }}
  }}
}}
"""


class EmptyStore:
    """Use with `with`."""

    def __init__(self, folder):
        self._folder = folder / "nginx"
        self._folder.mkdir()
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process = None

    def __enter__(self):
        config = self._folder / "nginx.conf"
        config.write_text(CONFIG.format(folder=self._folder, port=self.port, content="x" * 100))
        with open(self._folder / "output.log", "wb") as output:
            self._process = subprocess.Popen(["/usr/sbin/nginx", "-p", self._folder, "-c", config],
                                             stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        eventually(self._answers, 10, "nginx answers")
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(10)

    def urls(self, count):
        return [f"{self.endpoint}/bench/objects/{number:012d}" for number in range(count)]

    def _answers(self):
        assert self._process.poll() is None, (self._folder / "output.log").read_text()
        return subprocess.run(["curl", "-sfI", "-o", "/dev/null", self.endpoint + "/bench/x"], check=False).returncode == 0
