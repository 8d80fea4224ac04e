"""Three real environments on one machine: a local lake, a development and a production database."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import deltalake
import pyarrow
import pyarrow.parquet
import pytest

from impl.run.errors import EtlError
from impl.store import open_store
from impl.store.switch import candidate_of
from tests.object_storage import SECRET as S3_SECRET
from tests.object_storage import prefix_for

SECRET = "planted-word-4711"


class Three:
    """A clean git checkout with `local` in a folder, `development` and `production` in databases of their own."""

    def __init__(self, checkout, postgres, name):
        self.checkout, self.postgres, self.root, self.data = checkout, postgres, checkout.root, checkout.data
        self.databases = {which: f"{which}_{name}" for which in ("dev", "prod")}
        for database in self.databases.values():
            postgres.sql(f'create database "{database}" owner loader', "postgres")
        address = f"postgresql://loader:${{DB_WORD}}@127.0.0.1:{postgres.port}"
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

    def in_lakes(self, address=None):
        """Development and production are lakes from now on, in folders or below an `address`; the live one."""
        homes = {name: address(name) if address else f"{self.data / name}/store" for name in ("development", "production")}
        self.settings["etl"]["environments"] = {name: {"store": home} for name, home in homes.items()} if address else {}
        self.configure()
        return [open_store(home) for home in homes.values()]

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
    three.checkout.invoke("promote.run", "--datasets", "census,region")  # a part of what the run was about
    assert three.live().names() == ["census_county", "region_county", "region_state"]
    three.checkout.invoke("promote.rollback")
    three.checkout.invoke("promote.run")
    shown = open_store(three.postgres.address(three.databases["dev"]))
    assert three.live().names() == ["census_county", "macav2_county", "region_county", "region_state"] == shown.names()
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
    assert "`region_state` in development is no longer whole, others changed its rows" in refused.stderr
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


def states(three):
    """The state of each promotion to production, oldest first."""
    folder = three.data / "production/state/promotions"
    return [json.loads(path.read_text())["state"] for path in sorted(folder.glob("*.json"))]


def candidate(three, live):
    """The candidate of the last promotion to a lake."""
    last = sorted((three.data / "production/state/promotions").glob("*.json"))[-1]
    return open_store(candidate_of(live.address, json.loads(last.read_text())["candidate"]))


def fingerprints(store):
    return {name: store.facts(name).fingerprint for name in ("region_county", "region_state")}


def new_names_in_development(three):
    """Another name for each county and state; the fingerprints that development then has."""
    three.edit("task/region.py", '"name": "{NAME10}', '"name": "{NAME10}!')
    three.commit()
    three.develop()


def test_a_promotion_killed_inside_the_transaction_of_the_switch_never_was(three):
    from adbc_driver_postgresql import dbapi

    three.develop()
    assert three.promote().returncode == 0
    before = fingerprints(three.live())
    new_names_in_development(three)
    wanted = fingerprints(open_store(three.postgres.address(three.databases["dev"])))
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%\"climate\".\"region_state\"%'"

    def kill_in_the_switch():
        reader = dbapi.connect(three.postgres.address(three.databases["prod"]))
        with reader.cursor() as cursor:  # nobody may write to the second of the two tables, the first has its new rows
            cursor.execute("lock table climate.region_state in share mode")
        process = subprocess.Popen(
            [sys.executable, "-m", "invoke", "promote.run", "--datasets", "region"], cwd=three.root,
            env=three.checkout.environment, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        three.postgres.wait_until(lambda: three.postgres.sql(waiting, three.databases["prod"]) != [], seconds=60)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert three.live().read("region_county").num_rows == 342  # though the other table is still held
        reader.close()
        assert fingerprints(three.live()) == before and states(three)[-1] == "switching"

    kill_in_the_switch()
    assert "region_county is as before, region_state is as before" in three.checkout.invoke("promote.plan").stdout
    assert three.promote().returncode == 0
    assert fingerprints(three.live()) == wanted and states(three) == ["live", "failed", "live"]
    three.checkout.invoke("promote.rollback")
    assert fingerprints(three.live()) == before

    kill_in_the_switch()  # and here `rollback` finds it: it has changed nothing, and the good one before it stays
    assert "changed anything: what is live in production stays" in three.checkout.invoke("promote.rollback").stderr
    assert fingerprints(three.live()) == before and states(three) == ["live", "failed", "taken back", "failed"]
    three.checkout.invoke("promote.rollback")
    assert states(three) == ["taken back", "failed", "taken back", "failed"] and three.live().names() == []


def test_a_second_rollback_takes_nothing_away_that_the_database_no_longer_keeps(three):
    three.develop()
    live = []
    for _ in range(3):
        assert three.promote().returncode == 0
        live.append(fingerprints(three.live()))
        new_names_in_development(three)
    three.checkout.invoke("promote.rollback")
    assert fingerprints(three.live()) == live[1]
    refused = three.checkout.type("promote.rollback")
    assert refused.returncode == 1 and "what `region_county` was before the promotion" in refused.stderr
    assert fingerprints(three.live()) == live[1]


ENDS_IN_BETWEEN = """
import os, signal, sys
from impl.run.errors import EtlError
from impl.store.lake import Writing
commit, done = Writing.commit, []
def commit_one(self):
    if not self._anew or ".previous" in self._lake.home:
        return commit(self)
    if done and how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if done:
        raise EtlError("the disk is full")
    done.append(self.name)
    return commit(self)
