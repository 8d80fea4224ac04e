"""What the tests of sources share: a server that can misbehave, small shapefiles, the sample made once."""

import contextlib
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COUNTY_FIELDS = {"gis_join": "G{STATEFP10}0{COUNTYFP10}0", "name": "{NAME10}"}
STATE_FIELDS = {"gis_join": "G{STATEFP10}0", "name": "{NAME10}"}


class Host:
    """One file on a real server on the loopback, and what goes wrong when it is asked for: one fault per request."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/raw/county.zip"
        self.body = b""
        self.headers = {"ETag": '"first"'}
        self.faults: list = []
        self.asked: list[str | None] = []  # the Range of every request
        self.times: list[float] = []
        self.serves_ranges = True

    def changes_to(self, body: bytes, etag: str):
        """From this request on it is another file."""

        def change(handler):
            self.body, self.headers = body, {"ETag": etag}
            send(handler, self)

        return change


def drops_after(count: int):
    """Says the true length, sends `count` bytes and breaks the connection."""
    return lambda handler: send(handler, handler.server.host, only=count)


def says_length(length: int):
    return lambda handler: send(handler, handler.server.host, length=length)


def answers(status: int, **headers: str):
    def answer(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def sends_without_length(handler):
    """Ends the body by closing the connection, as old servers do."""
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        handler.wfile.write(handler.server.host.body)


def is_silent(seconds: float):
    def wait(handler):
        time.sleep(seconds)

    return wait


def send(handler, host, only=None, length=None):
    """What a right server does, but for `only` so many bytes or another `length`."""
    body, status, wanted = host.body, 200, handler.headers.get("Range")
    if wanted and host.serves_ranges and handler.headers.get("If-Range") in (None, *host.headers.values()):
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        status = 206 if start < len(body) else 416
        span = f"bytes {start}-{len(body) - 1}/{len(body)}" if status == 206 else f"bytes */{len(body)}"
        body = body[start:] if status == 206 else b""
    handler.send_response(status)
    if status in (206, 416):
        handler.send_header("Content-Range", span)
    for name, value in host.headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    with contextlib.suppress(OSError):  # the other side may have gone
        handler.wfile.write(body[:only])


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        host = self.server.host
        host.asked.append(self.headers.get("Range"))
        host.times.append(time.monotonic())
        fault = host.faults.pop(0) if host.faults else None
        if fault is None and self.path.split("?")[0] != "/raw/county.zip":
            fault = answers(404)
        (fault or (lambda handler: send(handler, host)))(self)

    def log_message(self, *words):
        pass


@pytest.fixture
def host(monkeypatch):
    """A server on the loopback with one file of 1,000 bytes."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.host = Host(server.server_port)
    server.host.body = bytes(number % 251 for number in range(1000))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server.host
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def zipped(tmp_path):
    """Makes a zipped shapefile of rows: `zipped({"NAME10": ["Lake"]}, [square(0, 0, 1, 1)])`."""

    def make(attributes, shapes, crs="EPSG:4326", without=(), encoding=None, says=None, name="boundaries"):
        import geopandas
        import pyogrio

        folder = tmp_path / f"layer-{name}"
        folder.mkdir()
        frame = geopandas.GeoDataFrame(attributes, geometry=list(shapes), crs=crs)
        pyogrio.write_dataframe(frame, folder / f"{name}.shp", encoding=encoding)
        if says is not None:
            (folder / f"{name}.cpg").write_text(says)
        archive = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            for part in sorted(folder.iterdir()):
                if part.suffix not in without:
                    opened.write(part, part.name)
        return archive

    return make


@pytest.fixture(scope="session")
def sample_folder(tmp_path_factory) -> Path:
    """The zips of the sample country and its tasmax and tasmin of 2004, made once."""
    from impl.source import sample

    folder = tmp_path_factory.mktemp("sample")
    for level in ("county", "state"):
        sample.boundaries(folder / f"tl_2010_us_{level}10.zip", level)
    for variable in ("tasmax", "tasmin", "pr"):
        sample.macav2(folder / f"{variable}.nc", variable=variable, **STORY)
    return folder


STORY = {
    "model": "bcc-csm1-1",
    "run": "r1i1p1",
    "scenario": "historical",
    "first_year": 2000,
    "last_year": 2004,
    "years": [2004],
}
