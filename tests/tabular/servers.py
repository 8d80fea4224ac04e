"""FTP and HTTP servers of our own on 127.0.0.1 and a free port, gone with their `with`."""

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@contextlib.contextmanager
def ftp_server(folder: Path, user: str = "ada", password: str = "pass-word-1") -> Iterator[str]:
    """Serves `folder` to one user; gives `host:port`."""
    pytest.importorskip("pyftpdlib", reason="the tests of FTP need pyftpdlib, which `.[test]` brings")
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import FTPHandler
    from pyftpdlib.servers import FTPServer

    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, str(folder), perm="elr")
    handler = type("Handler", (FTPHandler,), {"authorizer": authorizer, "auth_failed_timeout": 0})
    server = FTPServer(("127.0.0.1", 0), handler)
    stopped = threading.Event()

    def serve():
        while not stopped.is_set():
            server.serve_forever(timeout=0.05, blocking=False)
        server.close_all()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        host, port = server.address[:2]
        yield f"{host}:{port}"
    finally:
        stopped.set()
        thread.join(10)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.asked.append(self.path)
        if self.path.startswith("/broken"):
            self.send_error(503)
        elif self.path.startswith("/short"):
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"a,b\n1,2\n")
        elif self.path.startswith("/locked") and not self.headers.get("Authorization"):
            self.send_error(401)
        else:
            super().do_GET()


@contextlib.contextmanager
def http_server(folder: Path) -> Iterator[ThreadingHTTPServer]:
    """Serves `folder`; `.address` is `http://127.0.0.1:port`, `.asked` the paths that were asked for."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    server.asked = []
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
