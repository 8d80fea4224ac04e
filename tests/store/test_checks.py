"""Checks on the rows of a load, in every home: what each finds, what it says, and what is in the store afterwards."""

import pickle
import signal
import subprocess
import sys
import time
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from impl.run.checkpoint import signature
from impl.run.errors import EtlError
from impl.run.place import Place
from impl.store import load, open_store, rejected
from impl.store.checks import accepted_range, complete, not_null, references, row_count
from tests.store.conftest import COUNTY_KEY, counties, days, part

ROOT = Path(__file__).resolve().parents[2]
SIDE = "rejected_things"


def refused(store, rows, *checks, name="things", key="key", **facts):
    """The error of a load that its checks refuse."""
    with pytest.raises(EtlError) as caught:
        store.replace(name, rows, key=key, checks=checks, **facts)
    return caught.value


def looks_at(name):
    return f'look at what was refused: `invoke store.query "select * from {name}"`'


# not_null


def test_what_is_not_empty_passes_and_the_result_says_so(store):
    done = store.replace("things", [{"key": 1, "name": "a"}, {"key": 2, "name": "b"}], key="key", checks=[not_null("name")])
    assert [one._asdict() for one in done.checks] == [
        {"check": "unique", "columns": ("key",), "rows": 2, "bad": 0, "passed": True, "warn": False, "found": ""},
        {"check": "not_null(name)", "columns": ("name",), "rows": 2, "bad": 0, "passed": True, "warn": False, "found": ""},
    ]
    assert store.names() == ["things"]


def test_a_null_and_an_empty_text_are_empty(store):
    rows = [{"key": 1, "name": "a"}, {"key": 2, "name": None}, {"key": 3, "name": ""}]
    error = refused(store, rows, not_null("name"))
    assert str(error) == (
        "error: `things` was not loaded: the check not_null(name) fails\n"
        f"  at {store.home}\n"
        "     `name` in 2 of 3 rows: key=2: name is empty; key=3: name is empty\n"
        "\n"
        f"hint: {looks_at(SIDE)}. Mend the step before, or the check beside the columns, in the module below task/ that loads it"
    )
    assert store.names() == [SIDE]
    assert store.read(SIDE).to_pylist() == [
        {"rejected_number": 1, "rejected_by": "not_null(name)", "rejected_because": "name is empty", "key": 2, "name": None},
        {"rejected_number": 2, "rejected_by": "not_null(name)", "rejected_because": "name is empty", "key": 3, "name": ""},
    ]


def test_nan_is_no_value(store):
    error = refused(store, [{"key": 1, "x": float("nan")}, {"key": 2, "x": 0.0}], not_null("x"))
    assert "`x` in 1 of 2 rows: key=1: x is NaN" in error.where


def test_a_missing_geometry_is_empty_and_its_row_is_kept(store):
    rows = [*counties(), {"gis_join": "G9", "name": "Nowhere", "area_km2": 1.0, "geometry": None}]
    facts = {"name": "region_county", "key": "gis_join", "geometry": "geometry"}
    error = refused(store, rows, not_null("geometry"), **facts)
    assert "gis_join=G9: geometry is empty" in error.where
    assert store.facts("rejected_region_county").geometry == "geometry"
    assert store.read("rejected_region_county", ["name"]).to_pylist() == [{"name": "Nowhere"}]


# accepted_range


def test_both_limits_are_inside_and_an_empty_value_is_no_fault(store):
    rows = [{"key": 1, "x": 180.0}, {"key": 2, "x": 340.0}, {"key": 3, "x": None}]
    assert store.replace("things", rows, key="key", checks=[accepted_range("x", low=180, high=340)]).checks[1].passed


def test_what_is_outside_is_named_with_its_value(store):
    rows = [{"key": 1, "x": 180.0}, {"key": 2, "x": 999.0}, {"key": 3, "x": 179.9}, {"key": 4, "x": float("nan")}]
    error = refused(store, rows, accepted_range("x", low=180, high=340))
    assert error.what == "`things` was not loaded: the check accepted_range(x, low=180, high=340) fails"
    assert error.where == (
        f"{store.home}\n     `x` in 3 of 4 rows: key=2: x is 999, not at least 180 and at most 340; "
        "key=3: x is 179.9, not at least 180 and at most 340; key=4: x is nan, not at least 180 and at most 340"
    )
    assert store.read(SIDE, ["key"]).column("key").to_pylist() == [2, 3, 4]


