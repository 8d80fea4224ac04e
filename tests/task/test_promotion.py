"""Three real environments on one machine: a local lake, a development and a production database."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from impl.run.errors import EtlError
from impl.store import open_store

SECRET = "planted-word-4711"


class Three:
    """A clean git checkout with `local` in a folder, `development` and `production` in databases of their own."""

    def __init__(self, checkout, postgres, name):
        self.checkout, self.postgres, self.root, self.data = checkout, postgres, checkout.root, checkout.data
        self.databases = {which: f"{which}_{name}" for which in ("dev", "prod")}
        for database in self.databases.values():
            postgres.sql(f'create database "{database}"', "postgres")
        address = f"postgresql://etl:${{DB_WORD}}@127.0.0.1:{postgres.port}"
        self.settings = {
            "etl": {
                "data": str(self.data),
                "environments": {
                    "development": {"store": f"{address}/{self.databases['dev']}"},
                    "production": {"store": f"{address}/{self.databases['prod']}?schema=climate"},
                },
            },
            "macav2": {"years": "2005", "variables": "pr"},
        }
        checkout.environment |= {"INVOKE_RUNTIME_CONFIG": str(self.data.parent / "settings.json"), "DB_WORD": SECRET}
        checkout.environment["INVOKE_ETL_JOBS"] = "1"  # with so few rows a second process costs more than it brings
        self.configure()
        for words in (["init", "-q"], ["config", "user.email", "a@b.c"], ["config", "user.name", "A"]):
            self.git(*words)
        self.commit()

    def configure(self, **etl):
        (self.data.parent / "settings.json").write_text(json.dumps({**self.settings, "etl": {**self.settings["etl"], **etl}}))

    def git(self, *words):
        return subprocess.run(["git", *words], cwd=self.root, check=True, capture_output=True, text=True).stdout

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "as it is now")

    def edit(self, name, old, new):
        path = self.root / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def develop(self, *words):
        return self.checkout.invoke(*(words or ("region.stage",)), ETL_ENV="development")

    def promote(self, **more):
        return self.checkout.type("promote.run", "--datasets", "region", **more)

    def live(self):
        return open_store(self.postgres.address(self.databases["prod"], schema="climate"))


@pytest.fixture
def three(copy_of_checkout, postgres, tmp_path):
    return Three(copy_of_checkout, postgres, f"{os.getpid()}_{abs(hash(str(tmp_path))) % 10**8}")


def test_all_of_it_goes_live_and_comes_back(three):
    del three.checkout.environment["INVOKE_ETL_JOBS"]  # side by side
    three.develop("all.build")
    plan = three.checkout.invoke("promote.plan").stdout
    assert "[+] macav2_county  new, 124,830 rows" in plan and "refused" not in plan
    three.checkout.invoke("promote.run")
    shown = open_store(three.postgres.address(three.databases["dev"]))
    assert three.live().names() == ["macav2_county", "region_county", "region_state"] == shown.names()
    for name in shown.names():
        assert three.live().facts(name).fingerprint == shown.facts(name).fingerprint
    assert "[|] macav2_county  unchanged" in three.checkout.invoke("promote.plan").stdout
    assert "nothing differs" in three.checkout.invoke("promote.run").stderr
    three.checkout.invoke("promote.rollback")
    assert three.live().names() == []
    refused = three.checkout.type("promote.rollback")
    assert refused.returncode == 1 and "no promotion to take back" in refused.stderr


def test_a_line_of_code_goes_the_whole_way_while_readers_look_on(three):
    three.develop()
    assert three.promote().returncode == 0
    before = three.live().facts("region_county").fingerprint
    three.edit("task/region.py", '"name": "{NAME10}"', '"name": "{NAME10} (2010)"')

    refused = three.promote()
    assert refused.returncode == 1 and "this checkout has changes: task/region.py" in refused.stderr
    three.commit()
    refused = three.promote()
    assert refused.returncode == 1 and "this checkout is at" in refused.stderr and "is not up to date" in refused.stderr
    three.develop()
    plan = three.checkout.invoke("promote.plan", "--datasets", "region").stdout
    assert "[~] region_county  342 rows changed" in plan and "changed: gis_join=" in plan and "refused" not in plan
    assert three.live().facts("region_county").fingerprint == before

    seen, errors, over = set(), [], threading.Event()

    def look():
        reader = three.live()
        question = "select count(*) as n, count(*) filter (where name like '%(2010)') as fresh from region_county"
        while not over.is_set():
            try:
                [row] = reader.query(question).to_pylist()
                seen.add((row["n"], row["fresh"]))
            except EtlError as error:
                errors.append(str(error))

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    time.sleep(0.2)
    done = three.promote()
    time.sleep(0.2)
    three.checkout.invoke("promote.rollback")
    assert three.live().facts("region_county").fingerprint == before
    again = three.promote()
    time.sleep(0.2)
    over.set()
    for reader in readers:
        reader.join()
    assert (done.returncode, again.returncode) == (0, 0), done.stderr + again.stderr
    assert errors == []
    assert seen == {(342, 0), (342, 342)}  # the old rows or the new ones, never none, never some of them


def test_other_raw_files_in_production_are_refused_and_it_stays(three, tmp_path):
    three.checkout.invoke("region.stage")
    mirrors = {"development": tmp_path / "one", "production": tmp_path / "other"}
    for name, mirror in mirrors.items():
        mirror.mkdir()
        for file in (three.data / "local/raw/region").glob("*.zip"):
            (mirror / file.name).write_bytes(file.read_bytes())
        three.settings["etl"]["environments"][name]["source"] = f"mirror:{mirror}"
    with open(mirrors["production"] / "tl_2010_us_state10.zip", "ab") as file:
        file.write(b" ")  # a zip may have bytes behind its end: the same rows, another file
    three.configure()
    three.develop()
    refused = three.promote()
    assert refused.returncode == 1, refused.stderr
    assert "1 raw file is not that of development" in refused.stderr and "tl_2010_us_state10.zip" in refused.stderr
    assert three.live().names() == []
    (mirrors["production"] / "tl_2010_us_state10.zip").write_bytes(
        (mirrors["development"] / "tl_2010_us_state10.zip").read_bytes()
    )
    assert three.promote().returncode == 0
    with open(mirrors["development"] / "tl_2010_us_state10.zip", "ab") as file:
        file.write(b" ")
    refused = three.promote()  # the pin of development changed since its run
    assert "development is not up to date: region.state.raw" in refused.stderr


def test_what_development_has_not_shown_is_refused(three):
    refused = three.promote()
    assert "development has no collection `region_county`" in refused.stderr and refused.returncode == 1
    three.develop()
    three.postgres.sql("update etl.region_state set name = 'x'", three.databases["dev"])
    refused = three.promote()
    assert "`region_state` in development is no longer what the run" in refused.stderr
    assert three.live().names() == []


def test_nothing_is_done_by_hand_in_production(three):
    for words in (["region.stage"], ["all.build"], ["region.clean"]):
        refused = three.checkout.type(*words, ETL_ENV="production")
        assert refused.returncode == 1 and "promote.plan" in refused.stderr
    three.checkout.invoke("region.stage", "--direct", "production", ETL_ENV="production")
    assert three.live().names() == ["region_county", "region_state"]


def test_a_promotion_that_is_killed_leaves_what_is_live(three):
    del three.checkout.environment["INVOKE_ETL_JOBS"]  # with workers to kill
    three.develop()
    assert three.promote().returncode == 0
    before = {name: three.live().facts(name).fingerprint for name in three.live().names()}
    three.edit("task/region.py", '"name": "{NAME10}"', '"name": "{NAME10}?"')
    three.commit()
    three.develop()
    wanted = open_store(three.postgres.address(three.databases["dev"])).facts("region_county").fingerprint
    command = [sys.executable, "-m", "invoke", "promote.run", "--datasets", "region"]
    for wait in (0.5, 1.0, 1.5, 1.9, 2.2):
        process = subprocess.Popen(
            command,
            cwd=three.root,
            env=three.checkout.environment,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        three.postgres.wait_until(lambda: three.postgres.loads() == 0)
        now = {name: three.live().facts(name).fingerprint for name in three.live().names()}
        assert now == before or now["region_county"] == wanted  # all of the old, or all of the new
        assert three.live().read("region_county").num_rows == 342
    assert three.promote().returncode == 0
    assert three.live().facts("region_county").fingerprint == wanted


def test_the_secret_is_nowhere(three):
    three.develop()
    said = three.checkout.invoke("promote.run", "--datasets", "region")
    broken = three.checkout.type(
        "region.stage",
        "--direct",
        "production",
        ETL_ENV="production",
        ETL_STORE=f"postgresql://etl:${{DB_WORD}}@127.0.0.1:{three.postgres.port}/nowhere",
    )
    shown = three.checkout.invoke("env.show", ETL_ENV="production")
    records = three.checkout.invoke("runs.show", "last", "--json", ETL_ENV="production")
    assert broken.returncode == 1
    for text in (said.stdout, said.stderr, broken.stderr, broken.stdout, shown.stdout, records.stdout):
        assert SECRET not in text
    holding = [path for path in three.data.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert holding == []
    tables = three.postgres.sql("select facts::text from climate._collections", three.databases["prod"])
    assert SECRET not in str(tables)


def test_between_two_lakes(three):
    three.settings["etl"]["environments"] = {}
    three.configure()
    three.develop()
    assert three.promote().returncode == 0
    live = open_store(three.data / "production/store")
    before = live.facts("region_county")
    assert before.rows == 342 and not (three.data / "production/store.next/region_county").exists()
    three.edit("task/region.py", '"name": "{NAME10}"', '"name": "{NAME10} (2010)"')
    three.commit()
    three.develop()
    done = three.promote()
    assert done.returncode == 0, done.stderr
    assert live.facts("region_county").fingerprint != before.fingerprint
    three.checkout.invoke("promote.rollback")
    assert live.facts("region_county").fingerprint == before.fingerprint
    assert live.facts("region_county").columns == before.columns


def test_a_check_that_fails_in_development_goes_no_further(three):
    three.develop()
    assert three.promote().returncode == 0
    before = three.live().facts("region_county").fingerprint
    three.edit(
        "task/region.py",
        'accepted_range("area_km2", low=smallest, high=largest)',
        'accepted_range("area_km2", low=-2, high=-1)',
    )
    three.commit()
    failed = three.checkout.type("region.stage", "--jobs", "1", ETL_ENV="development")  # the counties fail first
    assert failed.returncode == 1 and "rejected_region_county" in failed.stderr
    shown = open_store(three.postgres.address(three.databases["dev"]))
    assert shown.facts("region_county").fingerprint == before  # the version before stays, in development too
    assert shown.facts("rejected_region_county").rows == 342
    refused = three.promote()
    assert refused.returncode == 1 and "the newest run of development ended with failure" in refused.stderr
    assert three.live().facts("region_county").fingerprint == before