Writing.commit = commit_one
how, sys.argv = sys.argv[1], ["invoke", *sys.argv[2:]]
from invoke.main import program
program.run()
"""


def ends_in_between(three, how, *words):
    """`invoke WORDS`, and it ends when the first collection has changed places and the second has not."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS_IN_BETWEEN, how, *words],
        cwd=three.root,
        env=three.checkout.environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == (-signal.SIGKILL if how == "killed" else 1), done.stderr
    said = "region_county is switched, region_state is as before"
    assert how == "killed" or ("the disk is full" in done.stderr and said in done.stderr)


ENDS = ["killed", "failed", "killed, candidate lost", "killed, rollback", "killed rollback"]


@pytest.mark.parametrize(
    ("lakes", "after"), [*(("folder", end) for end in ENDS), ("s3", ENDS[0]), ("s3", ENDS[-1])], indirect=["lakes"]
)
def test_a_lake_whose_switch_ended_between_two_collections_mends_itself(three, lakes, after):
    development, live = lakes
    three.develop()
    assert three.promote().returncode == 0
    city = live.replace("region_city", [{"gis_join": "G08", "name": "Boulder"}], key="gis_join")
    with_city, without = ["region_city", "region_county", "region_state"], ["region_county", "region_state"]
    words = ["promote.run", "--datasets", "region", "--remove-orphans"]
    before = fingerprints(live)
    new_names_in_development(three)
    wanted = fingerprints(development)
    seen, errors, over = set(), [], threading.Event()

    def look(name):
        while not over.is_set():
            try:
                [row] = live.query(
                    f"select count(*) as n, count(*) filter (where name like '%!') as fresh from {name}"
                ).to_pylist()
                seen.add((name, row["n"], row["fresh"]))
            except EtlError as error:
                errors.append(error)

    readers = [threading.Thread(target=look, args=(name,)) for name in before]
    for reader in readers:
        reader.start()
    try:
        half = {"region_county": wanted["region_county"], "region_state": before["region_state"]}
        if after == "killed rollback":
            three.checkout.invoke(*words)
            ends_in_between(three, "killed", "promote.rollback")
            half = {"region_county": before["region_county"], "region_state": wanted["region_state"]}
        else:
            ends_in_between(three, after.partition(",")[0], *words)
        assert fingerprints(live) == half and live.names() == (without if after == "killed rollback" else with_city)
        plan = three.checkout.invoke("promote.plan", "--datasets", "region").stdout
        assert "in the middle of" in plan and "is switched" in plan and "is as before" in plan
        if "rollback" in after:
            three.checkout.invoke("promote.rollback")
            assert fingerprints(live) == before and states(three) == ["live", "taken back"]
        else:
            if "lost" in after:
                candidate(three, live).drop("region_state")
            done = three.promote()
            assert done.returncode == 0, done.stderr
            assert fingerprints(live) == wanted and live.names() == (with_city if "lost" in after else without)
            assert states(three) == (["live", "failed", "live"] if "lost" in after else ["live", "live", "nothing to do"])
            three.checkout.invoke("promote.rollback")
            assert fingerprints(live) == before
    finally:
        over.set()
        for reader in readers:
            reader.join()
    assert live.names() == with_city and live.facts("region_city").fingerprint == city.fingerprint
    assert errors == []
    assert seen <= {("region_county", 342, 0), ("region_county", 342, 342), ("region_state", 5, 0), ("region_state", 5, 5)}


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