@pytest.mark.parametrize(("low", "high", "said"), [(0, None, "not at least 0"), (None, 5, "not at most 5")])
def test_one_limit_is_enough(store, low, high, said):
    bad = -1 if high is None else 6
    error = refused(store, [{"key": 1, "x": bad}, {"key": 2, "x": 3}], accepted_range("x", low=low, high=high))
    assert f"key=1: x is {bad}, {said}" in error.where


def test_several_columns_share_a_range_and_each_is_counted(store):
    rows = [{"key": 1, "low": 2.0, "high": 50.0}, {"key": 2, "low": -1.0, "high": 101.0}]
    error = refused(store, rows, accepted_range("low", "high", low=0, high=100))
    assert "`low` in 1 of 2 rows: key=2: low is -1" in error.where
    assert "`high` in 1 of 2 rows: key=2: high is 101" in error.where
    assert store.read(SIDE, ["key", "rejected_because"]).num_rows == 2  # one for each fault


def test_a_range_is_for_numbers(store):
    error = refused(store, [{"key": 1, "name": "a"}], accepted_range("name", low=0))
    assert error.what == "the check accepted_range(name, low=0) is for numbers, and `name` is text"
    with pytest.raises(EtlError, match="a range has no limit"):
        accepted_range("x")


# references


def test_values_that_another_collection_has_pass(store):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    store.replace("macav2_county", days(), key=COUNTY_KEY, part=part(), checks=[references("gis_join", "region_county")])


def test_a_value_that_another_collection_lacks_is_named(store):
    store.replace("region_county", counties(), key="gis_join", geometry="geometry")
    rows = days(first="G9999999", count=2)
    error = refused(store, rows, references("gis_join", "region_county"), name="macav2_county", key=COUNTY_KEY, part=part())
    check = "references(gis_join, collection=region_county)"
    assert error.what == f"`macav2_county` was not loaded: the check {check} fails"
    assert error.where == (
        f"model=CCSM4, scenario=historical, year=2005 of {store.home}\n"
        "     `gis_join` in 2 of 4 rows: gis_join=G9999999, timestamp=2005-01-01: G9999999 is not in region_county; "
        "gis_join=G9999999, timestamp=2005-01-02: G9999999 is not in region_county"
    )
    kept = store.read("rejected_macav2_county__ccsm4_historical_2005").to_pylist()
    assert [(row["gis_join"], row["year"], row["timestamp"].day) for row in kept] == [
        ("G9999999", 2005, 1),
        ("G9999999", 2005, 2),
    ]


def test_a_collection_to_refer_to_that_is_not_there_is_to_be_loaded_first(store):
    error = refused(store, days(), references("gis_join", "region_county"), name="macav2_county", key=COUNTY_KEY, part=part())
    assert "needs the collection `region_county`, which is not there" in error.what
    assert "load it first: `invoke -l` lists the tasks" in error.hint
    assert store.names() == []


def test_an_empty_reference_is_no_fault(store):
    store.replace("others", [{"other": "a"}], key="other")
    rows = [{"key": 1, "other": "a"}, {"key": 2, "other": None}]
    assert store.replace("things", rows, key="key", checks=[references("other", "others")]).checks[1].passed
    rows = [{"key": 1, "owner": "b"}, {"key": 2, "owner": None}]
    assert (
        "`owner` in 1 of 2 rows: key=1: b is not in others"
        in refused(store, rows, references("owner", "others", to="other")).where
    )


def test_columns_of_different_types_cannot_be_compared(store):
    store.replace("others", [{"key": 1}], key="key")
    error = refused(store, [{"key": "1"}], references("key", "others"))
    assert "compares string with int64" in error.what


# complete


def regions(store, *names):
    store.replace("region_county", [{"gis_join": name, "state_fips": name[1:3]} for name in names], key="gis_join")


