"""Documents by partition, as a dataset says it and as people type it: here, on local workers and on a cluster."""

import json
import re

import pytest

from impl.store import open_store
from tests.conftest import ROOT, Checkout
from tests.object_storage import SECRET, prefix_for
from tests.postgres import schema_for

pytestmark = pytest.mark.slow

MODULE = '''
"""Trips between stations, one file a day; and the same by year."""

from impl.run.namespace import dataset
from impl.steps import document_collection, partitioned_collection, partitioned_document

KEY = ["day", "station"]


def stage(c):
    raw, cache = c.env.raw, c.env.cache / "trips"
    stations, days = raw / "stations.csv", sorted((raw / "trips").glob("*.csv"))
    years = [int(one.stem) for one in sorted((raw / "years").glob("*.csv"))]
    yield from partitioned_document(
        "trips.rows", "task/trips.yaml", over={"TRIPS": days}, reads={"STATIONS": stations},
        targets={"days": cache / "days.parquet", "lines": cache / "lines.jsonl", "table": cache / "table.csv"},
    )
    yield document_collection(c, "trips.load", "task/trips.yaml", "days", cache / "days.parquet")
    yield from partitioned_document(
        "trips.years", "task/years.yaml", over={"YEAR": years}, reads={"TRIPS": lambda year: raw / f"years/{year}.csv"},
        targets={"years": cache / "years.parquet"}, gathered=False,
    )
    yield from partitioned_collection(
        c, "trips.years.load", "trips_years", cache / "years.parquet", over={"YEAR": years}, column="year", key=KEY,
    )


namespace = dataset("trips", stage=stage)
'''
DOCUMENT = """\
version: 2
sources:
  trips: {file: "${TRIPS}"}
  stations: {file: "${STATIONS}"}
transformations:
  named:
    source: $sources.trips
    operations:
      - {operation: join, sources: [$sources.stations], join_type: left, left_key: station, right_key: station}
destinations:
  days:
    source: $transformations.named
    store: trips_days
    key: [day, station]
    types: {trips: integer}
    columns: {trips: [trips, trips of the day]}
    description: One row per station and day
    checks: [{accepted_range: {columns: trips, low: 0}}]
  lines: {source: $transformations.named, header: "[", footer: "]"}
  table: {source: $transformations.named, format: csv}
"""
YEARS = """\
version: 2
sources:
  trips: {file: "${TRIPS}"}
transformations:
  t: {source: $sources.trips, operations: [{operation: add_columns, columns: {year: "${YEAR}"}}]}
destinations:
  years: {source: $transformations.t, format: parquet, types: {trips: integer, year: integer}}
"""
BY_HAND = DOCUMENT.replace("version: 2\n", "version: 2\nconfig: {output_dir: out}\n").replace("trips_days", "days_by_hand")
DAYS = {"monday": "mo,A,3\nmo,B,4\n", "tuesday": "tu,A,1\n", "wednesday": "we,C,9\n"}
LINES = """\
[{ "day": "mo", "station": "A", "trips": "3", "name": "Abel" }
{ "day": "mo", "station": "B", "trips": "4", "name": "Bonn" }
{ "day": "tu", "station": "A", "trips": "1", "name": "Abel" }
{ "day": "we", "station": "C", "trips": "9", "name": "" }
]"""