@pytest.fixture(params=["folder", "s3"])
def lakes(request, three, tmp_path):
    """The stores of development and production, both of them lakes."""
    if request.param == "folder":
        return three.in_lakes()
    server, prefix = request.getfixturevalue("s3_server"), prefix_for(tmp_path)
    three.checkout.environment |= S3_SECRET
    return three.in_lakes(lambda name: server.address("lake", f"{prefix}/{name}"))


def test_between_two_lakes(three, lakes):
    development, live = lakes
    three.develop()
    assert three.promote().returncode == 0
    before = live.facts("region_county")
    assert before.rows == 342 and before.fingerprint == development.facts("region_county").fingerprint
    assert candidate(three, live).names() == []
    status = three.checkout.invoke("all.status", "--only", "region", ETL_ENV="production").stdout
    assert "6 of 6 up to date" in status  # what was built in the candidate is what is live
    three.edit("task/region.py", '"name": "{NAME10}"', '"name": "{NAME10} (2010)"')
    three.commit()
    three.develop()
    done = three.promote()
    assert done.returncode == 0, done.stderr
    assert live.facts("region_county").fingerprint != before.fingerprint
    three.checkout.invoke("promote.rollback")
    assert live.facts("region_county").fingerprint == before.fingerprint
    assert live.facts("region_county").columns == before.columns


@pytest.mark.parametrize("home", ["postgis", "lake"])
def test_what_no_dataset_fills_any_more_stays_until_it_is_told_to_go(three, home):
    live = three.in_lakes()[1] if home == "lake" else three.live()
    three.develop()
    city = live.replace("region_city", [{"gis_join": "G08", "name": "Boulder"}], key="gis_join", columns={"name": "its name"})
    rows = [{"gis_join": "G08", "year": year, "rain_mm": 1.5} for year in (2004, 2005)]
    rain = live.replace("gridmet_county", rows, key=["gis_join", "year"], partition_by=["year"])
    live.replace("region_rain", rows, key=["gis_join", "year"], source="gauges; document rain/earthmover.yaml")  # by hand
    plan = three.checkout.invoke("promote.plan", "--datasets", "region").stdout
    assert "[-] region_city  no dataset fills it any more; it stays, unless you add --remove-orphans" in plan
    assert "region_rain" not in plan and "gridmet_county" not in plan  # it is named after a dataset that is not asked for
    assert three.promote().returncode == 0
    assert live.names() == ["gridmet_county", "region_city", "region_county", "region_rain", "region_state"]

    words = ["--datasets", "region", "--remove-orphans"]
    plan = three.checkout.invoke("promote.plan", *words).stdout
    assert "[-] region_city  no dataset fills it any more\n" in plan and "--remove-orphans` does it" in plan
    done = three.checkout.invoke("promote.run", *words)  # all else is unchanged
    assert "[-] region_city is gone from production" in done.stderr
    assert live.names() == ["gridmet_county", "region_county", "region_rain", "region_state"]
    three.checkout.invoke("promote.rollback")
    assert live.facts("region_city").fingerprint == city.fingerprint
    assert [column.meaning for column in live.facts("region_city").columns] == ["", "its name"]

    new_names_in_development(three)  # with something that changes, and a table by years
    three.develop("all.build")
    three.checkout.invoke("promote.run", "--remove-orphans")
    assert live.names() == ["census_county", "macav2_county", "region_county", "region_rain", "region_state"]
    assert live.query("select count(*) as n from region_county where name like '%!'").to_pylist() == [{"n": 342}]
    three.checkout.invoke("promote.rollback")
    assert live.names() == ["gridmet_county", "region_city", "region_county", "region_rain", "region_state"]
    assert live.facts("gridmet_county").fingerprint == rain.fingerprint
    assert sorted(live.read("gridmet_county").column("year").to_pylist()) == [2004, 2005]
    assert live.query("select count(*) as n from region_county where name like '%!'").to_pylist() == [{"n": 0}]


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


