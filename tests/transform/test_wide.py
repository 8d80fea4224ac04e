"""Row files side by side: two counties, two days across New Year, two variables."""

from datetime import datetime, timezone

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from impl.run.errors import EtlError
from impl.transform import wide

UTC = timezone.utc
DAYS = [datetime(2004, 12, 31, tzinfo=UTC), datetime(2005, 1, 1, tzinfo=UTC), datetime(2005, 1, 2, tzinfo=UTC)]
COUNTIES = ["G01", "G02", "G99"]  # the last lies outside the grid


def write(path, name, values, counties=COUNTIES, days=DAYS):
    """What ncproj writes: time first, then region."""
    rows = [(county, day) for day in days for county in counties]
    shares = [None if value is None else 1.0 - value / 100 for value in values]
    parquet.write_table(
        pa.table(
            {
                "gis_join": [county for county, _ in rows],
                "time": pa.array([day for _, day in rows], pa.timestamp("us", "UTC")),
                f"mean_{name}": pa.array(values, pa.float64()),
                f"valid_{name}": pa.array(shares, pa.float64()),
            }
        ),
        path,
    )
    return path


RAIN = [1, 2, None, 3, 4, None, 5, 6, None]
WIND = [10, 20, None, 30, 40, None, 50, None, None]
WANT = {"key": ["gis_join", "time"], "rename": {"time": "timestamp"}, "lowest": {"valid_": "valid_share"}}


@pytest.fixture
def parts(tmp_path):
    return [write(tmp_path / "rain.parquet", "rain_mm", RAIN), write(tmp_path / "wind.parquet", "wind", WIND)]


def test_one_year_of_both_variables_stands_side_by_side(parts, tmp_path):
    note = wide.side_by_side(parts, tmp_path / "out.parquet", year=2005, **WANT)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.to_pylist() == [
        {"gis_join": "G01", "timestamp": DAYS[1], "mean_rain_mm": 3.0, "mean_wind": 30.0, "valid_share": 0.7},
        {"gis_join": "G02", "timestamp": DAYS[1], "mean_rain_mm": 4.0, "mean_wind": 40.0, "valid_share": 0.6},
        {"gis_join": "G01", "timestamp": DAYS[2], "mean_rain_mm": 5.0, "mean_wind": 50.0, "valid_share": 0.5},
        # of the second variable nothing is valid here: its share, unknown, is not that of the first
        {"gis_join": "G02", "timestamp": DAYS[2], "mean_rain_mm": 6.0, "mean_wind": None, "valid_share": None},
    ]
    assert note == "4 rows x 5 columns"


def test_small_batches_give_the_same_rows(parts, tmp_path, monkeypatch):
    wide.side_by_side(parts, tmp_path / "whole.parquet", year=2005, **WANT)
    monkeypatch.setattr(wide, "BATCH", 4)
    wide.side_by_side(parts, tmp_path / "batches.parquet", year=2005, **WANT)
    assert parquet.read_table(tmp_path / "batches.parquet").equals(parquet.read_table(tmp_path / "whole.parquet"))


def test_files_with_other_keys_are_refused(parts, tmp_path):
    other = write(tmp_path / "wind.parquet", "wind", WIND, counties=["G01", "G03", "G99"])
    with pytest.raises(EtlError, match="`gis_join` differs") as caught:
        wide.side_by_side([parts[0], other], tmp_path / "out.parquet", year=2005, **WANT)
    assert "rain.parquet and wind.parquet" in str(caught.value)
    assert not (tmp_path / "out.parquet").exists()


def test_a_shorter_file_is_refused(parts, tmp_path):
    short = write(tmp_path / "wind.parquet", "wind", WIND[:6], days=DAYS[:2])
    with pytest.raises(EtlError, match=r"do not have the same rows|differs"):
        wide.side_by_side([parts[0], short], tmp_path / "out.parquet", year=2005, **WANT)


def test_the_same_column_twice_is_refused(parts, tmp_path):
    with pytest.raises(EtlError, match="stands in two files"):
        wide.side_by_side([parts[0], parts[0]], tmp_path / "out.parquet", year=2005, **WANT)


def test_a_year_without_rows_is_an_error(parts, tmp_path):
    with pytest.raises(EtlError, match="no rows for the year 1999"):
        wide.side_by_side(parts, tmp_path / "out.parquet", year=1999, **WANT)