def every_day(names, year=2005, skip=()):
    first, last = date(year, 1, 1), date(year, 12, 31)
    every = [first + timedelta(days=count) for count in range((last - first).days + 1)]
    return [
        {"gis_join": name, "timestamp": datetime(day.year, day.month, day.day, tzinfo=timezone.utc), "rain_mm": 1.0}
        for day in every
        for name in names
        if (name, day) not in skip
    ]


COVERAGE = complete("gis_join", "timestamp", of="region_county")


def test_each_county_on_each_day_is_complete(store):
    regions(store, "G01", "G02")
    done = store.replace("macav2_county", every_day(["G01", "G02"]), key=COUNTY_KEY, part=part(), checks=[COVERAGE])
    assert (done.rows, done.checks[1].passed) == (730, True)


def test_missing_days_are_counted_named_and_put_aside(store):
    regions(store, "G01", "G02")
    gone = {("G02", date(2005, 1, 3)), ("G01", date(2005, 12, 31)), ("G02", date(2005, 12, 31)), ("G01", date(2005, 6, 1))}
    rows = every_day(["G01", "G02"], skip=gone)
    error = refused(store, rows, COVERAGE, name="macav2_county", key=COUNTY_KEY, part=part())
    assert error.where == (
        f"model=CCSM4, scenario=historical, year=2005 of {store.home}\n"
        "     4 of 730 are missing: gis_join=G02, timestamp=2005-01-03; gis_join=G01, timestamp=2005-06-01; "
        "gis_join=G01, timestamp=2005-12-31; and 1 more"
    )
    side = "rejected_macav2_county__ccsm4_historical_2005"
    assert looks_at(side) in error.hint
    kept = store.read(side).to_pylist()
    assert {(row["gis_join"], row["timestamp"].date()) for row in kept} == gone
    assert {(row["model"], row["year"], row["rain_mm"]) for row in kept} == {("CCSM4", 2005, None)}
    assert {row["rejected_because"] for row in kept} == {"there is no such row"}


def test_a_county_without_any_row_lacks_every_day_unless_it_is_not_asked_for(store):
    regions(store, "G01", "G02", "G15")  # 15: Hawaii, outside the grid
    rows = every_day(["G01", "G02"])
    facts = {"name": "macav2_county", "key": COUNTY_KEY, "part": part()}
    assert "365 of 1,095 are missing: gis_join=G15, timestamp=2005-01-01" in refused(store, rows, COVERAGE, **facts).where
    inside = complete("gis_join", "timestamp", of="region_county", where="state_fips not in ('02', '15')")
    assert store.replace("macav2_county", rows, key=COUNTY_KEY, part=part(), checks=[inside]).checks[1].passed


@pytest.mark.parametrize(
    ("calendar", "year", "skip_all", "skip_one", "missing"),
    [
        ("standard", 2004, False, False, 0),
        ("standard", 2004, True, False, 2),
        ("noleap", 2004, True, False, 0),
        ("noleap", 2005, False, False, 0),
        ("noleap", 2004, False, True, 0),
        ("either", 2004, True, False, 0),
        ("either", 2004, False, False, 0),
        ("either", 2004, False, True, 1),
    ],
)
def test_a_calendar_without_leap_days_lacks_only_these(lake, calendar, year, skip_all, skip_one, missing):
    regions(lake, "G01", "G02")
    leap_day = date(2004, 2, 29)
    skip = {("G01", leap_day), ("G02", leap_day)} if skip_all else {("G02", leap_day)} if skip_one else set()
    rows = every_day(["G01", "G02"], year, skip)
    check = complete("gis_join", "timestamp", of="region_county", calendar=calendar, warn=True)
    done = lake.replace("macav2_county", rows, key=COUNTY_KEY, part=part(year), checks=[check])
    assert done.checks[1].bad == missing


def test_a_day_before_1970_is_its_own_day_at_any_hour(store):
    regions(store, "G01")
    rows = every_day(["G01"], 1960, skip={("G01", date(1960, 2, 28))})
    rows = [{**row, "timestamp": row["timestamp"] + timedelta(hours=row["timestamp"].day % 24)} for row in rows]
    error = refused(store, rows, COVERAGE, name="macav2_county", key=COUNTY_KEY, part=part(1960))
    assert "1 of 366 are missing: gis_join=G01, timestamp=1960-02-28" in error.where


