"""Boundaries come out whole, valid, with their keys, or not at all."""

import geopandas
import pytest
import shapely
from shapely import MultiPolygon, Point, Polygon

from impl.run.errors import EtlError
from impl.source import shapefile
from tests.source.conftest import COUNTY_FIELDS, STATE_FIELDS

FIELDS = {"code": "{CODE}", "label": "{CODE}: {NAME10}"}


def square(west, south, east, north):
    return Polygon([(west, south), (east, south), (east, north), (west, north)])


SQUARES = [square(0, 0, 1, 1), square(2, 0, 3, 1)]
TWO = {"CODE": ["02", "01"], "NAME10": ["Lake", "Hill"]}


def test_templates_make_the_columns_and_rows_are_sorted_by_key(zipped):
    rows = shapefile.read(zipped(TWO, SQUARES), {"name": "{NAME10}", "gis_join": "G{CODE}0"}, key="gis_join")
    assert list(rows.columns) == ["gis_join", "name", "area_km2", "geometry"]
    assert rows[["gis_join", "name"]].values.tolist() == [["G010", "Hill"], ["G020", "Lake"]]
    assert rows.crs.to_epsg() == 4326
    assert rows.geometry[0].bounds == (2, 0, 3, 1)


def test_codes_keep_their_leading_zeros_and_numbers_stay_numbers(zipped):
    archive = zipped({"CODE": ["007", "010"], "ALAND10": [5, 7]}, SQUARES)
    rows = shapefile.read(archive, {"code": "{CODE}", "land": "{ALAND10}"}, "code")
    assert rows[["code", "land"]].values.tolist() == [["007", 5], ["010", 7]]


def test_area_is_measured_on_the_ellipsoid(zipped):
    rows = shapefile.read(zipped(TWO, SQUARES), FIELDS, "code")
    # by hand: a degree at the equator is 111.32 km to the east and 110.57 km to the north, a little less at its upper side
    assert rows.area_km2.tolist() == pytest.approx([111.32 * 110.57] * 2, rel=1e-4)


def test_a_hole_is_not_counted(zipped):
    donut = Polygon(square(0, 0, 1, 1).exterior, [square(0.25, 0.25, 0.75, 0.75).exterior])
    rows = shapefile.read(zipped(TWO, [donut, square(0, 0, 1, 1)]), FIELDS, "code")
    hill, lake = rows.area_km2
    assert lake / hill == pytest.approx(0.75, rel=1e-4)  # by hand: 1 - 0.5 x 0.5


def test_a_ring_that_crosses_itself_becomes_two_areas(zipped):
    bowtie = Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    rows = shapefile.read(zipped(TWO, [bowtie, SQUARES[1]]), FIELDS, "code")
    assert rows.attrs["repairs"]["repaired"] == 1
    assert rows.geometry.is_valid.all()
    assert rows.geometry[1].area == pytest.approx(2.0)  # by hand: two triangles of 2 x 1 / 2


def test_a_spike_is_cut_off_and_no_area_is_lost(zipped):
    spike = Polygon([(0, 0), (1, 0), (1, 0.5), (3, 0.5), (1, 0.5), (1, 1), (0, 1)])
    rows = shapefile.read(zipped(TWO, [spike, SQUARES[1]]), FIELDS, "code")
    assert rows.attrs["repairs"] == {
        "repaired": 1,
        "changed_km2": pytest.approx(0, abs=1e-6),
        "changed_share": pytest.approx(0),
    }
    assert rows.geometry[1].bounds == (0, 0, 1, 1)
    assert rows.geometry[1].area == 1.0


def test_every_geometry_is_a_multipolygon_with_outer_rings_counter_clockwise(zipped):
    rows = shapefile.read(zipped(TWO, [MultiPolygon(SQUARES), square(5, 5, 6, 6)]), FIELDS, "code")
    assert set(rows.geom_type) == {"MultiPolygon"}
    assert all(part.exterior.is_ccw for whole in rows.geometry for part in whole.geoms)
    assert len(rows.geometry[1].geoms) == 2


def test_heights_are_left_out(zipped):
    rows = shapefile.read(zipped({"CODE": ["1"]}, [shapely.force_3d(SQUARES[0], 7.0)]), {"code": "{CODE}"}, "code")
    assert not rows.has_z.any()


