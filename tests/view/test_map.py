"""Maps: what is coloured where, looked up in the pixels."""

import pyarrow
import pytest
import shapely

from impl.run.errors import EtlError
from impl.store import open_store
from impl.view.map import choropleth

GREY = (220, 220, 220)


def square(name, west, south, size=2.0, **more):
    return {
        "gis_join": name,
        "name": name,
        "geometry": shapely.to_wkb(shapely.box(west, south, west + size, south + size)),
        **more,
    }


@pytest.fixture
def store(tmp_path):
    """Two states of two counties each near the equator, where a degree is as wide as high; one county has a hole."""
    store = open_store(tmp_path / "store")
    ring = shapely.box(2, 0, 4, 2) - shapely.box(2.5, 0.5, 3.5, 1.5)
    rows = [
        square("G0800010", 0, 0),
        square("G0800030", 2, 0) | {"geometry": shapely.to_wkb(ring)},
        square("G5100010", 0, 2),
        square("G5100030", 2, 2),
    ]
    store.replace("region_county", rows, key="gis_join", geometry="geometry")
    states = [square("G080", 0, 0), square("G510", 0, 2)]
    for row, name in zip(states, ("Colorado", "Virginia"), strict=True):
        row["name"] = name
    store.replace("region_state", states, key="gis_join", geometry="geometry")
    values = pyarrow.table(
        {"gis_join": ["G0800010", "G0800030", "G5100010", "G5100030"], "day": [1] * 4, "rain_mm": [0.0, 10.0, 5.0, None]}
    )
    store.replace(
        "rain_county", values, key=["gis_join", "day"], columns={"rain_mm": ("mm", "Rain of the day")}, source="a test"
    )
    return store


def draw(store, tmp_path, **settings):
    return choropleth(store, **{"collection": "rain_county", "column": "rain_mm", "target": tmp_path / "map.png", **settings})


def colour_at(path, longitude, latitude, box=(0, 0, 4, 4)):
    """The colour at a place of the map: the inverse of how it is laid out."""
    from PIL import Image

    from impl.view import map as maps

    air = 0.005 * max(box[2] - box[0], box[3] - box[1])
    west, south, east, north = box[0] - air, box[1] - air, box[2] + air, box[3] + air
    wide, tall = maps._map_inches((west, south, east, north))
    picture = Image.open(path).convert("RGB")
    across = (maps.MARGIN + (longitude - west) / (east - west) * wide) * maps.DOTS_PER_INCH
    up = (maps.FOOT + (latitude - south) / (north - south) * tall) * maps.DOTS_PER_INCH
    return picture.getpixel((round(across), round(picture.height - up)))


def test_each_county_has_the_colour_of_its_value(store, tmp_path):
    import matplotlib

    path = draw(store, tmp_path)
    colours = matplotlib.colormaps["viridis"]
    for place, share in (((1, 1), 0.0), ((2.2, 1), 1.0), ((1, 3), 0.5)):
        expected = tuple(round(part * 255) for part in colours(share)[:3])
        assert max(abs(a - b) for a, b in zip(colour_at(path, *place), expected, strict=True)) <= 2


def test_a_county_without_a_value_is_grey_and_a_hole_is_empty(store, tmp_path):
    path = draw(store, tmp_path)
    assert colour_at(path, 3, 3) == GREY
    assert colour_at(path, 3, 1) == (255, 255, 255)


def test_the_same_rows_give_the_same_bytes(store, tmp_path):
    from pathlib import Path

    first = Path(draw(store, tmp_path)).read_bytes()
    assert Path(draw(store, tmp_path, target=tmp_path / "again.png")).read_bytes() == first


def test_within_a_state_only_its_counties_are_drawn(store, tmp_path):
    path = draw(store, tmp_path, within=("state", "virginia"))
    assert colour_at(path, 3, 3, box=(0, 2, 4, 4)) == GREY
    with pytest.raises(EtlError) as caught:
        draw(store, tmp_path, within=("state", "Virgina"))
    assert "did you mean `Virginia`" in caught.value.hint


def test_a_map_of_synthetic_data_says_so(store, tmp_path):
    from PIL import Image

    def reds(path):
        return {colour: count for count, colour in Image.open(path).convert("RGB").getcolors(2**24)}.get((179, 38, 30), 0)

    assert reds(draw(store, tmp_path)) == 0
    store.replace("rain_county", store.read("rain_county"), key=["gis_join", "day"], synthetic=True)
    assert reds(draw(store, tmp_path)) > 100


def test_regions_on_both_sides_of_the_date_line_lie_side_by_side(store, tmp_path):
    store.replace("region_county", [square("G1", 178, 0), square("G2", -180, 0)], key="gis_join", geometry="geometry")
    store.replace("rain_county", [{"gis_join": "G1", "rain_mm": 1.0}, {"gis_join": "G2", "rain_mm": 2.0}], key="gis_join")
    store.drop("region_state")
    path = draw(store, tmp_path)
    box = (-182, 0, -178, 2)
    assert colour_at(path, -181, 1, box)[:2] == (68, 1)  # the low end of the colours
    assert colour_at(path, -179, 1, box)[:2] == (253, 231)  # the high end


def test_several_values_for_a_region_are_an_error(store, tmp_path):
    rows = [{"gis_join": "G0800010", "day": day, "rain_mm": 1.0} for day in (1, 2)]
    store.replace("rain_county", rows, key=["gis_join", "day"])
    with pytest.raises(EtlError, match="one value for each region") as caught:
        draw(store, tmp_path)
    assert "2 rows for 1 regions, as `G0800010`" in caught.value.where
    draw(store, tmp_path, where="day = 2")


def test_a_day_without_rows_names_the_days_there_are(store, tmp_path):
    from datetime import datetime

    store.replace("days_county", [{"gis_join": "G0800010", "timestamp": datetime(2005, 7, 1), "rain_mm": 1.0}], key="gis_join")
    with pytest.raises(EtlError, match="no rows to draw") as caught:
        draw(store, tmp_path, collection="days_county", where="timestamp = '2006-07-01'")
    assert "from 2005-07-01 to 2005-07-01" in caught.value.hint


def test_an_unknown_variable_names_the_nearest(store, tmp_path):
    with pytest.raises(EtlError) as caught:
        draw(store, tmp_path, column="rain_inch")
    assert "did you mean `rain_mm`" in caught.value.hint


def test_values_that_belong_to_no_region_are_an_error(store, tmp_path):
    store.replace("rain_county", [{"gis_join": "X", "rain_mm": 1.0}], key="gis_join")
    with pytest.raises(EtlError, match="none of the 1 values belongs to a region"):
        draw(store, tmp_path)


def test_a_map_on_a_read_only_disk_is_an_error_of_ours(store, read_only_disk):
    with pytest.raises(EtlError, match="disk is read-only"):
        draw(store, read_only_disk)
