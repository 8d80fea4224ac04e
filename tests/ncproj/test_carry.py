"""Attributes of the regions that are carried into the output: `ncproj index --carry`."""

import csv
import io
import json

import netCDF4
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.ncproj.odd import box

# Four regions, one column of cells each; the third has nothing but its key.
ATTRIBUTES = [
    {"id": "a", "STATE": "CO", "POP": 10, "share": 0.5, "flag": True},
    {"id": "b", "STATE": 'New "M", x', "POP": -(2**40), "share": 3, "flag": False},
    {"id": "c", "STATE": None, "POP": None, "share": None, "flag": None},
    {"id": "d", "STATE": "", "POP": 0, "share": -1e-9, "flag": True},
]
CARRY = ("--carry", "STATE,POP=people,share")


def features(desk, attributes=ATTRIBUTES, name="r.geojson"):
    made = [
        {
            "type": "Feature",
            "properties": properties,
            "geometry": {"type": "Polygon", "coordinates": [box(10 + k, 0, 11 + k, 4)]},
        }
        for k, properties in enumerate(attributes)
    ]
    path = desk.folder / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": made}))
    return path


@pytest.fixture
def states(desk):
    """The desk with a grid whose value is the column, and an index that carries STATE, POP as `people`, and `share`."""
    desk.grid(np.arange(4.0))
    done = desk.index(features(desk), "t.nc", *CARRY)
    assert done.returncode == 0, done.stderr
    return desk


def aggregate(desk, name, *words, stats="mean", fine=True):
    target = desk.folder / name
    done = desk.program(
        "aggregate", "--index", desk.folder / "t.index", desk.folder / "t.nc", "--stats", stats, *words, "-o", target
    )
    if not fine:
        return desk.refusal(done)
    assert done.returncode == 0, done.stderr
    desk.said = done.stderr
    return target


def test_carried_columns_stand_after_the_key_with_their_types_and_nulls(states):
    table = pq.read_table(aggregate(states, "o.parquet"))
    assert table.column_names == ["id", "STATE", "people", "share", "mean_v"]
    assert [table.schema.field(k).type for k in range(1, 4)] == [pa.string(), pa.int64(), pa.float64()]
    assert table["STATE"].to_pylist() == ["CO", 'New "M", x', None, ""]
    assert table["people"].to_pylist() == [10, -(2**40), None, 0]
    assert table["share"].to_pylist() == [0.5, 3.0, None, -1e-9]
    assert table["mean_v"].to_pylist() == [0, 1, 2, 3]
    assert json.loads(table.schema.metadata[b"ncproj"])["carried"] == ["STATE", "people", "share"]


def test_arrow_has_the_same_columns_as_parquet(states):
    table = pq.read_table(aggregate(states, "o.parquet")).replace_schema_metadata()
    assert pyarrow.feather.read_table(aggregate(states, "o.arrow")).replace_schema_metadata().to_pydict() == table.to_pydict()


def test_csv_tells_an_empty_text_from_none(states):
    text = aggregate(states, "o.csv").read_text()
    assert text.splitlines() == [
        "id,STATE,people,share,mean_v",
        "a,CO,10,0.5,0",
        'b,"New ""M"", x",-1099511627776,3,1',
        "c,,,,2",
        'd,"",0,-0.000000001,3',
    ]


def test_netcdf_has_a_variable_over_the_regions_for_each(states):
    with netCDF4.Dataset(aggregate(states, "o.nc")) as file:
        assert file["STATE"].dimensions[0] == "region" and file["people"].dimensions == ("region",)
        assert netCDF4.chartostring(file["STATE"][:]).tolist() == ["CO", 'New "M", x', "", ""]
        people = file["people"][:]
        assert people.dtype == np.float64 and people.filled(-1).tolist() == [10, -(2**40), -1, 0]  # beyond int32
        assert file["share"][:].filled(np.nan).tolist()[:2] == [0.5, 3]
    states.index(features(states, [a | {"POP": k} for k, a in enumerate(ATTRIBUTES)]), "t.nc", "--carry", "POP")
    with netCDF4.Dataset(aggregate(states, "o.nc")) as file:
        assert file["POP"].dtype == np.int32 and file["POP"][:].tolist() == [0, 1, 2, 3]


def test_an_integer_that_netcdf_cannot_hold_is_an_error_and_parquet_holds_it(states):
    states.index(features(states, [a | {"POP": 2**53 + 1} for a in ATTRIBUTES]), "t.nc", "--carry", "POP")
    said = aggregate(states, "o.nc", fine=False)
    assert "the carried `POP` holds 9007199254740993" in said and "write .parquet" in said
    assert pq.read_table(aggregate(states, "o.parquet"))["POP"].to_pylist() == [2**53 + 1] * 4


