"""Destinations in the store: what is declared, what is loaded, and what a document may not replace."""

import inspect
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from impl.documents import Loading, made_by
from impl.mover import main
from impl.run.errors import EtlError
from impl.steps import keep_parts
from impl.store import checks, open_store
from impl.tabular.collections import CHECKS, read_collection
from impl.tabular.spec import Map, Problems, Spec
from tests.postgres import schema_for

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = """\
version: 2
config: {output_dir: out}
sources:
  days: {file: days.csv}
destinations:
  beside: {source: $sources.days, format: csv, extension: csv}
  days:
    source: $sources.days
    store: gauge_days
    key: [gauge, day]
    partition_by: year
    types: {day: date, year: integer, rain_mm: float}
    columns:
      gauge: name of the gauge
      rain_mm: [mm, rain of the day]
    description: One row per gauge and day
    origin: gauges of a test
    licence: CC0
    checks:
      - not_null: rain_mm
      - accepted_range: {columns: [rain_mm], low: 0, high: 500}
"""
ROWS = ["G1,2024-01-02,2024,1.5", "G2,2024-01-02,2024,0", "G1,2025-01-02,2025,3"]


@pytest.fixture(params=["lake", "postgis"])
def home(request, tmp_path):
    """The address of an empty store."""
    if request.param == "postgis":
        return request.getfixturevalue("postgres").address(schema=schema_for(tmp_path))
    return str(tmp_path / "store")


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "earthmover.yaml").write_text(DOCUMENT)
    write(folder, ROWS)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ETL_STORE", raising=False)
    return folder


def write(folder, rows):
    (folder / "days.csv").write_text("\n".join(["gauge,day,year,rain_mm", *rows]) + "\n")


def change(folder, before, after):
    text = (folder / "earthmover.yaml").read_text()
    assert before in text
    (folder / "earthmover.yaml").write_text(text.replace(before, after))


def rows_in(home, columns="gauge, rain_mm"):
    return open_store(home).query(f"select {columns} from gauge_days order by day, gauge").to_pylist()


def test_rows_go_to_the_store_with_what_is_said_of_them(project, home, capsys):
    assert main(["run", "--store", home, "-r", "results.json"]) == 0
    assert rows_in(home) == [{"gauge": "G1", "rain_mm": 1.5}, {"gauge": "G2", "rain_mm": 0}, {"gauge": "G1", "rain_mm": 3}]
    facts = open_store(home).facts("gauge_days")
    assert facts.key == ("gauge", "day") and facts.partition_by == ("year",) and len(facts.parts) == 2
    about = {column.name: column[1:] for column in facts.columns}
    assert about["rain_mm"] == ("double", "mm", "rain of the day") and about["day"][0] == "date"
    assert (facts.description, facts.licence) == ("One row per gauge and day", "CC0")
    assert facts.source == "gauges of a test; document project/earthmover.yaml"
    assert "    3 rows in gauge_days\n" in capsys.readouterr().err
    assert (project / "out/beside.csv").read_text().startswith("gauge,day,year,rain_mm\nG1,2024-01-02")
    results = json.loads((project / "results.json").read_text())
    assert results["loaded"]["$destinations.days"]["rows"] == 3 == results["row_counts"]["$destinations.days"]
    assert sorted(one.name for one in (project / "out").iterdir()) == ["beside.csv"]


def test_the_whole_is_replaced_and_equal_rows_change_nothing(project, home, capsys):
    main(["run", "--store", home])
    before = open_store(home).facts("gauge_days")
    assert main(["run", "--store", home]) == 0
    assert "3 rows in gauge_days, unchanged" in capsys.readouterr().err
    assert open_store(home).facts("gauge_days").version == before.version
    write(project, ["G9,2026-03-04,2026,7"])
    main(["run", "--store", home])
    assert rows_in(home) == [{"gauge": "G9", "rain_mm": 7}]


def test_no_rows_are_let_in_only_where_that_is_said(project, home, capsys):
    main(["run", "--store", home])
    write(project, [])
    assert main(["run", "--store", home]) == 255
    assert "gauge_days" in capsys.readouterr().err and len(rows_in(home)) == 3
    change(project, "    licence: CC0", "    licence: CC0\n    may_be_empty: true")
    assert main(["run", "--store", home]) == 0
    assert rows_in(home) == []