def test_of_a_year_that_is_under_way_the_days_to_come_are_not_expected(store):
    regions(store, "G01", "G02")
    rows = [row for row in every_day(["G01", "G02"], skip={("G02", date(2005, 2, 2))}) if row["timestamp"].month < 3]
    check = complete("gis_join", "timestamp", of="region_county", under_way=True)
    error = refused(store, rows, check, name="macav2_county", key=COUNTY_KEY, part=part())
    assert "1 of 118 are missing: gis_join=G02, timestamp=2005-02-02" in error.where  # 2 x (31 + 28)


def test_without_a_year_the_days_are_from_the_first_to_the_last(store):
    regions(store, "G01")
    rows = [{"gis_join": "G01", "day": date(2005, 1, day)} for day in (2, 5)]
    error = refused(store, rows, complete("gis_join", "day", of="region_county"), name="floods", key=["gis_join", "day"])
    assert "2 of 4 are missing: gis_join=G01, day=2005-01-03; gis_join=G01, day=2005-01-04" in error.where


def test_each_partition_of_a_whole_load_has_to_be_complete(store):
    regions(store, "G01")
    rows = [{**row, "model": model} for model in "AB" for row in every_day(["G01"])]
    rows = [row for row in rows if not (row["model"] == "B" and row["timestamp"].day == 31)]  # seven months have one
    error = refused(store, rows, COVERAGE, name="macav2_county", key=["gis_join", "timestamp", "model"], partition_by=["model"])
    # from 1 January to 30 December of B
    assert "6 of 729 are missing: gis_join=G01, timestamp=2005-01-31, model=B" in error.where


def test_an_unknown_calendar_and_an_unknown_column_name_the_nearest(store):
    with pytest.raises(EtlError) as caught:
        complete("gis_join", "timestamp", of="region_county", calendar="no_leap")
    assert "`noleap`" in caught.value.hint
    error = refused(store, [{"key": 1, "name": "a"}], not_null("nme"))
    assert (error.what, error.where) == ("there is no column `nme`", "not_null(nme) of `things`")
    assert "did you mean `name`" in error.hint


days_of_a_week = some.sets(some.tuples(some.sampled_from(["a", "b", "c", "d"]), some.integers(0, 6)), min_size=1)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(there=days_of_a_week, listed=some.sets(some.sampled_from(["a", "b", "c", "e"]), min_size=1), order=some.randoms())
def test_coverage_is_that_of_sets(tmp_path_factory, there, listed, order):
    """The reference: the product of regions and days, less the pairs that are there."""
    lake = open_store(tmp_path_factory.mktemp("coverage"))
    lake.replace("places", [{"place": name} for name in listed], key="place")
    rows = [{"place": place, "day": date(2005, 1, 1) + timedelta(days=day)} for place, day in sorted(there)]
    order.shuffle(rows)
    batches = [pyarrow.RecordBatch.from_pylist(rows[start : start + 3]) for start in range(0, len(rows), 3)]
    stream = pyarrow.RecordBatchReader.from_batches(batches[0].schema, batches)
    seen = [day for place, day in there if place in listed]
    span = range(min(seen), max(seen) + 1) if seen else ()
    missing = {(place, day) for place in listed for day in span} - there
    try:
        lake.replace("things", stream, key=["place", "day"], checks=[complete("place", "day", of="places")])
        assert missing == set()
    except EtlError as error:
        assert f"{len(missing):,} of {len(listed) * len(span):,} are missing" in error.where
        kept = lake.read(SIDE, ["place", "day"]).to_pylist()
        assert {(row["place"], (row["day"] - date(2005, 1, 1)).days) for row in kept} == missing


# row_count


def test_a_first_load_has_no_version_to_compare_with(store):
    assert store.replace("things", [{"key": 1}], key="key", checks=[row_count(at_least=0.9)]).checks[1].passed