def test_one_message_for_each_promotion_and_the_one_after_a_failure_says_so(three, receiver, tmp_path):
    (tmp_path / "empty").mkdir()
    environments = {"production": {"source": f"mirror:{tmp_path / 'empty'}", "notify": receiver.address}}
    three.settings["etl"]["environments"] = environments  # both are lakes
    three.configure()
    three.develop()
    assert three.promote().returncode == 1  # there are no raw files
    del environments["production"]["source"]
    three.configure()
    assert three.promote().returncode == 0
    assert "nothing differs" in three.promote().stderr
    titles = [
        (body["type"], body["title"].removeprefix("production: promote.run from development ")) for _, body in receiver.got
    ]
    assert titles == [("failure", "failed"), ("info", "works again"), ("success", "done")]
    states = [line.split()[1] for line in three.checkout.invoke("promote.list").stdout.splitlines()]
    assert states == ["failed", "live", "nothing"]
    failed = three.checkout.invoke("promote.list").stdout.split()[0]
    texts = [body["message"] for _, body in receiver.got]
    live = three.checkout.invoke("promote.list").stdout.splitlines()[1].split()[0]
    three.checkout.invoke("promote.rollback")
    *_, (_, taken_back) = receiver.got
    assert (taken_back["type"], taken_back["title"]) == ("success", "production: promote.rollback done")
    assert f"run {live} on " in taken_back["message"]
    assert (
        three.checkout.type("promote.rollback").returncode == 1 and len(receiver.got) == 4
    )  # there is none: a mistake in typing
    assert f"the run before, {failed}, had failed" in texts[1] and "checkpoints made" not in texts[1]
    assert "region_county: 342 rows" in texts[1]


def parquet(store, name):
    """The files of a collection of a lake in a folder, as they are now."""
    return [Path(store.home, name, file.path) for some in store.facts(name).files.values() for file in some]


def rewritten(file):
    """Another name in each row, as somebody could write it there."""
    table = pyarrow.parquet.read_table(file)
    place = table.schema.get_field_index("name")
    pyarrow.parquet.write_table(table.set_column(place, "name", pyarrow.array(["x"] * len(table))), file)


ENDS_AT_THE_SWITCH = """
import os, signal, sys
from impl import promote
promote.switch = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
sys.argv = ["invoke", *sys.argv[1:]]
from invoke.main import program
program.run()
"""