def write(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.csv").write_text(f"day,station,trips\n{rows}")


class Trips(Checkout):
    """A checkout with a dataset of our own, and its raw files."""

    def __init__(self, root, data):
        super().__init__(root, data)
        (root / "task/trips.py").write_text(MODULE)
        (root / "task/trips.yaml").write_text(DOCUMENT)
        (root / "task/years.yaml").write_text(YEARS)
        self.raw, self.cache = data / "local/raw", data / "local/cache/trips"
        for day, rows in DAYS.items():
            write(self.raw / "trips", day, rows)
        for year in (2019, 2020):
            write(self.raw / "years", year, f"mo,A,{year - 2000}\n")
        (self.raw / "stations.csv").write_text("station,name\nA,Abel\nB,Bonn\n")
        self.environment["INVOKE_ETL_JOBS"] = "1"

    def stage(self, **environment):
        """The checkpoints that were made."""
        said = self.invoke("trips.stage", **environment).stderr
        return re.findall(r"^\[\+\] (\S+)", said, re.MULTILINE)

    def made(self):
        """Bytes of the files and fingerprints of the collections."""
        store = open_store(self.data / "local/store")
        files = {one.name: one.read_bytes() for one in self.cache.iterdir() if one.is_file()}
        return files, {name: store.facts(name).fingerprint for name in store.names()}


@pytest.fixture
def trips(copy_of_checkout):
    return Trips(copy_of_checkout.root, copy_of_checkout.data)


def test_the_result_is_the_same_here_on_local_workers_and_on_separate_ones(trips, tmp_path, two_workers):
    found = {}
    for name, where in {"one": "", "local": "dask:local:2", "separate": two_workers.address}.items():
        checkout = Trips(trips.root, tmp_path / name)
        said = checkout.invoke("trips.stage", ETL_CLUSTER=where).stderr
        found[name] = checkout.made()
        assert "[+]" not in checkout.invoke("trips.stage", ETL_CLUSTER=where).stderr
    assert set(re.findall(r"trips\.\S+ .* s on worker (\w+)$", said, re.MULTILINE)) == {"anna", "bert"}
    assert found["one"] == found["local"] == found["separate"]
    files, fingerprints = found["one"]
    assert files["lines.jsonl"].decode() == LINES
    assert files["table.csv"].decode().splitlines()[0] == "day,station,trips,name"
    assert len(files["table.csv"].splitlines()) == 5
    assert sorted(fingerprints) == ["trips_days", "trips_years"]


def test_only_the_partition_runs_whose_file_is_new_or_changed_and_one_that_is_gone_goes(trips):
    parts = [f"trips.rows.{day}" for day in DAYS]
    years = ["trips.years.2019", "trips.years.2020"]
    loads = ["trips.years.load.kept", "trips.years.load.2019", "trips.years.load.2020"]
    after = ["trips.rows", "trips.load"]
    assert sorted(trips.stage()) == sorted(["trips.rows.partitions", "trips.years.partitions", *parts, *after, *years, *loads])
    facts = open_store(trips.data / "local/store").facts("trips_days")
    assert facts.key == ("day", "station") and facts.description == "One row per station and day"
    assert {one.name: one.unit for one in facts.columns}["trips"] == "trips"

    write(trips.raw / "trips", "tuesday", "tu,A,2\n")
    assert trips.stage() == ["trips.rows.tuesday", *after]
    write(trips.raw / "trips", "thursday", "th,B,5\n")
    assert trips.stage() == ["trips.rows.partitions", "trips.rows.thursday", *after]
    # as files are named: monday, thursday, tuesday, wednesday
    assert [row["day"] for row in map(json.loads, (trips.cache / "lines.jsonl").read_text()[1:-2].splitlines())] == [
        *("mo", "mo", "th", "tu", "we")
    ]
    (trips.raw / "trips/monday.csv").unlink()
    assert trips.stage() == ["trips.rows.partitions", *after]
    assert trips.query("select day, trips from trips_days order by day") == [
        {"day": "th", "trips": 5},
        {"day": "tu", "trips": 2},
        {"day": "we", "trips": 9},
    ]
    (trips.raw / "stations.csv").write_text("station,name\nA,Anna\n")
    assert sorted(trips.stage()) == sorted([f"trips.rows.{day}" for day in ("thursday", "tuesday", "wednesday")] + after)


def test_parts_of_a_collection_come_change_and_go_by_themselves(trips):
    trips.stage()
    write(trips.raw / "years", 2020, "mo,A,7\n")
    assert trips.stage() == ["trips.years.2020", "trips.years.load.2020"]
    write(trips.raw / "years", 2021, "mo,A,8\n")
    (trips.raw / "years/2019.csv").unlink()
    said = trips.invoke("trips.stage").stderr
    assert "2019 taken out of trips_years" in said and "[|] trips.years.load.2020" in said
    assert trips.query("select year, trips from trips_years order by year") == [
        {"year": 2020, "trips": 7},
        {"year": 2021, "trips": 8},
    ]


def test_a_document_that_goes_over_all_rows_is_refused_before_any_partition(trips):
    grouped = "      - {operation: group_by, group_by_columns: [day, station], create_columns: {trips: sum(trips)}}\n"
    document = trips.root / "task/trips.yaml"
    document.write_text(DOCUMENT.replace("destinations:", f"{grouped}destinations:"))
    refused = trips.type("trips.stage", "--only", "trips.rows")
    assert refused.returncode == 1
    assert "by `TRIPS` the document gives something else than over all rows" in refused.stderr
    assert "trips.yaml, line 10: $transformations.named, operation 2 (group_by): its groups would be" in refused.stderr
    assert not (trips.cache / "days.parquet").exists() and "[+]" not in refused.stderr
    module = trips.root / "task/trips.py"
    module.write_text(module.read_text().replace('reads={"STATIONS"', 'independent=True, reads={"STATIONS"'))
    assert "trips.rows" in trips.stage()
    assert [row["trips"] for row in trips.query("select trips from trips_days order by day, station")] == [3, 4, 1, 9]


def test_a_dataset_without_any_file_yet_stands_in_nobody_s_way(trips):
    for file in (trips.raw / "trips").iterdir():
        file.unlink()
    assert "trips.rows" in trips.invoke("all.status").stdout
    failed = trips.type("trips.stage")
    assert failed.returncode == 1 and "there are no partitions" in failed.stderr


# By hand


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    for day, rows in DAYS.items():
        write(folder / "raw", day, rows)
    (folder / "stations.csv").write_text("station,name\nA,Abel\nB,Bonn\n")
    (folder / "trips.yaml").write_text(BY_HAND.replace("${STATIONS}", "stations.csv"))
    return folder


def run(checkout, project, *words, **environment):
    typed = ["tabular.run", "-c", str(project / "trips.yaml"), "--partitions", "TRIPS=raw/*.csv", *words]
    return checkout.type(*typed, **environment)


def test_people_type_the_partitions_and_get_the_files_of_the_document(checkout, project, two_workers):
    results = project / "results.json"
    done = run(checkout, project, "--results-file", str(results), ETL_CLUSTER=two_workers.address)
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"s on worker (\w+)$", done.stderr, re.MULTILINE)) == {"anna", "bert"}
    assert (project / "out/lines").read_text() == LINES
    assert sorted(one.name for one in (project / "out").iterdir()) == ["lines", "table"]
    told = json.loads(results.read_text())
    assert told["row_counts"] == {f"$destinations.{name}": 4 for name in ("days", "lines", "table")}
    assert told["loaded"]["$destinations.days"]["collection"] == "days_by_hand"
    assert checkout.query("select count(*) as n, max(trips) as most from days_by_hand") == [{"n": 4, "most": 9}]
    assert run(checkout, project, ETL_CLUSTER=two_workers.address).returncode == 99
    write(project / "raw", "tuesday", "tu,A,2\n")
    again = run(checkout, project)
    assert len(re.findall(r"^\[\+\]", again.stderr, re.MULTILINE)) == 3  # the partition, the files, the collection
    assert '"tu", "station": "A", "trips": "2"' in (project / "out/lines").read_text()
    (project / "raw/monday.csv").unlink()
    assert run(checkout, project).returncode == 0
    assert len((project / "out/lines").read_text().splitlines()) == 3
    assert checkout.query("select count(*) as n from days_by_hand") == [{"n": 2}]