def test_fewer_rows_than_the_version_before_are_refused_with_both_numbers(store):
    store.replace("things", [{"key": key} for key in range(10)], key="key")
    store.replace("things", [{"key": key} for key in range(9)], key="key", checks=[row_count(at_least=0.9)])  # 9 of 10
    error = refused(store, [{"key": key} for key in range(8)], row_count(at_least=0.9))  # 8 of 9 is 0.89
    assert error.what == "`things` was not loaded: the check row_count(at_least=0.9) fails"
    assert error.where == (
        f"{store.home}\n     8 rows, and the version before had 9; "
        "if that is right, `invoke things.clean` and load again: then nothing is compared"
    )
    assert (
        error.hint
        == "The version before is still there. Mend the step before, or the check beside the columns, in the module below task/ that loads it"
    )
    assert store.facts("things").rows == 9
    assert store.names() == ["things"]  # no row is to blame
    error = refused(store, [{"key": key} for key in range(19)], row_count(at_most=2))
    assert "19 rows, and the version before had 9" in error.where


def test_each_part_is_compared_with_itself(store):
    store.replace("macav2_county", days(2004, count=9), key=COUNTY_KEY, part=part(2004))
    store.replace("macav2_county", days(2005, count=2), key=COUNTY_KEY, part=part(2005), checks=[row_count()])
    error = refused(store, days(2005, count=1), row_count(), name="macav2_county", key=COUNTY_KEY, part=part(2005))
    assert "2 rows, and the version before had 4" in error.where


def test_sample_data_are_not_compared_with_real_ones(store):
    store.replace("things", [{"key": key} for key in range(10)], key="key")
    assert store.replace("things", [{"key": 1}], key="key", synthetic=True, checks=[row_count()]).checks[1].passed


# what stays in the store


def test_a_failed_check_leaves_the_version_before(store):
    old = store.replace("things", [{"key": 1, "x": 1.0}], key="key")
    before = store.facts("things")
    error = refused(store, [{"key": 1, "x": 2.0}, {"key": 2, "x": -2.0}], accepted_range("x", low=0))
    assert "The version before is still there" in error.hint
    assert store.holds("things", None, old.fingerprint)
    assert store.facts("things") == before
    assert store.read("things").to_pylist() == [{"key": 1, "x": 1.0}]


def test_the_next_failure_replaces_what_was_refused_and_the_next_success_removes_it(store):
    check = accepted_range("x", low=0)
    refused(store, [{"key": 1, "x": -1.0}, {"key": 2, "x": -2.0}], check)
    refused(store, [{"key": 3, "x": -3.0, "more": "columns"}], check)
    assert store.read(SIDE, ["key"]).to_pylist() == [{"key": 3}]
    store.replace("things", [{"key": 3, "x": 3.0}], key="key", checks=[check])
    assert store.names() == ["things"]


def test_a_failure_without_rows_to_blame_removes_those_of_an_earlier_one(store):
    store.replace("things", [{"key": key, "x": 1.0} for key in range(10)], key="key")
    refused(store, [{"key": 1, "x": -1.0}], accepted_range("x", low=0))
    refused(store, [{"key": 1, "x": 1.0}], row_count())
    assert store.names() == ["things"]


def test_each_part_has_refused_rows_of_its_own(store):
    check = accepted_range("mean_precipitation_mm", low=0)
    for year in (2004, 2005):
        refused(store, days(year, offset=-9), check, name="macav2_county", key=COUNTY_KEY, part=part(year))
    sides = [f"rejected_macav2_county__ccsm4_historical_{year}" for year in (2004, 2005)]
    assert store.names() == sides
    store.replace("macav2_county", days(2004), key=COUNTY_KEY, part=part(2004), checks=[check])
    assert store.names() == ["macav2_county", sides[1]]
    rows = [{**row, **part(2005)} for row in days(2005)]
    store.replace("macav2_county", rows, key=COUNTY_KEY, partition_by=["model", "scenario", "year"], checks=[check])
    assert store.names() == ["macav2_county"]  # a load of the whole stands for all parts


def test_several_failed_checks_are_all_told_and_warnings_are_not_among_them(store):
    table = pyarrow.table({"key": [1], "name": [""], "x": [-1.0], "y": pyarrow.array([None], pyarrow.string())})
    error = refused(store, table, not_null("name"), accepted_range("x", low=0), not_null("y", warn=True))
    assert error.what == "`things` was not loaded: 2 of 4 checks fail"
    assert error.where == (
        f"{store.home}\n     not_null(name): `name` in 1 of 1 rows: key=1: name is empty\n"
        "     accepted_range(x, low=0): `x` in 1 of 1 rows: key=1: x is -1, not at least 0"
    )
    assert [row["rejected_by"] for row in store.read(SIDE).to_pylist()] == ["not_null(name)", "accepted_range(x, low=0)"]


