"""Errors as people meet them: typed, read on the screen, and nothing lost."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import pytest

from ..conftest import ROOT, Checkout

SHAPE = re.compile(r"error: .+\n  at .+(\n.+)*\n\nhint: .+", re.MULTILINE)


def said(done, code=1):
    """The error on the screen: it has its shape, its code, and no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    text = done.stderr[done.stderr.index("error: ") :]
    assert SHAPE.match(text), text
    return text


@pytest.fixture
def mirror(staged, tmp_path):
    """A folder of raw files as somebody has downloaded them."""
    return shutil.copytree(staged.data / "local/raw/region", tmp_path / "mirror")


def without(archive, ending):
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist() if not name.endswith(ending)}
    with zipfile.ZipFile(archive, "w") as new:
        for name, content in members.items():
            new.writestr(name, content)


def test_a_zip_without_dbf(staged, mirror):
    without(mirror / "tl_2010_us_county10.zip", ".dbf")
    text = said(staged.type("region.county.stage", ETL_SOURCE=f"mirror:{mirror}"))
    assert ".dbf" in text
    assert "tl_2010_us_county10.zip" in text


def test_a_truncated_zip(staged, mirror):
    archive = mirror / "tl_2010_us_county10.zip"
    os.truncate(archive, archive.stat().st_size // 2)
    assert "tl_2010_us_county10.zip" in said(staged.type("region.county.stage", ETL_SOURCE=f"mirror:{mirror}"))
    assert "region_county" in staged.invoke("store.list").stdout  # what was there stays


def test_a_shapefile_without_the_field(staged, mirror):
    shutil.copy2(mirror / "tl_2010_us_state10.zip", mirror / "tl_2010_us_county10.zip")
    text = said(staged.type("region.county.stage", ETL_SOURCE=f"mirror:{mirror}"))
    assert "COUNTYFP10" in text


def test_a_file_that_the_mirror_lacks(staged, mirror):
    (mirror / "tl_2010_us_state10.zip").rename(mirror / "tl_2010_us_state.zip")
    text = said(staged.type("region.state.stage", ETL_SOURCE=f"mirror:{mirror}"))
    assert "tl_2010_us_state.zip" in text  # near


def test_a_wrong_setting_names_the_nearest_right_one(staged):
    assert "`sample`" in said(staged.type("region.stage", ETL_SOURCE="sampel"))
    assert "`local`" in said(staged.type("region.stage", ETL_ENV="loca"))
    assert "`CCSM4`" in said(staged.type("macav2.stage", INVOKE_MACAV2_MODELS="CSSM4"))
    assert "1950" in said(staged.type("macav2.stage", INVOKE_MACAV2_YEARS="1066"))


def test_a_wrong_name_of_a_task_names_the_nearest_right_one(staged):
    text = staged.type("regoin.stage").stderr
    assert "`region.stage`" in text


def test_a_wrong_collection_column_or_format_in_a_query(staged):
    assert "`region_county`" in staged.type("store.query", "select * from region_conty").stderr
    assert "`area_km2`" in staged.type("store.query", "select area_km from region_county").stderr
    assert "`csv`" in staged.type("store.query", "select 1", "--format", "cvs").stderr
    assert "`region_state`" in said(staged.type("store.show", "region_stat"))
    assert ".geojson" in staged.type("store.export", "region_state", "--to", "x.geojsn").stderr


def test_a_query_cannot_change_the_store_or_write_files(staged, tmp_path):
    target = tmp_path / "out.csv"
    for sql in (
        f"copy region_state to '{target}'",
        "drop view region_state",
        "create table x as select 1",
        "delete from region_state",
    ):
        done = staged.type("store.query", sql)
        assert done.returncode == 1, sql
        assert "Traceback" not in done.stderr
    assert not target.exists()
    assert staged.query("select count(*) as n from region_state") == [{"n": 5}]


def test_a_corrupt_state_file(staged):
    state = staged.data / "local/state/checkpoints.sqlite"
    state.write_bytes(b"not a database at all" * 500)
    text = said(staged.type("region.stage"))
    assert "the state file is corrupt" in text
    shutil.rmtree(state.parent)
    assert "5 rows in region_state, unchanged" in staged.invoke("region.stage").stderr  # as the hint says


def test_a_full_disk(small_disk):
    checkout = Checkout(ROOT, small_disk / "data")
    assert "the disk is full" in said(checkout.type("region.stage", "--jobs", "1"))
    assert [path.name for path in small_disk.rglob(".*.part")] == []


def test_a_read_only_disk(read_only_disk):
    checkout = Checkout(ROOT, read_only_disk / "data")
    assert "read-only" in said(checkout.type("region.stage"))


@pytest.mark.slow
def test_two_builds_at_once(staged):
    first = subprocess.Popen(
        [sys.executable, "-m", "invoke", "macav2.stage"], cwd=ROOT, env=staged.environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (staged.data / "local/state/lock").stat().st_size:
        time.sleep(0.02)
    text = said(staged.type("macav2.stage"))
    assert "another run is at work" in text
    assert "invoke macav2.stage" in text
    assert f"process {first.pid} " in text
    _, problems = first.communicate(timeout=120)
    assert first.returncode == 0, problems


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_says_that_the_next_run_goes_on(staged):
    running = subprocess.Popen(
        [sys.executable, "-m", "invoke", "macav2.stage"], cwd=ROOT, env=staged.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr.readline().startswith("[+]")
    os.killpg(running.pid, signal.SIGINT)  # as the terminal does: to the whole group
    _, problems = running.communicate(timeout=30)
    assert running.returncode == 130
    assert problems.endswith("error: interrupted\n\nhint: the same command goes on where this one stopped\n")
    assert "Traceback" not in problems
    assert "[|] macav2." in staged.invoke("macav2.stage").stderr


def test_cargo_is_missing(staged, tmp_path):
    """A PATH with Python and git alone, as on a machine where Rust was never installed."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "python").symlink_to(sys.executable)
    text = said(staged.type("ncproj.compile", PATH=str(tools)))
    assert "`cargo` is not installed" in text
    assert "rustup" in text


def test_rust_is_too_old(staged, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, words in {"cargo": "cargo 1.63.0", "rustc": "rustc 1.63.0\nrelease: 1.63.0"}.items():
        (tools / name).write_text(f"#!/bin/sh\necho '{words}'\n")
        (tools / name).chmod(0o755)
    text = said(staged.type("ncproj.compile", PATH=f"{tools}:{os.environ['PATH']}"))
    assert "the Rust compiler is too old" in text
    assert "1.63.0" in text


@pytest.mark.slow
def test_a_truncated_netcdf(rebuilt, whole_mirror):
    short = next(whole_mirror.glob("*_pr_*_2005_2005_*"))
    os.truncate(short, short.stat().st_size * 2 // 3)
    text = said(rebuilt.type("macav2.build", ETL_SOURCE=f"mirror:{whole_mirror}"))
    assert short.name in text
    assert rebuilt.query("select count(*) > 0 as there from macav2_county") == [{"there": True}]  # what was there stays


@pytest.mark.slow
def test_a_variable_that_is_not_there(rebuilt, whole_mirror):
    wrong = next(whole_mirror.glob("*_pr_*_2005_2005_*"))
    shutil.copy2(next(whole_mirror.glob("*_huss_*_2005_2005_*")), wrong)
    text = said(rebuilt.type("macav2.build", ETL_SOURCE=f"mirror:{whole_mirror}"))
    assert "`precipitation`" in text
    assert "specific_humidity" in text


def test_a_day_a_region_or_a_column_that_a_map_does_not_know(built):
    words = ("macav2.map", "--variable", "mean_precipitation_mm", "--date")
    assert "2005-07-15" in said(built.type(*words, "15.7.2005"))
    assert "state:" in said(built.type(*words, "2005-07-15", "--region", "Colorado"))
    assert built.type(*words, "1999-07-15").returncode == 1
    assert (
        "`mean_precipitation_mm`"
        in built.type("macav2.map", "--variable", "mean_precipitaton_mm", "--date", "2005-07-15").stderr
    )


def test_debug_shows_the_traceback_that_is_hidden_otherwise(staged):
    done = staged.type("--debug", "store.show", "region_stat")
    assert "Traceback" in done.stderr
    assert "there is no collection `region_stat`" in done.stderr
