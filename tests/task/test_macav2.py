"""The main job on the sample: from nothing to climate by county, compared with exactextract and by hand."""

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import geopandas
import netCDF4
import numpy as np
import pytest
import shapely

from task import macav2

from ..ncproj.conftest import expected

pytestmark = pytest.mark.slow
GOLDEN = Path(__file__).parent / "golden/macav2_county.csv"
RAW = "local/raw/macav2/CCSM4/macav2metdata_{}_CCSM4_r6i1p1_historical_{}_CONUS_daily.nc"


def fingerprints(checkout):
    """collection -> fingerprint, as `store.list` shows them."""
    lines = checkout.invoke("store.list").stdout.splitlines()
    heading = lines[0].split("  ")
    assert any("fingerprint" in word for word in heading)
    return {
        line.split()[0]: next(w for w in line.split() if len(w) == 12 and set(w) <= set("0123456789abcdef"))
        for line in lines[1:]
        if line.strip() and "collections in" not in line
    }


def test_one_command_makes_everything_and_says_what_to_try(built):
    said = built.first.stderr
    assert "macav2_county" in said
    assert "synthetic" in said
    assert "invoke store.query" in said
    assert "invoke macav2.map" in said
    assert "ETL_SOURCE=remote" in said


def test_a_second_run_has_nothing_to_do(built):
    done = built.invoke("all.build")
    assert "[+]" not in done.stderr
    assert "0 checkpoints made" in done.stderr


def test_every_county_has_every_day(built):
    row = built.query(
        "select count(*) as n, count(distinct gis_join) as counties, count(distinct timestamp) as days,"
        " min(timestamp)::date as first, max(timestamp)::date as last from macav2_county"
    )[0]
    counties = built.query("select count(*) as n from region_county")[0]["n"]
    assert row["counties"] == counties
    assert row["days"] == 366 + 365  # 2004 is a leap year
    assert row["n"] == counties * 731
    assert (row["first"][:10], row["last"][:10]) == ("2004-01-01", "2005-12-31")


def test_columns_are_those_of_the_page(built):
    columns = {row["column_name"] for row in built.query("describe macav2_county")}
    assert columns == set(macav2.COLUMNS)
    assert len(columns) == 5 + 30 + 1


def test_min_mean_and_max_are_in_order_and_in_sane_ranges(built):
    for _, stem, *_ in macav2.VARIABLES.values():
        low, mean, high = (f"{how}_{stem}" for how in ("min", "mean", "max"))
        slack = 1e-9
        wrong = built.query(
            f"select count(*) as n from macav2_county where not ({low} <= {mean} + {slack} and {mean} <= {high} + {slack})"
        )
        assert wrong == [{"n": 0}], stem
    row = built.query(
        "select min(min_daily_low_temperature_kelvin) as cold, max(max_daily_high_temperature_kelvin) as hot,"
        " min(min_precipitation_mm) as dry, max(max_daily_high_relative_humidity_percent) as damp from macav2_county"
    )[0]
    assert 220 < row["cold"] < row["hot"] < 330
    assert row["dry"] >= 0
    assert row["damp"] <= 100


@pytest.mark.parametrize("variable", sorted(macav2.VARIABLES))
def test_two_days_agree_with_exactextract(built, variable):
    inside, stem, *_ = macav2.VARIABLES[variable]
    boundaries = geopandas.read_parquet(built.data / "local/cache/region/county.parquet")[["gis_join", "geometry"]]
    boundaries["geometry"] = shapely.transform(boundaries.geometry.values, lambda points: points + np.array([360, 0]))
    with netCDF4.Dataset(built.data / RAW.format(variable, "2005_2005")) as file:
        latitude, longitude = file["lat"][:].data, file["lon"][:].data
        for day, date in ((0, "2005-01-01"), (195, "2005-07-15")):
            field = file[inside][day].astype("f8").filled(np.nan)
            wanted = expected(field, latitude, longitude, boundaries).set_index("gis_join")
            rows = built.query(
                f"select gis_join, min_{stem} as lowest, max_{stem} as highest, mean_{stem} as mean from macav2_county where timestamp = '{date}'"
            )
            assert len(rows) == len(wanted)
            for row in rows:
                right = wanted.loc[row["gis_join"]]
                # the axes are float32: the edges of cells are known to a thousandth of a cell
                assert row["mean"] == pytest.approx(right["mean"], abs=1e-4 * (right["max"] - right["min"]) + 1e-9)
                assert (row["lowest"], row["highest"]) == (right["min"], right["max"])