def test_a_check_that_warns_lets_the_rows_in(store):
    done = store.replace("things", [{"key": 1, "x": -1.0}], key="key", checks=[accepted_range("x", low=0, warn=True)])
    assert (done.rows, done.changed) == (1, True)
    assert (done.checks[1].passed, done.checks[1].bad) == (False, 1)
    assert done.checks[1].found == "`x` in 1 of 1 rows: key=1: x is -1, not at least 0"
    assert store.names() == ["things"]


@pytest.mark.parametrize("doubled", [True, False])
def test_rows_with_a_faulty_key_are_put_aside_too(store, doubled):
    rows = [{"key": "a", "x": 1}, {"key": "b", "x": 2}, {"key": "a" if doubled else None, "x": 3}]
    error = refused(store, rows)
    assert looks_at(SIDE) in error.hint
    assert store.names() == [SIDE]
    assert {row["x"] for row in store.read(SIDE).to_pylist()} == ({1, 3} if doubled else {3})
    [told] = pickle.loads(pickle.dumps(error)).checks  # for the record of the run, though a worker had found it
    assert (told["check"], told["rows"], told["bad"], told["passed"]) == ("unique", 3, 2 if doubled else 1, False)


def test_more_refused_rows_than_are_kept_are_counted_all_the_same(store, monkeypatch):
    monkeypatch.setattr(rejected, "MOST_ROWS", 5)
    error = refused(store, [{"key": key, "x": -1.0} for key in range(12)], accepted_range("x", low=0))
    assert "`x` in 12 of 12 rows: key=0: x is -1, not at least 0; " in error.where
    assert error.where.endswith("; and 9 more")
    assert store.read(SIDE).num_rows == 5


def test_refused_rows_that_cannot_be_kept_do_not_hide_the_error(store, monkeypatch):
    whole = type(store).replace

    def replace(self, name, *words, **named):
        if name.startswith("rejected_"):
            raise EtlError("the disk is full")
        return whole(self, name, *words, **named)

    monkeypatch.setattr(type(store), "replace", replace)
    error = refused(store, [{"key": 1, "x": -1.0}], accepted_range("x", low=0))
    assert "the check accepted_range(x, low=0) fails" in error.what
    assert error.hint.startswith("the refused rows could not be kept: the disk is full. ")


def test_no_more_bytes_of_refused_rows_are_kept_than_there_is_room_for(lake, monkeypatch):
    monkeypatch.setattr(rejected, "MOST_BYTES", 1)
    rows = pyarrow.table({"key": [1, 2, 3], "x": [-1.0] * 3})
    stream = pyarrow.RecordBatchReader.from_batches(rows.schema, rows.to_batches(max_chunksize=2))
    assert "`x` in 3 of 3 rows" in refused(lake, stream, accepted_range("x", low=0)).where
    assert lake.read(SIDE, ["key"]).column("key").to_pylist() == [1, 2]  # the first batch


def test_what_only_warns_is_not_kept_beside_what_refuses(store):
    regions(store, "G01", "G02")
    checks = [complete("gis_join", "timestamp", of="region_county", warn=True), accepted_range("rain_mm", low=2)]
    error = refused(store, every_day(["G01"]), *checks, name="macav2_county", key=COUNTY_KEY, part=part())
    assert error.what == "`macav2_county` was not loaded: the check accepted_range(rain_mm, low=2) fails"
    assert store.read("rejected_macav2_county__ccsm4_historical_2005").num_rows == 365


def test_a_success_leaves_what_another_collection_refused(store):
    check = accepted_range("x", low=0)
    refused(store, [{"key": 1, "x": -1.0}], check, name="things_of_others")
    store.replace("things", [{"key": 1, "x": 1.0}], key="key", checks=[check])
    assert store.names() == ["rejected_things_of_others", "things"]


