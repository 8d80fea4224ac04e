"""Answers on the screen, as CSV, as JSON, as Parquet."""

import io
import json
from datetime import datetime, timezone

import pyarrow
import pyarrow.parquet
import pytest
import shapely

from impl.run.errors import EtlError
from impl.store import output
from impl.store.show import list_text, show_text, size_text
from tests.store.conftest import COUNTY_KEY, counties, days, part

ROWS = pyarrow.table(
    {
        "name": ["Adams", "Rockbridge, rural", None],
        "rows": [7, 1234, None],
        "area_km2": [4.0, 1539.58217, None],
        "timestamp": pyarrow.array([datetime(2005, 7, 1, tzinfo=timezone.utc)] * 3, pyarrow.timestamp("us", "UTC")),
        "geometry": [shapely.to_wkb(shapely.box(0, 0, 2, 2)), shapely.to_wkb(shapely.Point(1, 2)), None],
    }
)


def test_a_table_has_numbers_to_the_right_and_shapes_in_short():
    assert output.as_table(ROWS).splitlines() == [
        "name               rows  area_km2  timestamp   geometry",
        "─────────────────  ────  ────────  ──────────  ──────────────────",
        "Adams                 7         4  2005-07-01  POLYGON (5 points)",
        "Rockbridge, rural  1234   1539.58  2005-07-01  POINT (1 2)",
        "                                   2005-07-01",
        "",
        "3 rows",
    ]


def test_a_table_says_what_it_does_not_show():
    many = pyarrow.table({"number": list(range(1_139_424))})
    assert output.as_table(many, shown=2).splitlines()[2:] == ["     0", "     1", "", "2 shown of 1,139,424 rows"]
    narrow = output.as_table(ROWS, width=40).splitlines()
    assert max(map(len, narrow[:5])) <= 40
    assert narrow[-1] == "2 columns do not fit: timestamp, geometry"


def test_a_table_of_nothing_has_its_header():
    assert output.as_table(ROWS.slice(0, 0)).splitlines()[0].startswith("name")
    assert output.as_table(ROWS.slice(0, 0)).endswith("0 rows")


def test_csv_has_times_in_iso_and_shapes_as_text():
    assert (
        output.as_csv(ROWS.slice(0, 1).select(["name", "rows", "timestamp"]))
        == "name,rows,timestamp\nAdams,7,2005-07-01T00:00:00Z\n"
    )
    assert '"Rockbridge, rural",1234,1539.58217,"2005-07-01T00:00:00Z","POINT (1 2)"' in output.as_csv(ROWS)


def test_json_is_one_array_with_geojson_shapes():
    first, second, third = json.loads(output.as_json(ROWS))
    assert first["geometry"]["type"] == "Polygon" and second["geometry"] == {"type": "Point", "coordinates": [1.0, 2.0]}
    assert first["timestamp"] == "2005-07-01T00:00:00Z"
    assert third == {"name": None, "rows": None, "area_km2": None, "timestamp": "2005-07-01T00:00:00Z", "geometry": None}
    assert json.loads(output.as_json(ROWS.slice(0, 0))) == []


def test_json_has_no_nan():
    assert output.as_lines(pyarrow.table({"x": [float("nan"), float("inf"), 0.5]})) == '{"x": null}\n{"x": null}\n{"x": 0.5}\n'


def test_parquet_holds_the_same_table():
    assert pyarrow.parquet.read_table(io.BytesIO(output.as_parquet(ROWS))).equals(ROWS)


def test_an_unknown_format_names_the_nearest():
    with pytest.raises(EtlError) as caught:
        output.write(ROWS, "jason", io.BytesIO())
    assert "did you mean `json`" in caught.value.hint


def test_the_list_has_a_line_for_each_collection(lake):
    assert "the store is empty" in list_text(lake)
    lake.replace("region_county", counties(), key="gis_join", geometry="geometry")
    lake.replace("macav2_county", days(), key=COUNTY_KEY, part=part(), synthetic=True)
    lines = list_text(lake).splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["collection", "macav2_county", "region_county"]
    assert lines[1].endswith("synthetic") and "synthetic" not in lines[2]
    assert lake.facts("region_county").fingerprint[:12] in lines[2]


def test_a_collection_is_shown_with_its_columns_parts_and_rows(lake):
    lake.replace(
        "macav2_county", days(), key=COUNTY_KEY, part=part(), synthetic=True, description="Daily weather", source="sample",
        columns={"mean_precipitation_mm": ("mm", "mean over the county")},
    )  # fmt: skip
    text = show_text(lake, "macav2_county", width=100)
    assert text.startswith("macav2_county: Daily weather\n")
    assert "mean_precipitation_mm  double     mm    mean over the county" in text
    assert "CCSM4  historical  2005     6" in text
    assert "G0800010" in text and "sample data" in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456_789, "123.5 MB"), (4e12, "4.0 TB")]
)
def test_sizes_read_well(size, text):
    assert size_text(size) == text
