"""What all tests share: small and read-only disks, the real data, a checkout to type commands in."""

import compileall
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from py_compile import PycInvalidationMode

import pytest

ROOT = Path(__file__).resolve().parents[1]


TYPES_COMMANDS = {"checkout", "staged", "built", "rebuilt", "copy_of_checkout"}


SERVERS = {"postgres", "s3_server"}


def pytest_collection_modifyitems(items):
    """What types whole commands is slow: each starts Python anew. What talks to a server of its own is told apart too."""
    for item in items:
        home = getattr(item, "callspec", None) and item.callspec.params.get("home")
        if home in ("postgis", "s3", "gs") or SERVERS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)
        if TYPES_COMMANDS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)


class MustRun:
    """Fails a run in which a test with one of these markers was skipped: what decides whether a change lands skips nothing.

    The markers stand in the variable `ETL_TESTS_MUST_RUN`, with blanks between.
    """

    def __init__(self, markers):
        self.markers, self.skipped = set(markers), []

    def pytest_runtest_logreport(self, report):
        if report.skipped and not hasattr(report, "wasxfail") and self.markers & set(report.keywords):
            self.skipped.append(
                (report.nodeid, report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr))
            )

    def pytest_collectreport(self, report):
        if report.skipped:  # a whole module: its markers are not known
            self.skipped.append((report.nodeid, str(report.longrepr)))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if self.skipped and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter):
        if self.skipped:
            terminalreporter.section(f"skipped, but ETL_TESTS_MUST_RUN={' '.join(sorted(self.markers))}", red=True, bold=True)
            for name, reason in self.skipped:
                terminalreporter.write_line(f"{name}: {reason}")


def pytest_configure(config):
    markers = os.environ.get("ETL_TESTS_MUST_RUN", "").split()
    if markers and not hasattr(config, "workerinput"):  # of several processes the one that hears of all tests
        config.pluginmanager.register(MustRun(markers))


def mounted(folder, *options):
    """A disk of its own at `folder`, which is made; where mounting is not allowed, the test is skipped."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(f"needs a disk of its own, and mounting one is not allowed here: {done.stderr.strip()}")
    return folder


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte, mounted for this test."""
    folder = mounted(tmp_path / "disk", "size=1m")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def read_only_disk(tmp_path):
    """A disk that nobody can write to."""
    folder = mounted(tmp_path / "disk", "size=1m", "ro")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def ctrl_c():
    """What this test starts can be interrupted: a pytest in the background ignores SIGINT, and children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def real_data():
    """The folder with the real files; see tests/README.md."""
    folder = Path(os.environ.get("ETL_REAL_DATA") or ROOT.parent / "shared/data")
    if not (folder / "tl_2010_us_county10.zip").exists():
        pytest.skip(f"the real files are not here: {folder}; set ETL_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL of our own with the database `etl`, for all tests that want one."""
    from tests.postgres import Cluster

    cluster = Cluster()
    cluster.sql("create database etl owner loader", "postgres")
    yield cluster
    cluster.remove()


@pytest.fixture(scope="session")
def s3_server():
    """An S3 server of our own with the bucket `lake`."""
    from impl.run import secrets
    from tests.object_storage import SECRET, Server

    secrets.provide(SECRET)
    server = Server()
    server.bucket("lake")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    """A scheduler with the workers `anna` and `bert`, for tests that leave them whole."""
    pytest.importorskip("distributed", reason="a cluster needs `pip install -e '.[servers]'`")
    from tests.dask_cluster import DaskCluster

    cluster = DaskCluster(tmp_path_factory.mktemp("cluster"))
    yield cluster.start("anna", "bert")
    cluster.stop()


@pytest.fixture
def receiver():
    """A webhook that keeps what it is sent; its status can be set."""
    got = []

    class Take(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_POST(self):
            got.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(Take.status)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    server.got, server.take, server.address = got, Take, f"json://127.0.0.1:{server.server_address[1]}"
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Checkout:
    """Types commands in a checkout, with data in a folder of its own."""

    def __init__(self, root: Path, data: Path) -> None:
        self.root, self.data = root, data
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ETL_", "INVOKE_"))},
            "INVOKE_ETL_DATA": str(data),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def type(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """`invoke WORDS`, whatever comes of it."""
        return subprocess.run(
            [sys.executable, "-m", "invoke", *words],
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def invoke(self, *words: str, **environment: str) -> subprocess.CompletedProcess:
        """`invoke WORDS`, which has to go well."""
        done = self.type(*words, **environment)
        assert done.returncode == 0, f"invoke {' '.join(words)}\n{done.stderr}\n{done.stdout}"
        return done

    def query(self, sql: str) -> list[dict]:
        """The rows of `invoke store.query SQL --format json`, without another Python."""
        from impl.store import open_store, output

        return json.loads(output.as_json(open_store(self.data / "local/store").query(sql)))


@pytest.fixture
def checkout(tmp_path):
    """This checkout, with data in a folder of the test."""
    return Checkout(ROOT, tmp_path / "data")


@pytest.fixture(scope="session")
def _staged(tmp_path_factory):
    checkout = Checkout(ROOT, tmp_path_factory.mktemp("staged"))
    checkout.invoke("region.stage")
    return checkout


@pytest.fixture
def staged(_staged, tmp_path):
    """This checkout with the boundaries staged from the sample; the test may do with them what it likes."""
    return Checkout(ROOT, Path(shutil.copytree(_staged.data, tmp_path / "data")))


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """This checkout with everything built from the sample, once, for all tests that only look."""
    checkout = Checkout(ROOT, tmp_path_factory.mktemp("built"))
    checkout.first = checkout.invoke("all.build")
    return checkout


@pytest.fixture
def rebuilt(built, tmp_path):
    """A copy of `built`, which the test may do with what it likes."""
    return Checkout(ROOT, Path(shutil.copytree(built.data, tmp_path / "data")))


@pytest.fixture
def whole_mirror(built, tmp_path):
    """A folder with all raw files of `built` under their own names, which the test may damage."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for file in (built.data / "local/raw").rglob("*.*"):
        shutil.copy2(file, folder / file.name)
    return folder


@pytest.fixture(scope="session")
def _copy_of_checkout(tmp_path_factory):
    root = tmp_path_factory.mktemp("copy") / "checkout"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        if name.startswith("impl/ncproj/") or not (ROOT / name).exists():
            continue
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, root / name)
    # Bytecode by the content of its source: each command is quicker, and sees what a test writes within the same second.
    for folder in (root / "impl", root / "task"):
        compileall.compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    (root / "impl/ncproj").symlink_to(ROOT / "impl/ncproj")
    return root


@pytest.fixture
def copy_of_checkout(_copy_of_checkout, tmp_path):
    """A copy of the tracked files, for tests that write modules. The crate is shared: it takes minutes to compile."""
    return Checkout(Path(shutil.copytree(_copy_of_checkout, tmp_path / "checkout", symlinks=True)), tmp_path / "data")