def test_time_stands_after_what_is_carried_and_every_step_repeats_it(states):
    def more(file):
        file.createDimension("time", 3)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = [0, 1, 2]
        field = file.createVariable("w", "f4", ("time", "lat", "lon"))
        field[:] = np.arange(48).reshape(3, 4, 4)

    states.grid(np.arange(4.0), more=more)
    for name in ("o.parquet", "o.arrow"):
        path = aggregate(states, name, "--variables", "w")
        table = pq.read_table(path) if name == "o.parquet" else pyarrow.feather.read_table(path)
        assert table.column_names == ["id", "STATE", "people", "share", "time", "mean_w"]
        assert table["people"].to_pylist() == [10, -(2**40), None, 0] * 3
        assert table["STATE"].to_pylist() == ["CO", 'New "M", x', None, ""] * 3
    rows = list(csv.DictReader(io.StringIO(aggregate(states, "o.csv", "--variables", "w").read_text())))
    assert [row["people"] for row in rows[4:8]] == ["10", "-1099511627776", "", "0"]


def test_an_index_without_carried_columns_keeps_its_format_and_bytes(states):
    states.index(features(states))
    plain = (states.folder / "t.index").read_bytes()
    assert plain[8:12] == (1).to_bytes(4, "little") and b"carried" not in plain
    states.index(features(states), "t.nc", "--carry", "STATE")
    assert (states.folder / "t.index").read_bytes()[8:12] == (4).to_bytes(4, "little")


def fingerprint(desk, attributes=ATTRIBUTES, *words):
    assert desk.index(features(desk, attributes), "t.nc", *words).returncode == 0
    done = desk.program("info", "--json", desk.folder / "t.index")
    return json.loads(done.stdout)["fingerprint"]


def test_the_fingerprint_is_that_of_the_carried_values_too(states):
    changed = [a | {"POP": 11} if a["id"] == "a" else a for a in ATTRIBUTES]
    empty = [a | {"STATE": ""} for a in ATTRIBUTES]
    seen = [
        fingerprint(states),
        fingerprint(states, ATTRIBUTES, "--carry", "POP"),
        fingerprint(states, changed, "--carry", "POP"),
        fingerprint(states, ATTRIBUTES, "--carry", "POP=people"),
        fingerprint(states, ATTRIBUTES, "--carry", "STATE"),
        fingerprint(states, empty, "--carry", "STATE"),
        fingerprint(states, ATTRIBUTES, "--carry", "STATE,POP"),
    ]
    assert len(set(seen)) == len(seen)
    assert fingerprint(states, changed) == seen[0]  # what is not carried counts for nothing
    assert fingerprint(states, ATTRIBUTES, "--carry", "POP") == seen[1]


def test_info_and_check_know_what_is_carried(states):
    text = states.program("info", states.folder / "t.index").stdout
    assert "format       ncproj index 4" in text
    assert "carried      `STATE` text (1 null), `people` int64 (1 null), `share` float64 (1 null)" in text
    done = states.program("check", "--index", states.folder / "t.index", states.folder / "t.nc")
    assert done.returncode == 0 and "t.nc: fits" in done.stdout


def test_export_has_the_carried_columns_after_the_key(states):
    for name in ("e.csv", "e.parquet", "e.nc"):
        done = states.program("export", "--index", states.folder / "t.index", "-o", states.folder / name)
        assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO((states.folder / "e.csv").read_text())))
    assert list(rows[0])[:5] == ["id", "STATE", "people", "share", "row"] and len(rows) == 16
    assert {row["id"]: row["people"] for row in rows} == {"a": "10", "b": "-1099511627776", "c": "", "d": "0"}
    table = pq.read_table(states.folder / "e.parquet")
    assert table.column_names == list(rows[0])
    assert table["STATE"].to_pylist() == ["CO"] * 4 + ['New "M", x'] * 4 + [None] * 4 + [""] * 4
    assert table["share"].to_pylist()[4] == 3.0 and table["row"].to_pylist() == [0, 1, 2, 3] * 4


def test_a_carried_column_may_choose_the_regions(states):
    def keys(*words):
        return pq.read_table(aggregate(states, "o.parquet", *words))["id"].to_pylist()

    assert keys("--where", "STATE=CO") == ["a"]
    assert keys("--where", "STATE=N*,CO") == ["a", "b"]
    assert keys("--where", "STATE=*") == ["a", "b", "d"]  # what has no value fits nothing
    assert keys("--where", "people=10", "--where", "id=c") == ["a", "c"]
    assert keys("--where", "share=0.5") == ["a"]
    assert keys("--where", "c") == ["c"]
    table = pq.read_table(aggregate(states, "o.parquet", "--where", "id=b,d"))
    assert table["people"].to_pylist() == [-(2**40), 0]


def test_a_choice_that_fits_nothing_says_what_there_is(states):
    said = aggregate(states, "o.csv", "--where", "STATE=CA", fine=False)
    assert "no region has a `STATE` like `CA`" in said and "did you mean `CO`?" in said
    said = aggregate(states, "o.csv", "--where", "STAT=CO", fine=False)
    assert "the regions have no `STAT`: their key is `id`, and `STATE`, `people`, `share` are carried" in said
    assert "did you mean `STATE`?" in said


