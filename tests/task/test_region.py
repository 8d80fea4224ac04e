"""The dataset region: on the sample, on changed archives, and on the real files."""

import json
import shutil
import threading
import zipfile
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest


def test_counties_and_states_are_staged_and_agree(staged):
    counties = staged.query(
        "select state_fips, sum(area_km2) as area, count(*) as n from region_county group by all order by 1"
    )
    states = staged.query("select state_fips, area_km2 as area from region_state order by 1")
    assert [row["state_fips"] for row in counties] == [row["state_fips"] for row in states]
    for county, state in zip(counties, states, strict=True):
        assert county["area"] == pytest.approx(state["area"], rel=1e-9)  # counties tile their state


def test_gis_join_is_made_of_the_codes(staged):
    wrong = staged.query(
        "select * exclude (geometry) from region_county where gis_join != 'G' || state_fips || '0' || county_fips || '0'"
    )
    assert wrong == []
    assert staged.query("select gis_join from region_state where gis_join != 'G' || state_fips || '0'") == []


def test_a_typed_query_answers_as_the_store_does(staged):
    sql = "select * exclude (geometry), now() > timestamp '2020-01-01' as later from region_state order by gis_join"
    typed = json.loads(staged.invoke("store.query", sql, "--format", "json").stdout)
    assert typed == staged.query(sql) and len(typed) == 5  # which is what the other tests ask


def test_one_level_can_be_staged_alone(checkout):
    checkout.invoke("region.county.stage")
    assert "region_state" not in checkout.invoke("store.list").stdout


def test_staging_twice_changes_nothing(staged):
    before = staged.invoke("store.list").stdout
    second = staged.invoke("region.stage")
    assert {line.split()[0] for line in second.stderr.splitlines()} == {"[|]"}
    staged.invoke("region.stage", "--force")
    assert staged.invoke("store.list").stdout == before


@pytest.fixture
def mirror(staged, tmp_path):
    """A folder with the sample's zips, as one that has downloaded the real ones would have."""
    folder = tmp_path / "mirror"
    shutil.copytree(staged.data / "local/raw/region", folder)
    return folder


def repack(archive, change):
    """Write the zip again with `change(name, content) -> content or None (left out)`."""
    with zipfile.ZipFile(archive) as old:
        members = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            changed = change(name, content)
            if changed is not None:
                new.writestr(name, changed)


def test_a_mirror_gives_the_same_as_the_sample_it_holds_but_is_not_called_synthetic(staged, mirror):
    before = staged.query("select * exclude (geometry) from region_county order by gis_join")
    assert "synthetic" in staged.invoke("store.list").stdout
    staged.invoke("region.stage", ETL_SOURCE=f"mirror:{mirror}")
    assert staged.query("select * exclude (geometry) from region_county order by gis_join") == before
    assert "synthetic" not in staged.invoke("store.list").stdout


def test_a_mirror_can_be_an_address(staged, mirror):
    before = staged.invoke("store.list").stdout.replace("synthetic", "").split()
    with serving(mirror) as address:
        done = staged.invoke("region.stage", ETL_SOURCE=f"mirror:{address}")
        assert "[+] region.county.raw" in done.stderr
        (mirror / "tl_2010_us_state10.zip").unlink()
        assert "[+]" not in staged.invoke("region.stage", ETL_SOURCE=f"mirror:{address}").stderr
        gone = staged.type("region.state.stage", "--force", "--only", "raw", ETL_SOURCE=f"mirror:{address}")
    assert "the server has no such file" in gone.stderr
    after = staged.invoke("store.list").stdout.split()
    assert [word for word in before if len(word) == 12] == [word for word in after if len(word) == 12]  # fingerprints


@contextmanager
def serving(folder):
    """A real HTTP server for `folder` on loopback; its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_change_in_the_attributes_alone_is_seen(staged, mirror):
    """A shapefile is several files: the checkpoint depends on the zip that holds them all."""
    staged.invoke("region.stage", ETL_SOURCE=f"mirror:{mirror}")
    name = staged.query("select name from region_county order by gis_join limit 1")[0]["name"]

    def rename(member, content):
        return content.replace(name.encode(), b"X" * len(name)) if member.endswith(".dbf") else content

    repack(mirror / "tl_2010_us_county10.zip", rename)
    done = staged.invoke("region.stage", ETL_SOURCE=f"mirror:{mirror}")
    assert "[+] region.county.load" in done.stderr
    assert "[|] region.state.load" in done.stderr
    assert staged.query("select name from region_county order by gis_join limit 1")[0]["name"] == "X" * len(name)


def test_clean_takes_the_collection_and_the_next_stage_brings_it_back(staged):
    before = staged.query("select gis_join, area_km2 from region_county order by 1")
    staged.invoke("region.clean")
    assert "region_county" not in staged.invoke("store.list").stdout
    staged.invoke("region.stage")
    assert staged.query("select gis_join, area_km2 from region_county order by 1") == before


def test_a_collection_that_somebody_deleted_is_loaded_again(staged):
    shutil.rmtree(staged.data / "local/store/region_county")
    done = staged.invoke("region.stage")
    assert "[+] region.county.load" in done.stderr
    assert "[|] region.county.rows" in done.stderr


@pytest.mark.real
@pytest.mark.slow
def test_all_real_counties_and_states_are_staged(checkout, real_data):
    done = checkout.invoke("region.stage", ETL_SOURCE=f"mirror:{real_data}")
    assert "3,221 rows" in done.stderr
    assert "2,447 repaired" in done.stderr
    counties = checkout.query(
        "select count(*) as n, count(distinct gis_join) as keys, sum(area_km2) as area from region_county"
    )[0]
    states = checkout.query("select count(*) as n, sum(area_km2) as area from region_state")[0]
    assert (counties["n"], counties["keys"], states["n"]) == (3221, 3221, 52)
    # U.S. Census Bureau, state area measurements 2010, water included: 3,796,742 and, Puerto Rico, 5,325 square miles
    assert counties["area"] == pytest.approx(9_847_308, rel=0.001)
    boulder = checkout.query("select name, state_fips, area_km2 from region_county where gis_join = 'G0800130'")[0]
    assert boulder["name"] == "Boulder"
    assert boulder["area_km2"] == pytest.approx(1917, rel=0.01)  # 740 square miles, as the county itself says