def killed_at_the_switch(three):
    words = ["promote.run", "--datasets", "region"]
    done = subprocess.run(
        [sys.executable, "-c", ENDS_AT_THE_SWITCH, *words], cwd=three.root, env=three.checkout.environment, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL and states(three)[-1] == "switching"


def test_what_is_lost_in_production_or_development_is_said_and_made_again(three):
    development, live = three.in_lakes()
    three.develop()
    assert three.promote().returncode == 0
    wanted = fingerprints(live)
    parquet(live, "region_state")[0].unlink()
    rewritten(parquet(live, "region_county")[0])
    plan = three.checkout.invoke("promote.plan", "--datasets", "region").stdout
    assert "[!] region_state  lost, and made again:" in plan and "is missing" in plan
    assert "[!] region_county  lost, and made again:" in plan and "bytes, the log says" in plan
    found = three.checkout.type("store.verify", "--deep", ETL_ENV="production")
    assert found.returncode == 1 and "[!] region_state" in found.stdout and "invoke promote.run" in found.stderr
    assert three.promote().returncode == 0
    assert fingerprints(live) == wanted and all(live.verify(name, deep=True) == [] for name in live.names())
    assert "nothing differs" in three.promote().stderr

    parquet(development, "region_state")[0].unlink()
    refused = three.promote()
    assert refused.returncode == 1 and "`region_state` in development is no longer whole" in refused.stderr
    found = three.checkout.type("store.verify", "--collection", "region_state", ETL_ENV="development")
    assert found.returncode == 1 and "hint: `invoke region.state.stage` makes it again" in found.stderr
    three.develop("region.state.stage")
    assert three.checkout.invoke("store.verify", "--deep", ETL_ENV="development").stdout.count("[|]") == 2
    three.develop()
    assert "nothing differs" in three.promote().stderr


def test_a_rollback_that_somebody_made_impossible_changes_nothing_and_promotion_goes_on(three):
    _, live = three.in_lakes()
    three.develop()
    assert three.promote().returncode == 0
    new_names_in_development(three)
    assert three.promote().returncode == 0
    new = fingerprints(live)
    table = deltalake.DeltaTable(Path(live.home, "region_state"))
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    refused = three.checkout.type("promote.rollback")
    assert refused.returncode == 1 and "what `region_state` was before the promotion" in refused.stderr
    assert fingerprints(live) == new and states(three) == ["live", "live"]

    table.alter.set_table_properties({"delta.appendOnly": "true"})
    three.edit("task/region.py", '"name": "{NAME10}', '"name": "{NAME10}?')
    three.commit()
    three.develop()
    refused = three.promote()
    assert refused.returncode == 1 and "`region_state` takes no rows away" in refused.stderr and fingerprints(live) == new
    command = refused.stderr.split("Take it away: `")[1].split("`")[0]
    subprocess.run(command.replace("python ", f"{sys.executable} ", 1), shell=True, check=True)
    assert three.promote().returncode == 0
    assert fingerprints(live) != new
    three.checkout.invoke("promote.rollback")
    assert fingerprints(live) == new


@pytest.mark.parametrize("how", ["rewritten", "rewritten unseen", "lost", "whole"])
def test_a_candidate_that_was_changed_after_a_kill_is_made_again(three, how):
    development, live = three.in_lakes()
    three.develop()
    assert three.promote().returncode == 0
    old = fingerprints(live)
    new_names_in_development(three)
    killed_at_the_switch(three)
    file = parquet(candidate(three, live), "region_state")[0]
    before = file.stat()
    if how == "lost":
        file.unlink()
    elif how != "whole":
        rewritten(file)
    if how == "rewritten unseen":
        with open(file, "ab") as more:  # as many bytes, at the same time
            more.truncate(before.st_size)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    else:
        assert "changed anything: what is live in production stays" in three.checkout.invoke("promote.rollback").stderr
        assert fingerprints(live) == old
    done = three.promote()
    assert done.returncode == 0, done.stderr
    assert ("[|] region.state.load" in done.stderr) == (how in ("whole", "rewritten unseen"))
    assert fingerprints(live) == fingerprints(development) and live.verify("region_state", deep=True) == []
    three.checkout.invoke("promote.rollback")
    assert fingerprints(live) == old


def test_where_a_switch_can_neither_be_ended_nor_taken_back_the_next_promotion_leads_on(three):
    development, live = three.in_lakes()
    three.develop()
    assert three.promote().returncode == 0
    new_names_in_development(three)
    ends_in_between(three, "killed", "promote.run", "--datasets", "region")
    candidate(three, live).drop("region_state")
    table = deltalake.DeltaTable(Path(live.home, "region_county"))
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    refused = three.checkout.type("promote.rollback")
    assert refused.returncode == 1 and "what `region_county` was before" in refused.stderr
    done = three.promote()
    assert done.returncode == 0 and "what was before is no longer kept" in done.stderr, done.stderr
    assert fingerprints(live) == fingerprints(development)


def test_two_promotions_from_two_checkouts_do_not_meet(three, tmp_path):
    environments = {name: {"store": str(tmp_path / name)} for name in ("development", "production")}
    development, live = (open_store(one["store"]) for one in environments.values())
    three.settings["etl"]["environments"] = environments
    three.configure()
    three.develop()
    other = tmp_path / "other"
    shutil.copytree(three.data, other)
    (tmp_path / "other.json").write_text(
        json.dumps({**three.settings, "etl": {"data": str(other), "environments": environments}})
    )
    words = [sys.executable, "-m", "invoke", "promote.run", "--datasets", "region"]
    both = [
        subprocess.Popen(words, cwd=three.root, env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        for environment in (
            three.checkout.environment,
            {**three.checkout.environment, "INVOKE_RUNTIME_CONFIG": str(tmp_path / "other.json")},
        )
    ]
    said = [one.communicate()[1] for one in both]
    ended = [one.returncode for one in both]
    assert 0 in ended, said
    refused = [text for text, code in zip(said, ended, strict=True) if code]
    assert all("another promotion is at work in this store" in text and "process" in text for text in refused), said
    assert fingerprints(live) == fingerprints(development) and live.verify("region_county", deep=True) == []


def test_the_store_is_tidied_once_a_day_by_whatever_runs(three):
    development, _ = three.in_lakes()
    three.develop()

    def orphan(name):
        file = Path(development.home, "region_state", name)
        file.write_bytes(b"left by a killed load")
        os.utime(file, (time.time() - 10 * 86400,) * 2)
        return file

    first, marker = orphan("a.parquet"), three.data / "development/state/tidied"
    three.develop("region.stage")
    assert first.exists()  # today it was done already
    os.utime(marker, (time.time() - 2 * 86400,) * 2)
    three.develop("region.stage")
    assert not first.exists() and development.verify("region_state", deep=True) == []


def test_one_store_under_two_names_is_refused(three):
    three.develop()
    address = f"postgresql://etl@localhost:{three.postgres.port}/{three.databases['dev']}?connect_timeout=9"
    three.settings["etl"]["environments"]["production"] = {"store": address}
    three.configure()
    refused = three.promote()
    assert refused.returncode == 1 and "development and production are the same store" in refused.stderr
    assert "etl.environments.production" in refused.stderr
    three.in_lakes()
    (three.data / "elsewhere").symlink_to(three.data / "development")
    three.settings["etl"]["environments"] = {"production": {"store": str(three.data / "elsewhere/store")}}
    three.configure()
    refused = three.promote()
    assert refused.returncode == 1 and "the same store" in refused.stderr


def test_after_a_change_of_a_helper_production_takes_what_development_shows_anew(three):
    """No checkpoint sees it: development was told to make the rows again, and production has those of before in its cache."""
    _, live = three.in_lakes()
    three.develop()
    assert three.promote().returncode == 0
    three.edit("impl/source/shapefile.py", '"area_km2": area}', '"area_km2": area + 1.0}')
    three.commit()
    three.develop("region.stage", "--force")
    done = three.promote()
    assert done.returncode == 0, done.stderr
    assert "made again from the raw files on" in done.stderr and ".raw " not in done.stderr.split("made again")[1]
    assert fingerprints(live) == fingerprints(open_store(f"{three.data}/development/store"))


GAUGES = """
\"\"\"Gauges, a part for each year.\"\"\"

from impl.run.checkpoint import checkpoint
from impl.run.namespace import dataset
from impl.steps import collection, kept_parts

YEARS = [2004, 2005]


def rows(target, year):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"gauge": ["a", "b"], "height": [1.0, float(year)]}), target)


def stage(c):
    yield kept_parts(c, "gauge.kept", "gauge_years", c.env.cache / "gauge/kept.json", [{"year": year} for year in YEARS])
    for year in YEARS:
        target = c.env.cache / f"gauge/{year}.parquet"
        yield checkpoint(f"gauge.{year}.rows", rows, target, year, targets=[target])
        yield collection(
            c, f"gauge.{year}.load", "gauge_years", target, key=["gauge", "year"], part={"year": year}, after=["gauge.kept"]
        )


namespace = dataset("gauge", stage=stage)
"""


@pytest.mark.parametrize("home", ["lake", "postgis"])
def test_years_that_are_no_longer_wanted_go_in_development_and_are_asked_for_in_production(three, home):
    if home == "lake":
        _, live = three.in_lakes()
    else:
        live = three.live()
    (three.root / "task/gauge.py").write_text(GAUGES)
    three.commit()
    words = ("promote.run", "--datasets", "gauge")
    three.develop("gauge.stage")
    three.checkout.invoke(*words)
    assert live.facts("gauge_years").rows == 4
    three.edit("task/gauge.py", "[2004, 2005]", "[2005, 2006]")
    three.commit()
    said = three.develop("gauge.stage").stderr
    assert "year=2004 taken out of gauge_years" in said
    plan = three.checkout.invoke("promote.plan", "--datasets", "gauge").stdout
    assert "[-] gauge_years  year=2004 with 2 rows would go; `promote.run` asks for --accept-removals" in plan
    refused = three.checkout.type(*words)
    assert refused.returncode == 1 and "gauge_years: year=2004 with 2 rows" in refused.stderr
    assert live.facts("gauge_years").rows == 4
    three.checkout.invoke(*words, "--accept-removals")
    years = {values[0] for values, part in live.facts("gauge_years").parts.items() if part.rows}
    assert years == {2005, 2006} and live.verify("gauge_years", deep=True) == []
    assert "nothing differs" in three.checkout.invoke(*words).stderr
    three.checkout.invoke("promote.rollback")
    assert live.facts("gauge_years").rows == 4
    if home == "postgis":  # nor do they go with what others did to the table
        three.postgres.sql("update climate.gauge_years set height = -1 where year = 2005", three.databases["prod"])
        refused = three.checkout.type(*words)
        assert refused.returncode == 1 and "gauge_years: year=2004 with 2 rows" in refused.stderr


def test_what_was_promoted_is_up_to_date_in_production(three):
    """`all.status` said `argument 1 changed` of every load: its rows were made beside what was live."""
    three.in_lakes()
    for name in ("{NAME10}", "{NAME10} (2010)"):  # all is new; then one changes and the other stays
        three.edit("task/region.py", '"name": "{NAME10}"', f'"name": "{name}"')
        three.commit()
        three.develop()
        done = three.promote()
        assert done.returncode == 0, done.stderr
    status = three.checkout.invoke("all.status", "--only", "region", ETL_ENV="production").stdout
    lines = [line for line in status.splitlines() if line.startswith("region.")]
    assert len(lines) == 6 and all("[|]" in line for line in lines), status