def test_a_collection_with_a_long_name_has_a_name_for_its_refused_rows(store):
    long = rejected.name_of("a_collection_with_a_long_name", {"model": "HadGEM2-ES365", "scenario": "historical", "year": 2005})
    assert len(long) == 58  # PostgreSQL takes 63
    assert long.startswith("rejected_a_collection_with_a_long_name__hadgem2_e")
    other = rejected.name_of(
        "a_collection_with_a_long_name", {"model": "HadGEM2-ES365", "scenario": "historical", "year": 2004}
    )
    assert other != long
    store.replace(long, [{"key": 1}], key="key")
    store.replace(long, [{"key": 2}], key="key")
    assert (store.names(), store.read(long).to_pylist()) == ([long], [{"key": 2}])


# around the load


def test_the_list_marks_refused_rows(store):
    from impl.store.show import list_text

    refused(store, [{"key": 1, "x": -1.0}], accepted_range("x", low=0))
    assert next(line for line in list_text(store).splitlines() if line.startswith(SIDE)).endswith("  rejected rows")


def test_results_are_plain_facts_of_the_load(home, tmp_path):
    pyarrow.parquet.write_table(pyarrow.table({"key": [1], "x": [-1.0]}), tmp_path / "rows.parquet")
    done = load(home, "things", tmp_path / "rows.parquet", key="key", checks=[accepted_range("x", low=0, warn=True)])
    assert done["checks"][1] == {
        "check": "accepted_range(x, low=0)", "columns": ("x",), "rows": 1, "bad": 1, "passed": False, "warn": True,
        "found": "`x` in 1 of 1 rows: key=1: x is -1, not at least 0",
    }  # fmt: skip


def test_a_changed_check_makes_the_load_run_again(tmp_path):
    from types import SimpleNamespace

    from impl.steps import collection

    source = SimpleNamespace(synthetic=False)
    c = SimpleNamespace(env=SimpleNamespace(store=str(tmp_path / "store"), source=source, unchanged=frozenset()))

    def digests(*checks):
        step = collection(c, "things.load", "things", tmp_path / "rows.parquet", key="key", checks=list(checks))
        assert pickle.loads(pickle.dumps(step.kwargs)) == step.kwargs  # it may run in another process
        return signature(step, Place(ROOT, tmp_path / "state", tmp_path))

    first = digests(not_null("name"), accepted_range("x", low=0, high=1))
    assert digests(not_null("name"), accepted_range("x", low=0, high=1)) == first
    for other in (
        digests(not_null("name"), accepted_range("x", low=0, high=2)),
        digests(not_null("name", warn=True), accepted_range("x", low=0, high=1)),
        digests(not_null("name")),
    ):
        assert {name for name in first if first[name] != other[name]} == {"`checks`"}


@pytest.fixture
def run(tmp_path):
    """Runs a load as a checkpoint, with these checks; what it made, what it said and what it keeps of the result."""
    from types import SimpleNamespace

    from impl.run.graph import Graph
    from impl.steps import collection

    c = SimpleNamespace(
        env=SimpleNamespace(store=str(tmp_path / "store"), source=SimpleNamespace(synthetic=False), unchanged=frozenset())
    )
    place = Place(root=tmp_path, state=tmp_path / "state", data=tmp_path / "data")
    rows, other = place.data / "rows.parquet", place.data / "other.parquet"
    place.data.mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"key": [1], "x": [-1.0]}), rows)
    other.write_text("one")

    def run(*checks, clean=False):
        said = []
        step = collection(c, "things.load", "things", rows, key="key", checks=list(checks), reads=[other])
        graph = Graph([step], place)
        try:
            if clean:
                return graph.clean(["things.load"], say=said.append)
            made = graph.run(["things.load"], say=said.append).made
            return made, said, graph.state.get_values("things.load")["result"]
        finally:
            graph.close()

    run.store, run.other = open_store(tmp_path / "store"), other
    return run