def test_parts_go_to_postgis_too(checkout, project, two_workers, postgres, tmp_path):
    home = postgres.address(schema=schema_for(tmp_path))
    there = {"ETL_STORE": home, "ETL_CLUSTER": two_workers.address}
    assert run(checkout, project, **there).returncode == 0
    assert run(checkout, project, **there).returncode == 99
    assert open_store(home).query("select station, trips from days_by_hand order by day, station").to_pylist() == [
        {"station": station, "trips": trips} for station, trips in (("A", 3), ("B", 4), ("A", 1), ("C", 9))
    ]
    open_store(home).drop("days_by_hand")
    assert run(checkout, project, **there).returncode == 0  # what is gone is loaded again
    assert open_store(home).facts("days_by_hand").rows == 4


def test_the_environment_s_variables_go_to_the_workers_but_not_over_the_partition_s_own(checkout, project, two_workers):
    document = project / "trips.yaml"
    written = document.read_text().replace('header: "["', 'header: "${TITLE} "')
    # A document that cannot be read without the parameter.
    document.write_text(
        written.replace("sources:\n", "{% if '${TRIPS}'[-4:] != '.csv' %}{{ 1 // 0 }}{% endif %}\nsources:\n", 1)
    )
    done = run(checkout, project, ETL_CLUSTER=two_workers.address, TITLE="all days", TRIPS="nowhere.csv")
    assert done.returncode == 0, done.stderr
    assert (project / "out/lines").read_text().startswith('all days { "day": "mo"')
    assert run(checkout, project, TITLE="other days").returncode == 0
    assert (project / "out/lines").read_text().startswith('other days { "day": "mo"')


