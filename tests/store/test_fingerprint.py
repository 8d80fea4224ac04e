"""The fingerprint is what its definition says: told again here in plain Python, and compared."""

import json
import math
import struct
from datetime import date, datetime, timedelta, timezone
from hashlib import sha256

import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from impl.store import fingerprint, open_store

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
KINDS = {
    "smallint": "integer",
    "integer": "integer",
    "bigint": "integer",
    "real": "number",
    "double": "number",
    "geometry": "bytes",
}


def by_definition(rows, types):
    """The fingerprint of a list of dicts, row by row and cell by cell."""
    kinds = {name: KINDS.get(kind, kind) for name, kind in types.items()}
    header = sha256(json.dumps(sorted(kinds.items()), separators=(",", ":"), ensure_ascii=False).encode()).digest()
    total = 0
    for row in rows:
        cells = b"".join(cell(row[name], kinds[name]) for name in sorted(kinds))
        total += int.from_bytes(sha256(header + cells).digest(), "little")
    return f"{total % 2**256:064x}"


def cell(value, kind):
    if value is None:
        return b"\0" + bytes(32 if kind in ("text", "bytes") else 8)
    if kind == "text":
        return b"\1" + sha256(value.encode()).digest()
    if kind == "bytes":
        return b"\1" + sha256(value).digest()
    if kind == "number":
        return b"\1" + (bytes.fromhex("000000000000f87f") if math.isnan(value) else struct.pack("<d", value + 0.0))
    if kind == "timestamp":
        value = (value - EPOCH) // timedelta(microseconds=1)
    if kind == "date":
        value = (value - date(1970, 1, 1)).days
    return b"\1" + struct.pack("<q", value)


ROWS = [
    {"gis_join": "G0800010", "timestamp": datetime(2005, 7, 1, tzinfo=timezone.utc), "year": 2005, "rain_mm": 1.5},
    {"gis_join": "G5101630", "timestamp": datetime(1900, 1, 1, tzinfo=timezone.utc), "year": None, "rain_mm": None},
]
TYPES = {"gis_join": "text", "timestamp": "timestamp", "year": "bigint", "rain_mm": "double"}
GOLDEN = "6dad5566b83c3ed7b25003784f05a1439aff41d986d38d1438dfbdf5ef3401f5"  # of ROWS, by `by_definition`


def of(lake, rows, **settings):
    return lake.replace("things", rows, **{"key": "gis_join", **settings}).fingerprint


def test_two_rows_have_the_fingerprint_that_they_had_on_the_day_this_was_written(lake):
    assert by_definition(ROWS, TYPES) == GOLDEN
    assert of(lake, ROWS) == GOLDEN


def test_nothing_has_the_fingerprint_nought():
    assert fingerprint.add([]) == "0" * 64


VALUES = {
    "text": some.text(some.characters(exclude_categories=["Cs"]), max_size=8),
    "bigint": some.integers(-(2**63), 2**63 - 1),
    "smallint": some.integers(-(2**15), 2**15 - 1),
    "double": some.floats(),
    "real": some.floats(width=32),
    "boolean": some.booleans(),
    "timestamp": some.datetimes(datetime(1678, 1, 1), datetime(2200, 1, 1), timezones=some.just(timezone.utc)),
    "date": some.dates(date(1000, 1, 1)),
    "bytes": some.binary(max_size=8),
}