def test_a_load_runs_again_when_its_checks_change_and_keeps_what_they_found(run):
    made, said, kept = run(accepted_range("x", low=-2))
    assert made == ["things.load"] and not any("warning" in line for line in said)
    assert [(one["check"], one["passed"]) for one in kept["checks"]] == [("unique", True), ("accepted_range(x, low=-2)", True)]
    assert run(accepted_range("x", low=-2))[0] == []
    version = run.store.facts("things").version
    for _ in range(2):  # having run does not make it up to date
        with pytest.raises(EtlError, match=r"the check accepted_range\(x, low=0\) fails"):
            run(accepted_range("x", low=0))
    assert run.store.facts("things").version == version
    assert run.store.names() == [SIDE, "things"]
    run(accepted_range("x", low=-3))
    assert run.store.names() == ["things"]


def test_what_a_check_warns_of_is_said_at_the_end_of_the_run(run):
    made, said, kept = run(accepted_range("x", low=0, warn=True))
    found = "accepted_range(x, low=0): `x` in 1 of 1 rows: key=1: x is -1, not at least 0"
    assert made == ["things.load"]
    assert said[-1] == f"\nwarning: things.load: {found}"
    assert kept["warnings"] == [found]


def test_a_load_runs_again_when_what_its_checks_look_at_changes(run):
    run(not_null("x"))
    run.other.write_text("two")
    assert run(not_null("x"))[0] == ["things.load"]


def test_cleaning_takes_refused_rows_too(run):
    run(not_null("x"))
    with pytest.raises(EtlError):
        run(accepted_range("x", low=0))
    run(clean=True)
    assert run.store.names() == []


@pytest.mark.slow
def test_a_year_of_all_counties_is_checked_in_less_than_a_second(lake):
    import numpy

    from impl.store import checking

    names, columns = [f"G{number:07}" for number in range(3109)], [f"value_{number}" for number in range(30)]
    regions(lake, *names)
    checks = [not_null(*columns), accepted_range(*columns, low=0, high=1), references("gis_join", "region_county"), COVERAGE]
    types = {"gis_join": "text", "timestamp": "timestamp", "year": "smallint", **dict.fromkeys(columns, "double")}
    key = ("gis_join", "timestamp")
    checked = checking.Checking(checks, checking.Load(lake, "m", types, key, ("year",), {"year": 2005}, None, False, None))
    start, seconds = numpy.datetime64("2005-01-01", "us"), 0.0
    for first in range(0, 365, 20):
        days = numpy.arange(first, min(first + 20, 365)).astype("timedelta64[D]")
        times = pyarrow.array(numpy.repeat(start + days, len(names))).cast(pyarrow.timestamp("us", "UTC"))
        values = {name: numpy.linspace(0, 1, len(times)) for name in columns}
        batch = pyarrow.RecordBatch.from_pydict({"gis_join": names * len(days), "timestamp": times, **values})
        before = time.process_time()
        checked.look((2005,), batch)
        seconds += time.process_time() - before
    assert [(one.rows, one.bad) for one in checked.decide()] == [(1_134_785, 0)] * 5  # 3,109 x 365
    assert seconds < 1, f"{seconds:.2f} CPU-seconds"


LOADER = """
import sys
import pyarrow
from impl.store import open_store
from impl.store.checks import accepted_range
table = pyarrow.table({"key": list(range(90_000)), "x": [-1.0] * 90_000})
print("ready", flush=True)
open_store(sys.argv[1]).replace("things", table, key="key", checks=[accepted_range("x", low=0)])
"""


@pytest.mark.slow
def test_a_kill_in_between_leaves_no_half_of_anything(home):
    store = open_store(home)
    old = store.replace("things", [{"key": 1, "x": 1.0}], key="key").fingerprint
    for wait in (0.05, 0.25, 0.5, 0.8):
        loader = subprocess.Popen([sys.executable, "-c", LOADER, str(home)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        loader.stdout.readline()
        time.sleep(wait)
        loader.send_signal(signal.SIGKILL)
        loader.wait()
        assert store.holds("things", None, old)
        if SIDE in store.names():
            assert store.read(SIDE).num_rows == store.facts(SIDE).rows == 90_000
            store.drop(SIDE)
    store.tidy()
    store.replace("things", [{"key": 1, "x": 2.0}], key="key", checks=[accepted_range("x", low=0)])
    assert store.names() == ["things"]
    if isinstance(home, Path):
        assert [one.name for one in home.iterdir()] == ["things"]
