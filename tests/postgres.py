"""A real PostgreSQL with PostGIS for tests: a private cluster on a free port of 127.0.0.1, gone with its fixture."""

import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

# Nothing in a test has to outlive a power cut.
SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "max_connections": "60"}


def binaries():
    """The folder of the newest PostgreSQL server that has PostGIS; where there is none the test is skipped."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda one: int(one.parent.name))
    with_postgis = [one for one in found if Path(f"/usr/share/postgresql/{one.parent.name}/extension/postgis.control").exists()]
    if not with_postgis:
        pytest.skip("PostgreSQL with PostGIS is not installed (Debian: apt-get install postgresql-15-postgis-3)")
    return with_postgis[-1]


class Cluster:
    """Started in a temporary folder, as an unprivileged user: PostgreSQL refuses to run as root."""

    def __init__(self, **settings):
        self.settings = {**SETTINGS, **settings}
        self.bin = binaries()
        self.folder = Path(tempfile.mkdtemp(prefix="etl-postgres-"))
        self.user = None
        if os.geteuid() == 0:
            known = [one.pw_name for one in pwd.getpwall() if one.pw_name in ("postgres", "nobody")]
            self.user = "postgres" if "postgres" in known else known[0]
            account = pwd.getpwnam(self.user)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
        self.folder.chmod(0o700)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._run(
            "initdb", "-D", self.folder / "data", "-U", "etl", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"
        )
        self.start()
        # Stores are loaded by a user of their own, who makes schemas and roles and is no superuser.
        self.sql("create role loader login createrole createdb; create extension postgis", "template1")

    def start(self):
        settings = {**self.settings, "listen_addresses": "127.0.0.1", "unix_socket_directories": str(self.folder)}
        options = " ".join(["-p", str(self.port), *(f"-c {name}={value}" for name, value in settings.items())])
        self._run("pg_ctl", "-D", self.folder / "data", "-w", "-l", self.folder / "log", "-o", options, "start")

    def stop(self):
        """At once, as a crash does."""
        self._run("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder)

    def address(self, database="etl", user="loader", **query):
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{'?' + asked if asked else ''}"

    def sql(self, text, database="etl", user="etl"):
        """What `psql` answers: a list of rows, each a list of texts."""
        words = ["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", self.address(database, user), "-c", text]
        done = subprocess.run([self.bin / "psql", *words], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"psql: {done.stderr}\n{text}")
        return [line.split("\t") for line in done.stdout.splitlines()]

    def loads(self):
        """How many sessions work on something, beside the one that asks."""
        asked = "select count(*) from pg_stat_activity where state <> 'idle' and pid <> pg_backend_pid() and backend_type = 'client backend'"
        return int(self.sql(asked)[0][0])

    def wait_until(self, condition, seconds=120):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "what was waited for did not come"
            time.sleep(0.02)

    def _run(self, program, *words):
        # The server that pg_ctl starts would keep a pipe open, so its output goes to a file.
        with open(self.folder / "output", "w+") as said:
            done = subprocess.run(
                [str(self.bin / program), *map(str, words)],
                cwd="/",
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        if done.returncode:
            logs = [one.read_text() for one in (self.folder / "output", self.folder / "log") if one.exists()]
            raise AssertionError(f"{program} ended with {done.returncode}: {''.join(logs)}")


def schema_for(place):
    """A name for the schema of one test, from the folder of that test."""
    return "t" + re.sub(r"[^a-z0-9]", "", str(place).lower())[-40:]