def test_a_projected_layer_becomes_longitude_and_latitude(zipped):
    around_the_origin = Polygon([(-1000, -1000), (1000, -1000), (1000, 1000), (-1000, 1000)])  # metres
    rows = shapefile.read(zipped({"CODE": ["1"]}, [around_the_origin], crs="EPSG:3857"), {"code": "{CODE}"}, "code")
    degree = 111_319.49  # metres of a degree at the equator
    assert rows.geometry[0].bounds == pytest.approx((-1000 / degree, -1000 / degree, 1000 / degree, 1000 / degree), rel=1e-4)


def test_nad83_stays_where_it_is_everywhere(zipped):
    in_hawaii, in_kansas = square(-157, 21, -156, 22), square(-98, 38, -97, 39)
    rows = shapefile.read(zipped(TWO, [in_hawaii, in_kansas], crs="EPSG:4269"), FIELDS, "code")
    assert [one.bounds for one in rows.geometry] == [(-98, 38, -97, 39), (-157, 21, -156, 22)]
    assert rows.crs.to_epsg() == 4326


@pytest.mark.parametrize("encoding", ["UTF-8", "ISO-8859-1"])
def test_names_are_read_as_the_cpg_says(zipped, encoding):
    archive = zipped({"NAME10": ["Doña Ana"]}, SQUARES[:1], encoding=encoding)
    assert shapefile.read(archive, {"name": "{NAME10}"}, "name").name[0] == "Doña Ana"


def test_a_cpg_that_lies_is_named(zipped):
    archive = zipped({"NAME10": ["Doña Ana"]}, SQUARES[:1], encoding="ISO-8859-1", says="UTF-8")
    with pytest.raises(EtlError, match="is not written as the"):
        shapefile.read(archive, {"name": "{NAME10}"}, "name")


def test_a_missing_attribute_is_an_empty_value_and_not_the_word_none(zipped):
    archive = zipped({"CODE": ["1", "2"], "NAME10": ["Lake", None]}, SQUARES)
    rows = shapefile.read(archive, {"code": "{CODE}", "label": "{NAME10} County"}, "code")
    assert rows.label.isna().tolist() == [False, True]


def test_a_missing_field_names_the_nearest(zipped):
    archive = zipped(
        {"STATEFP10": ["01"], "COUNTYFP10": ["001"], "NAMELSAD10": ["Lake"], "ALAND10": [1], "AWATER10": [2]}, SQUARES[:1]
    )
    with pytest.raises(EtlError) as failed:
        shapefile.read(archive, {"name": "{NAME10}"}, "name")
    assert failed.value.what == "the shapefile has no field `NAME10`"
    assert failed.value.where == f"{archive}: STATEFP10, COUNTYFP10, NAMELSAD10 and 2 more"
    assert failed.value.hint == "did you mean `NAMELSAD10`? The fields are chosen in the module of the dataset, below task/"


def test_a_double_key_names_the_rows(zipped):
    archive = zipped({"CODE": ["1", "2", "1"]}, [*SQUARES, square(5, 0, 6, 1)])
    with pytest.raises(EtlError) as failed:
        shapefile.read(archive, {"code": "{CODE}"}, "code")
    assert failed.value.what == "the key `code` is not unique"
    assert failed.value.where == f"{archive}: `1` in rows 1, 3"


def test_a_key_of_two_columns_may_repeat_in_one(zipped):
    archive = zipped({"STATE": ["1", "1"], "COUNTY": ["2", "1"]}, SQUARES)
    rows = shapefile.read(archive, {"state": "{STATE}", "county": "{COUNTY}"}, ["state", "county"])
    assert rows[["state", "county"]].values.tolist() == [["1", "1"], ["1", "2"]]
    with pytest.raises(EtlError, match="the key `state` is not unique"):
        shapefile.read(archive, {"state": "{STATE}", "county": "{COUNTY}"}, "state")