def test_workers_that_share_no_folder_bring_their_parts_home(tmp_path, project, s3_server, two_workers):
    far = Checkout(ROOT, tmp_path / "work")
    address = s3_server.address("lake", prefix_for(tmp_path))
    far.environment |= {"INVOKE_ETL_DATA": address, "INVOKE_ETL_WORK": str(tmp_path / "work"), **SECRET}
    done = run(far, project, ETL_CLUSTER=two_workers.address)
    assert done.returncode == 0, done.stderr
    assert (project / "out/lines").read_text() == LINES
    assert run(far, project, ETL_CLUSTER=two_workers.address).returncode == 99


def test_by_hand_too_a_document_that_goes_over_all_rows_is_refused(checkout, project):
    document = project / "trips.yaml"
    ordered = "      - {operation: sort_rows, columns: [-trips]}\n"
    document.write_text(document.read_text().replace("destinations:", f"{ordered}destinations:"))
    refused = run(checkout, project)
    assert refused.returncode == 255
    assert "operation 2 (sort_rows): each partition would be sorted by itself" in refused.stderr
    assert "`--independent`" in refused.stderr and not (project / "out").exists()
    assert run(checkout, project, "--independent").returncode == 0
    # sorted within each day: that is what was asked for
    assert re.findall(r'"trips": "(\d)"', (project / "out/lines").read_text()) == ["4", "3", "1", "9"]


def test_what_the_document_includes_runs_its_partitions_again(checkout, project):
    (project / "trips.yaml").write_text(
        "version: 2\nconfig: {output_dir: out}\nsources:\n  trips: {file: '${TRIPS}'}\n{% include 'rest.yaml' %}\n"
    )
    (project / "rest.yaml").write_text("destinations: {lines: {source: $sources.trips}}\n")
    assert run(checkout, project).returncode == 0
    (project / "rest.yaml").write_text("destinations: {lines: {source: $sources.trips, format: jsonl}}\n")
    assert run(checkout, project).returncode == 0
    assert (project / "out/lines").read_text().startswith('{"day":"mo"')
    assert run(checkout, project).returncode == 99


def test_a_collection_of_a_dataset_is_not_replaced_by_hand_and_production_by_nobody(checkout, project):
    document = project / "trips.yaml"
    mine = document.read_text()
    document.write_text(mine.replace("days_by_hand", "region_county"))
    for words in ((), ("--partitions", "TRIPS=raw/*.csv")):
        refused = checkout.type("tabular.run", "-c", str(document), "--params", '{"TRIPS": "raw/monday.csv"}', *words)
        assert refused.returncode == 255
        assert "the collection belongs to a dataset" in refused.stderr and "region.county" in refused.stderr
    document.write_text(mine)
    words = ("tabular.run", "-c", str(document), "--params", '{"TRIPS": "raw/monday.csv"}')
    refused = checkout.type(*words, ETL_ENV="production")
    assert refused.returncode == 255 and "nothing is built or cleaned by hand in production" in refused.stderr
    assert not (project / "out").exists() and not (checkout.data / "production").exists()
    assert checkout.type(*words, "--direct", "production", ETL_ENV="production").returncode == 0
    assert open_store(checkout.data / "production/store").names() == ["days_by_hand"]
    assert (
        checkout.invoke("store.query", "select count(*) as n from days_by_hand", ETL_ENV="production").stdout.split()[2] == "2"
    )
    assert checkout.type("tabular.clean", "-c", str(document), ETL_ENV="production").returncode == 255
    assert open_store(checkout.data / "production/store").names() == ["days_by_hand"]