@settings(max_examples=60, deadline=None)
@given(
    some.lists(some.fixed_dictionaries({name: some.none() | values for name, values in VALUES.items()}), max_size=6),
    some.randoms(),
)
def test_any_rows_in_any_order_have_the_fingerprint_of_the_definition(rows, random):
    from impl.store.rows import arrow_schema

    types = {name: name for name in VALUES}
    shuffled = random.sample(rows, len(rows))
    batch = pyarrow.RecordBatch.from_pylist(shuffled, schema=arrow_schema(types))
    assert fingerprint.as_hex(fingerprint.sum_of_rows(batch, list(types.items()))) == by_definition(rows, types)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=some.dictionaries(
        some.integers(0, 50), some.tuples(some.sampled_from("ABC"), some.none() | some.floats(allow_nan=False)), min_size=1
    ),
    data=some.data(),
)
def test_the_way_into_the_store_does_not_matter(tmp_path_factory, rows, data):
    """Order, batches, partitions and one part after the other: the same rows, the same fingerprint."""
    lake = open_store(tmp_path_factory.mktemp("store"))
    table = pyarrow.Table.from_pylist([{"key": key, "model": model, "value": value} for key, (model, value) in rows.items()],
                                      schema=pyarrow.schema({"key": "int64", "model": "string", "value": "float64"}))  # fmt: skip
    order = data.draw(some.permutations(range(len(rows))))
    at = data.draw(some.integers(0, len(rows)))
    expected = lake.replace("plain", table, key="key").fingerprint
    mixed = table.take(pyarrow.array(order, pyarrow.int64()))
    pieces = pyarrow.concat_tables([mixed.slice(0, at), mixed.slice(at)])
    assert lake.replace("split", pieces, key="key", partition_by=["model"]).fingerprint == expected
    for model in {model for model, _ in rows.values()}:
        lake.replace("parts", table.filter(pyarrow.compute.field("model") == model), key="key", part={"model": model})
    assert lake.facts("parts").fingerprint == expected
    assert not lake.replace("split", table, key="key", partition_by=["model"]).changed


@pytest.mark.parametrize(
    "change",
    [
        {"gis_join": "G0800011"},
        {"gis_join": "G5101630 "},
        {"year": 2006},
        {"year": None},
        {"rain_mm": 1.5000000000000002},
        {"rain_mm": None},
        {"rain_mm": float("nan")},
        {"timestamp": datetime(2005, 7, 1, 0, 0, 0, 1, tzinfo=timezone.utc)},
    ],
    ids=str,
)
def test_any_change_of_a_value_is_seen(lake, change):
    from impl.store.rows import arrow_schema

    assert of(lake, pyarrow.Table.from_pylist([{**ROWS[0], **change}, ROWS[1]], arrow_schema(TYPES))) != GOLDEN


def test_values_that_change_places_are_seen(lake):
    first = of(lake, [{"gis_join": "A", "x": 1, "y": 2}])
    assert of(lake, [{"gis_join": "A", "x": 2, "y": 1}]) != first


def test_another_name_of_a_column_is_seen(lake):
    assert of(lake, [{"gis_join": "A", "x": 1}]) != of(lake, [{"gis_join": "A", "z": 1}])


def test_a_whole_number_is_not_the_number_with_a_point(lake):
    assert of(lake, [{"gis_join": "A", "x": 1}]) != of(lake, [{"gis_join": "A", "x": 1.0}])


def test_minus_nought_is_nought_and_a_narrow_number_is_the_wide_one(lake):
    def column(values, kind):
        return pyarrow.table({"gis_join": ["A", "B"], "x": pyarrow.array(values, kind)})

    expected = of(lake, column([0.0, 0.5], pyarrow.float64()))
    assert of(lake, column([-0.0, 0.5], pyarrow.float64())) == expected
    assert of(lake, column([0.0, 0.5], pyarrow.float32())) == expected


def test_a_time_is_the_same_in_any_zone_and_any_precision(lake):
    at = datetime(2005, 7, 1, 12)
    forms = [
        pyarrow.array([at], pyarrow.timestamp("s")),
        pyarrow.array([at], pyarrow.timestamp("ns")),
        pyarrow.array([at.replace(tzinfo=timezone.utc)], pyarrow.timestamp("ms", "America/Denver")),
    ]
    assert len({of(lake, pyarrow.table({"gis_join": ["A"], "at": form})) for form in forms}) == 1