@pytest.mark.parametrize("empty", [None, " "])
def test_an_empty_key_names_the_rows(zipped, empty):
    archive = zipped({"CODE": ["1", empty]}, SQUARES)
    with pytest.raises(EtlError) as failed:
        shapefile.read(archive, {"code": "{CODE}"}, "code")
    assert failed.value.what == "the key `code` is empty in 1 row"
    assert failed.value.where == f"{archive}: row 2"


def test_a_row_without_a_shape_is_named(zipped):
    archive = zipped({"CODE": ["1", "2"]}, [SQUARES[0], None])
    with pytest.raises(EtlError) as failed:
        shapefile.read(archive, {"code": "{CODE}"}, "code")
    assert failed.value.where == f"{archive}: row 2 (2)"


def test_a_shape_that_collapses_is_named(zipped):
    archive = zipped({"CODE": ["1", "2"]}, [SQUARES[0], Polygon([(0, 0), (1, 1), (0, 0), (0, 0)])])
    with pytest.raises(EtlError, match="1 boundary without an area"):
        shapefile.read(archive, {"code": "{CODE}"}, "code")


@pytest.mark.parametrize("end", [".shp", ".shx", ".dbf", ".prj"])
def test_a_zip_without_one_of_its_files_names_it(zipped, end):
    with pytest.raises(EtlError) as failed:
        shapefile.read(zipped(TWO, SQUARES, without={end}), FIELDS, "code")
    assert failed.value.what.startswith(f"the zip has no {end}:")
    assert "boundaries.cpg" in failed.value.where


def test_a_zip_that_was_cut_short_says_so(zipped):
    archive = zipped(TWO, SQUARES)
    archive.write_bytes(archive.read_bytes()[:-100])
    with pytest.raises(EtlError, match="the zip is damaged or cut short"):
        shapefile.read(archive, FIELDS, "code")


def test_a_zip_with_a_wrong_byte_says_so(zipped):
    archive = zipped(TWO, SQUARES)
    content = bytearray(archive.read_bytes())
    content[content.index(b"Lake")] ^= 1
    archive.write_bytes(content)
    with pytest.raises(EtlError) as failed:
        shapefile.read(archive, FIELDS, "code")
    assert failed.value.what == "the zip is damaged"
    assert failed.value.where == f"{archive}: boundaries.dbf"


def test_fields_of_another_layer_are_seen(zipped, tmp_path):
    import zipfile

    one, other = zipped({"CODE": ["1"]}, SQUARES[:1], name="one"), zipped({"CODE": ["1", "2"]}, SQUARES, name="other")
    mixed = tmp_path / "mixed.zip"
    with zipfile.ZipFile(one) as first, zipfile.ZipFile(other) as second, zipfile.ZipFile(mixed, "w") as opened:
        for end in (".shp", ".shx", ".prj"):
            opened.writestr(f"one{end}", first.read(f"one{end}"))
        opened.writestr("one.dbf", second.read("other.dbf"))
    with pytest.raises(EtlError) as failed:
        shapefile.read(mixed, {"code": "{CODE}"}, "code")
    assert failed.value.where == f"{mixed}: 1 shapes in the .shx, 2 rows in the .dbf"


def test_a_zip_with_several_layers_is_refused(zipped, tmp_path):
    import zipfile

    layers = [zipped(TWO, SQUARES, name=name) for name in ("county", "state")]
    both = tmp_path / "both.zip"
    with zipfile.ZipFile(both, "w") as opened:
        for layer in layers:
            with zipfile.ZipFile(layer) as one:
                for name in one.namelist():
                    opened.writestr(name, one.read(name))
    with pytest.raises(EtlError) as failed:
        shapefile.read(both, FIELDS, "code")
    assert failed.value.what == "the zip holds 2 layers"
    assert failed.value.where == f"{both}: county, state"


def test_a_folder_in_the_zip_and_another_name_of_the_zip_do_no_harm(zipped, tmp_path):
    import zipfile

    deep = tmp_path / "with blank & {brace}.download"
    with zipfile.ZipFile(zipped(TWO, SQUARES)) as one, zipfile.ZipFile(deep, "w") as opened:
        for name in one.namelist():
            opened.writestr(f"data/2010/{name}", one.read(name))
    assert len(shapefile.read(deep, FIELDS, "code")) == 2


