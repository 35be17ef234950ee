"""A git server over HTTP for tests: `git http-backend` behind a small CGI server on loopback, which stops with its block.

    with serve(folder_of_bare_repositories) as url:
        sandbox.git("push", f"{url}/server.git", "main", cwd=repo)

Everybody may fetch and push. Requests are answered side by side, as a forge does, and held in memory whole.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MAX_REQUEST_BYTES = 64 << 20
TIMEOUT_S = 60

# (method, path with query) → after how many bytes of the answer's body to drop the connection, or None to let it be.
Cut = Callable[[str, str], int | None]


@contextmanager
def serve(root: Path, cut: Cut = lambda method, path: None) -> Iterator[str]:
    """Serve the bare repositories in the folder `root` and give the URL that they lie under; `cut` fakes a bad network."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = TIMEOUT_S

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self._read())

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _read(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(min(int(self.headers.get("Content-Length", "0")), MAX_REQUEST_BYTES))
            body = b""
            while size := int(self.rfile.readline(), 16):
                assert len(body) + size <= MAX_REQUEST_BYTES
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def _answer(self, body: bytes) -> None:
            head, _, answer = _run_backend(root, self, body).partition(b"\r\n\r\n")
            fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
            self.send_response(int(fields.pop("Status", "200 OK").split()[0]))
            for name, value in fields.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            end = cut(self.command, self.path)
            self.wfile.write(answer[:end])
            if end is not None and end < len(answer):
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(TIMEOUT_S)


def _run_backend(root: Path, request: BaseHTTPRequestHandler, body: bytes) -> bytes:
    """Return what git's CGI program says to one request (git-http-backend(1))."""
    path, _, query = request.path.partition("?")
    env = {
        **os.environ,
        "GIT_PROJECT_ROOT": str(root),
        "GIT_HTTP_EXPORT_ALL": "1",
        "REQUEST_METHOD": request.command,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": request.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        "HTTP_GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_USER": "ada",  # whoever is named may push
    }
    done = subprocess.run(["git", "http-backend"], input=body, capture_output=True, env=env, timeout=TIMEOUT_S, check=False)
    return done.stdout or b"Status: 500 Internal Server Error\r\n\r\n" + done.stderr