def test_rows_that_fail_a_check_change_nothing(project, home, capsys):
    main(["run", "--store", home])
    write(project, [*ROWS, "G3,2024-01-02,2024,900"])
    assert main(["run", "--store", home]) == 255
    said = capsys.readouterr().err
    assert "accepted_range" in said and "rejected_gauge_days" in said
    assert len(rows_in(home)) == 3
    write(project, [*ROWS, ROWS[0]])
    assert main(["run", "--store", home]) == 255
    assert len(rows_in(home)) == 3


def test_a_check_that_warns_lets_the_rows_in(project, home, capsys):
    change(project, "low: 0, high: 500", "low: 1, warn: true")
    assert main(["run", "--store", home]) == 0
    assert "warning: accepted_range(rain_mm, low=1)" in capsys.readouterr().err
    assert len(rows_in(home)) == 3


SLOW = """
import sys, time
from impl.store import rows
from impl.mover import main

whole = rows._from_files
def slowly(paths, **settings):
    found = whole(paths, **settings)
    given = found.batches
    def batches():
        for batch in given:
            yield batch
            print("half", flush=True)
            time.sleep(60)
    found.batches = batches()
    return found
rows._from_files = slowly
main(sys.argv[1:])
"""


@pytest.mark.slow
def test_readers_see_the_rows_of_before_and_a_kill_loses_none(project, home, tmp_path):
    main(["run", "--store", home])
    write(project, ["G9,2026-03-04,2026,7"])
    (tmp_path / "slowly.py").write_text(SLOW)
    loading = subprocess.Popen(
        [sys.executable, str(tmp_path / "slowly.py"), "run", "--store", home],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert loading.stdout.readline() == "half\n"
    assert len(rows_in(home)) == 3
    loading.send_signal(signal.SIGKILL)
    loading.wait()
    assert len(rows_in(home)) == 3
    assert main(["run", "--store", home]) == 0
    assert rows_in(home) == [{"gauge": "G9", "rain_mm": 7}]


def test_what_a_document_did_not_make_is_not_replaced_nor_removed(project, home, capsys):
    theirs = [{"gauge": "G1", "day": "x", "rain_mm": 1.0}]
    open_store(home).replace("gauge_days", theirs, key="gauge", description="Days of a dataset", source="the publisher")
    assert main(["run", "--store", home]) == 255
    said = capsys.readouterr().err
    assert "the collection was not made by this document" in said and "Days of a dataset" in said
    assert not (project / "out").exists()  # nothing was begun
    main(["clean", "--store", home])
    assert open_store(home).facts("gauge_days").source == "the publisher"


def test_another_document_s_collection_is_its_own(project, home, capsys):
    main(["run", "--store", home])
    other = project.with_name("other")
    project.rename(other)
    os.chdir(other)
    assert main(["run", "--store", home]) == 255
    assert "made by project/earthmover.yaml" in capsys.readouterr().err
    other.rename(project)
    os.chdir(project)
    assert main(["clean", "--store", home]) == 0
    assert "removed collection gauge_days" in capsys.readouterr().err
    assert open_store(home).names() == []


def test_what_a_dataset_fills_is_refused_before_it_is_there(tmp_path):
    wanted = read_collection(spec(Problems(), store="census_county", key=["gis_join"]))
    with pytest.raises(EtlError, match="belongs to a dataset") as error:
        Loading(str(tmp_path), {"census_county": "census"}).check([wanted], tmp_path / "x.yaml")
    assert "invoke census.stage" in str(error.value.where)
    with pytest.raises(EtlError, match="two destinations"):
        Loading(str(tmp_path), {}).check([wanted, wanted], tmp_path / "x.yaml")


def test_the_mark_is_at_the_end_of_the_source():
    assert made_by("the publisher; document a/b.yaml") == "a/b.yaml" == made_by("document a/b.yaml")
    assert made_by("a document b.yaml of the publisher") == "" == made_by("")


def test_without_a_store_nothing_is_begun(project, capsys):
    assert main(["run"]) == 255
    assert "a destination goes to the store, and no store is named" in capsys.readouterr().err
    assert not (project / "out").exists()
    assert main(["run", "--store", "postgresql://me:hunter2@host/x"]) == 255
    said = capsys.readouterr().err
    assert "the address has a password in it" in said and "hunter2" not in said


def test_the_environment_names_the_store_too(project, tmp_path, monkeypatch):
    monkeypatch.setenv("ETL_STORE", str(tmp_path / "named"))
    assert main(["run"]) == 0
    assert open_store(tmp_path / "named").names() == ["gauge_days"]


def test_show_has_the_rows_of_a_collection(project, capsys):
    assert main(["show", "$destinations.days", "--limit", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["G1", "2024-01-02", "2024", "1.5"]


def test_parts_without_a_partition_lose_their_rows_and_no_others(home, tmp_path):
    store = open_store(home)
    for year in (2019, 2020, 2021):
        rows = [{"gauge": "G1", "rain_mm": float(year - 2000)}]
        store.replace("gauge_years", rows, key="gauge", part={"year": year}, columns={"rain_mm": ("mm", "rain of the year")})
    kept = store.facts("gauge_years").fingerprint_of({"year": 2020})
    said = keep_parts(home, "gauge_years", tmp_path / "kept.json", parts=[{"year": 2020}])
    assert said == "year=2019; year=2021 taken out of gauge_years"
    assert store.query("select gauge, rain_mm, year from gauge_years").to_pylist() == [
        {"gauge": "G1", "rain_mm": 20.0, "year": 2020}
    ]
    facts = store.facts("gauge_years")
    assert facts.fingerprint == kept and facts.columns[1].unit == "mm"
    assert keep_parts(home, "gauge_years", tmp_path / "kept.json", parts=[{"year": 2020}]) == ""
    assert keep_parts(home, "not_there_yet", tmp_path / "kept.json", parts=[{"year": 2020}]) == ""


# What is declared


def spec(problems, **options):
    written = Map(options)
    written.file, written.line, written.lines = "p.yaml", 3, {key: 4 + at for at, key in enumerate(written)}
    return Spec(written, problems, "$destinations.d")


def said(**options):
    problems = Problems()
    read_collection(spec(problems, **options))
    return [f"{one.what} ({one.hint})" for one in problems.found]


FINE = {"store": "gauge_days", "key": ["gauge"]}


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"store": "Gauge-Days"}, "a collection cannot be called `Gauge-Days`"),
        ({"store": "rejected_gauge_days"}, "a collection cannot be called"),
        ({"template": "x.jsont"}, "rows that go to the store have no `template`"),
        ({"format": "csv"}, "rows that go to the store have no `format`"),
        ({"columns": {"a": ["mm", "rain", "more"]}}, "`a` is not described"),
        ({"checks": {"not_null": "a"}}, "`checks` has to be a list"),
        ({"checks": ["not_null"]}, "`not_null` is no check"),
        ({"checks": [{"not_nul": ["a"]}]}, "there is no check `not_nul` (did you mean `not_null`?)"),
        ({"checks": [{"accepted_range": {"columns": ["a"], "lowest": 1}}]}, "takes no `lowest` (did you mean `low`?)"),
        ({"checks": [{"references": {"column": "a"}}]}, "`references` lacks `collection`"),
        ({"checks": [{"row_count": 0.9}]}, "`row_count` wants a mapping"),
    ],
)
def test_what_is_wrong_with_a_declaration_is_said(options, what):
    (found,) = said(**{**FINE, **options})
    assert what in found


def test_what_is_said_of_a_collection_needs_one():
    assert said(key=["a"]) == ["`key` is said of a collection, and none is named (write `store: COLLECTION` too)"]


def test_columns_that_are_not_there_are_found_before_any_row(project, capsys):
    change(project, "key: [gauge, day]", "key: [guage, day]")
    assert main(["compile"]) == 255
    assert "there is no column `guage`" in capsys.readouterr().err


def test_checks_are_those_of_the_store():
    for kind, (first, more) in CHECKS.items():
        taken = dict(inspect.signature(getattr(checks, kind)).parameters)
        assert taken.pop("warn").default is False
        by_name = [name for name, one in taken.items() if one.kind is one.KEYWORD_ONLY]
        assert [name for name in taken if name not in by_name] == list(first), kind
        assert by_name == list(more), kind