def test_wide_rows_keep_what_is_carried_in_the_metadata_or_say_that_they_cannot(states):
    table = pq.read_table(aggregate(states, "w.parquet", "--wide"))
    assert table.column_names == ["mean_v_a", "mean_v_b", "mean_v_c", "mean_v_d"]
    kept = json.loads(table.schema.metadata[b"ncproj"])["carried"]
    assert kept["regions"] == ["a", "b", "c", "d"] and kept["values"]["people"] == [10, -(2**40), None, 0]
    assert "warning" not in states.said
    assert aggregate(states, "w.csv", "--wide").read_text().startswith("mean_v_a,")
    assert "warning: wide rows of CSV have no place for what is carried: left out: `STATE`, `people`, `share`" in states.said


@pytest.mark.parametrize(
    ("carry", "said", "hint"),
    [
        ("id", "two columns would be called `id`", "--carry id=NAME"),
        ("STATE=id", "two columns would be called `id`", "--carry STATE=NAME"),
        ("STATE,POP=STATE", "two columns would be called `STATE`", "--carry POP=NAME"),
        ("STAT", "there is no field `STAT`", "did you mean `STATE`?"),
        ("STATE,,POP", "an entry of `--carry` is empty", "write `--carry NAME`"),
        ("STATE=", "`STATE=` in `--carry` lacks a name", "write `--carry NAME`"),
    ],
)
def test_a_wrong_name_is_an_error_when_the_index_is_made(states, carry, said, hint):
    text = states.refusal(states.index(features(states), "t.nc", "--carry", carry))
    assert said in text and hint in text


def test_the_key_may_be_carried_under_another_name(states):
    states.index(features(states), "t.nc", "--carry", "id=again", "--key-name", "region")
    table = pq.read_table(aggregate(states, "o.parquet"))
    assert table.column_names == ["region", "again", "mean_v"] and table["region"] == table["again"]


@pytest.mark.parametrize("name", ["time", "mean_v"])
def test_a_name_that_the_output_has_already_is_an_error(states, name):
    def more(file):
        file.createDimension("time", 1)
        time = file.createVariable("time", "f8", ("time",))
        time.units = "days since 2000-01-01"
        time[:] = [0]
        file.createVariable("v2", "f4", ("time", "lat", "lon"))[:] = 1

    states.grid(np.arange(4.0), more=more)
    states.index(features(states), "t.nc", "--carry", f"STATE={name}")
    said = aggregate(states, "o.csv", "--variables", "v2=v", fine=False)
    assert f"two columns would be called `{name}`" in said and f"ncproj index --carry {name}=NAME" in said
    assert not (states.folder / "o.csv").exists()


def test_names_that_only_an_export_has_are_an_error_there(states):
    states.index(features(states), "t.nc", "--carry", "STATE=coverage")
    done = states.program("export", "--index", states.folder / "t.index", "-o", states.folder / "e.csv")
    assert done.returncode == 1 and "two columns would be called `coverage`" in done.stderr
    assert aggregate(states, "o.csv").exists()


def test_netcdf_refuses_a_name_of_its_own_variables(states):
    states.index(features(states), "t.nc", "--carry", "STATE=latitude")
    assert "two variables would be called `latitude`" in aggregate(states, "o.nc", fine=False)


def test_a_damaged_index_with_carried_columns_is_said_to_be_damaged(states):
    path = states.folder / "t.index"
    whole = path.read_bytes()
    at = whole.index(b"CO", whole.index(b"\x01\x00\x00\x00a"))
    for damaged in (
        whole[:at] + b"XX" + whole[at + 2 :],
        whole[:-40],
        whole[: at + 1],
        whole[:at] + b"\xff\xff" + whole[at + 2 :],
    ):
        path.write_bytes(damaged)
        said = aggregate(states, "o.csv", fine=False)
        assert "is damaged" in said or "is not an index" in said


def test_what_was_kept_for_another_carry_is_not_taken(states):
    whole = aggregate(states, "o.csv").read_text()
    assert aggregate(states, "r.csv", "--resume").read_text() == whole
    (states.folder / ".r.csv.resume").write_bytes(b"ncprojrs" + bytes(32))
    assert aggregate(states, "r.csv", "--resume").read_text() == whole
    assert "is of other files, options or another version: begun anew" in states.said


def test_values_of_several_types_are_texts_as_people_write_them(states):
    mixed = [a | {"POP": v, "share": v} for a, v in zip(ATTRIBUTES, [1, "x", None, 2.5], strict=True)]
    states.index(features(states, mixed), "t.nc", "--carry", "POP,flag")
    table = pq.read_table(aggregate(states, "o.parquet"))
    assert table["POP"].to_pylist() == ["1", "x", None, "2.5"]
    assert table["flag"].to_pylist() == ["true", "false", None, "true"]


def test_carried_columns_and_classes_go_together(states):
    states.grid(np.array([[1, 1, 2, 2]] * 4), kind="i2")
    table = pq.read_table(aggregate(states, "o.parquet", stats="frac,variety"))
    assert table.column_names == ["id", "STATE", "people", "share", "frac_1_v", "frac_2_v", "variety_v"]
    assert table["frac_2_v"].to_pylist() == [0, 0, 1, 1]