def test_some_rows_are_those_of_the_golden_file(built):
    """The sample is the same on every machine. After a change that is meant, delete the file and run this once."""
    rows = built.query(
        "select * exclude (timestamp), timestamp::date::varchar as day from macav2_county"
        " where gis_join in (select gis_join from region_county order by gis_join limit 2)"
        " and timestamp in ('2004-02-29', '2005-07-15') order by gis_join, timestamp"
    )
    if not GOLDEN.exists():
        GOLDEN.parent.mkdir(exist_ok=True)
        with open(GOLDEN, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0], lineterminator="\n")
            writer.writeheader()
            writer.writerows(
                {name: f"{value:.7g}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
            )
        pytest.fail("the golden file was not there and has been written: read it, and commit it if it is right")
    with open(GOLDEN, newline="") as file:
        golden = list(csv.DictReader(file))
    assert len(rows) == len(golden) == 4
    for row, right in zip(rows, golden, strict=True):
        for name, value in row.items():
            assert (f"{value:.7g}" if isinstance(value, float) else str(value)) == right[name], name


def test_the_map_is_a_picture_that_says_what_it_is(built, tmp_path):
    target = tmp_path / "map.png"
    built.invoke("macav2.map", "--variable", "mean_daily_high_temperature_kelvin", "--date", "2005-07-15", "--to", str(target))
    assert target.read_bytes().startswith(b"\x89PNG")
    state = built.query("select name from region_state limit 1")[0]["name"]
    built.invoke(
        "macav2.map",
        "--variable",
        "mean_precipitation_mm",
        "--date",
        "2005-07-15",
        "--region",
        f"state:{state}",
        "--to",
        str(target),
    )
    assert target.stat().st_size > 10_000


def test_one_year_can_be_built_alone(rebuilt):
    rebuilt.invoke("macav2.clean")
    rebuilt.invoke("macav2.build", "--only", "2005")
    assert rebuilt.query("select distinct year from macav2_county") == [{"year": 2005}]


def test_other_settings_choose_other_files(rebuilt):
    done = rebuilt.invoke(
        "macav2.build", "--dry-run", INVOKE_MACAV2_MODELS="inmcm4", INVOKE_MACAV2_SCENARIOS="rcp85", INVOKE_MACAV2_YEARS="2099"
    )
    assert "macav2.pr.inmcm4.rcp85.2096.raw" in done.stderr
    assert ".CCSM4." not in done.stderr


def test_loading_again_by_force_changes_nothing(rebuilt):
    before = fingerprints(rebuilt)
    rebuilt.invoke("macav2.build", "--force", "--only", "load")
    assert fingerprints(rebuilt) == before


def test_a_raw_file_that_was_cut_is_made_again_and_the_store_stays(rebuilt):
    before = fingerprints(rebuilt)
    raw = rebuilt.data / RAW.format("pr", "2005_2005")
    os.truncate(raw, raw.stat().st_size // 2)
    done = rebuilt.invoke("macav2.build")
    assert [line.split()[1] for line in done.stderr.splitlines() if line.startswith("[+]")] == [
        "macav2.pr.CCSM4.historical.2005.raw"
    ]
    assert fingerprints(rebuilt) == before


def test_everything_gives_the_same_fingerprints_one_by_one_and_side_by_side(built, tmp_path):
    from ..conftest import ROOT, Checkout

    alone = Checkout(ROOT, tmp_path / "alone")
    alone.invoke("all.build", "--jobs", "1")
    assert fingerprints(alone) == fingerprints(built)


@pytest.mark.parametrize("made", ["macav2.huss.CCSM4.historical.2000.raw", "macav2.index", "macav2.CCSM4.historical.2004.rows"])
def test_a_killed_build_goes_on_and_ends_in_the_same_store(built, tmp_path, made):
    """Killed among raw files, among rows and among loads."""
    from ..conftest import ROOT, Checkout

    killed = Checkout(ROOT, tmp_path / "killed")
    running = subprocess.Popen(
        [sys.executable, "-m", "invoke", "all.build"], cwd=ROOT, env=killed.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert any(line.startswith(f"[+] {made}  ") for line in running.stderr)
    running.kill()
    running.wait()
    running.stderr.close()
    time.sleep(0.7)  # its workers notice that they are alone
    killed.invoke("all.build")
    assert fingerprints(killed) == fingerprints(built)
    assert list((tmp_path / "killed").rglob(".*.part")) == []


def test_values_that_cannot_be_are_refused_named_and_kept_aside(rebuilt, whole_mirror):
    rebuilt.invoke("macav2.build", ETL_SOURCE=f"mirror:{whole_mirror}")
    before = fingerprints(rebuilt)
    with netCDF4.Dataset(whole_mirror / RAW.format("pr", "2005_2005").rsplit("/", 1)[-1], "a") as file:
        file["precipitation"][9] = 9000  # 10 January 2005, in mm
    done = rebuilt.type("macav2.build", ETL_SOURCE=f"mirror:{whole_mirror}")
    side = "rejected_macav2_county__ccsm4_historical_2005"
    said = done.stderr.partition("error: ")[2]
    columns = "min_precipitation_mm, max_precipitation_mm, mean_precipitation_mm"
    assert said.startswith(f"`macav2_county` was not loaded: the check accepted_range({columns}, low=0, high=2000) fails")
    assert "timestamp=2005-01-10: min_precipitation_mm is 9000, not at least 0 and at most 2000" in said
    assert side in said
    days = rebuilt.query(f"select distinct rejected_by, timestamp::date::varchar as day from {side}")
    assert days == [{"rejected_by": f"accepted_range({columns}, low=0, high=2000)", "day": "2005-01-10"}]
    after = fingerprints(rebuilt)
    assert {name: after[name] for name in before} == before
    rebuilt.invoke("macav2.build")
    assert set(fingerprints(rebuilt)) == set(before)


def test_days_that_are_missing_are_counted_and_named(rebuilt, whole_mirror):
    """Files that end one day early are no files of a whole year."""
    for raw in whole_mirror.glob("*2005_2005*.nc"):
        with netCDF4.Dataset(raw) as whole, netCDF4.Dataset(raw.with_suffix(".short"), "w") as short:
            whole.set_auto_maskandscale(False)
            short.setncatts(whole.__dict__)
            for name, dimension in whole.dimensions.items():
                short.createDimension(name, len(dimension) - (name == "time"))
            for name, variable in whole.variables.items():
                about = dict(variable.__dict__)
                copy = short.createVariable(name, variable.dtype, variable.dimensions, fill_value=about.pop("_FillValue", None))
                copy.setncatts(about)
                copy.set_auto_maskandscale(False)
                copy[...] = variable[:-1] if variable.dimensions[:1] == ("time",) else variable[...]
        raw.with_suffix(".short").replace(raw)
    done = rebuilt.type("macav2.build", ETL_SOURCE=f"mirror:{whole_mirror}")
    assert done.returncode == 1
    assert "342 of 124,830 are missing: gis_join=" in done.stderr  # of 342 counties x 365 days
    assert "timestamp=2005-12-31" in done.stderr


def test_an_index_of_another_grid_is_refused(rebuilt, whole_mirror):
    """Two files on different grids under one model's name: the second is not silently averaged over the wrong cells."""
    shifted = whole_mirror / RAW.format("pr", "2005_2005").rsplit("/", 1)[-1]
    with netCDF4.Dataset(shifted, "a") as file:
        file["lon"][:] = file["lon"][:] + 0.5
    done = rebuilt.type("macav2.build", ETL_SOURCE=f"mirror:{whole_mirror}")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "grid" in done.stderr.partition("error: ")[2]