@pytest.mark.parametrize(("content", "what"), [(None, "there is no such zip"), (b"<html>", "the zip is damaged or cut short")])
def test_what_is_no_zip_says_so(tmp_path, content, what):
    archive = tmp_path / "county.zip"
    if content:
        archive.write_bytes(content)
    with pytest.raises(EtlError) as failed:
        shapefile.read(archive, FIELDS, "code")
    assert failed.value.what == what


def test_points_are_not_boundaries(tmp_path):
    geopandas.GeoDataFrame({"CODE": ["1"]}, geometry=[Point(0, 0)], crs="EPSG:4326").to_file(tmp_path / "points.shz")
    with pytest.raises(EtlError, match="the shapes are not areas"):
        shapefile.read(tmp_path / "points.shz", {"code": "{CODE}"}, "code")


def test_a_key_that_is_no_column_names_the_nearest(zipped):
    with pytest.raises(EtlError) as failed:
        shapefile.read(zipped(TWO, SQUARES), {"gis_join": "{CODE}"}, "gisjoin")
    assert failed.value.hint.startswith("did you mean `gis_join`?")


@pytest.mark.parametrize("template", ["{CODE", "{}}", "{CODE:d}"])
def test_a_template_that_cannot_be_filled_is_shown(zipped, template):
    with pytest.raises(EtlError) as failed:
        shapefile.read(zipped(TWO, SQUARES), {"code": template}, "code")
    assert template in str(failed.value)


def test_rows_are_written_as_geoparquet_and_twice_alike(zipped, tmp_path):
    archive = zipped(TWO, SQUARES)
    first, second = tmp_path / "cache/first.parquet", tmp_path / "cache/second.parquet"
    assert shapefile.to_rows(archive, first, FIELDS, "code") == "2 rows, all valid"
    shapefile.to_rows(str(archive), str(second), FIELDS, "code")
    assert first.read_bytes() == second.read_bytes()
    rows = geopandas.read_parquet(first)
    assert rows.code.tolist() == ["01", "02"]
    assert rows.crs.to_epsg() == 4326


def test_a_refused_archive_leaves_the_old_rows(zipped, tmp_path):
    target = tmp_path / "rows.parquet"
    target.write_text("old")
    with pytest.raises(EtlError):
        shapefile.to_rows(zipped({"CODE": ["1", "1"]}, SQUARES), target, {"code": "{CODE}"}, "code")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.glob(".*")] == []


@pytest.mark.real
def test_all_real_counties_are_read_and_the_invalid_ones_repaired(real_data, tmp_path):
    note = shapefile.to_rows(real_data / "tl_2010_us_county10.zip", tmp_path / "county.parquet", COUNTY_FIELDS, "gis_join")
    # 17 names lost their accents before they came here: `Do?a Ana`
    assert note == "3,221 rows, 2,447 repaired (area changed by 0.000 %), 17 with damaged letters"
    rows = geopandas.read_parquet(tmp_path / "county.parquet")
    assert rows.geometry.is_valid.all()
    assert rows.gis_join.is_unique
    # the Census counts 9,826,675 km2 of land and water in the states, and 13,791 km2 in Puerto Rico
    assert rows.area_km2.sum() == pytest.approx(9_826_675 + 13_791, rel=2e-3)
    autauga = rows[rows.gis_join == "G0100010"].iloc[0]
    assert autauga.area_km2 == pytest.approx(1565, rel=1e-2)  # 1,539.6 km2 of land and 25.8 km2 of water
    assert autauga["name"] == "Autauga"


@pytest.mark.real
def test_all_real_states_are_read_and_cover_their_counties(real_data):
    states = shapefile.read(real_data / "tl_2010_us_state10.zip", STATE_FIELDS, "gis_join")
    counties = shapefile.read(real_data / "tl_2010_us_county10.zip", COUNTY_FIELDS, "gis_join")
    assert len(states) == 52
    assert states.geometry.is_valid.all()
    assert states.area_km2.sum() == pytest.approx(counties.area_km2.sum(), rel=1e-6)
    alaska = states[states.gis_join == "G020"].geometry.iloc[0]
    assert shapely.bounds(alaska)[0] < -179
    assert shapely.bounds(alaska)[2] > 179  # its islands lie on both sides of the date line
