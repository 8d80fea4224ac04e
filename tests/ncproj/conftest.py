"""The compiled program, and exactextract as the independent answer."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from impl.ncproj import tool
from impl.source import shapefile

CRATE = Path(tool.__file__).parent
COUNTY_KEY = "G{STATEFP10}0{COUNTYFP10}0"


@pytest.fixture(scope="session")
def ncproj():
    """Types `ncproj WORDS`; with `text=False` what it says stays bytes."""
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=CRATE, check=True)

    def run(*words, text=True):
        return subprocess.run([CRATE / "target/release/ncproj", *map(str, words)], capture_output=True, text=text)

    return run


@pytest.fixture(scope="session")
def counties(real_data, tmp_path_factory):
    """The 3,221 counties, repaired by shapely, as GeoParquet."""
    target = tmp_path_factory.mktemp("counties") / "counties.parquet"
    shapefile.to_rows(real_data / "tl_2010_us_county10.zip", target, {"gis_join": COUNTY_KEY}, "gis_join")
    return target


def expected(values, latitude, longitude, boundaries):
    """Min, max and area-weighted mean of one field by boundary, by exactextract.

    values: (lat, lon), latitude ascending, both axes regular and of cell centres; longitudes as the boundaries'.
    Returns a table with the columns of `boundaries` but the geometry, and min, max, mean.
    """
    from exactextract import exact_extract
    from exactextract.raster import NumPyRasterSource

    dy, dx = np.diff(latitude).mean(), np.diff(longitude).mean()
    edges = np.concatenate([latitude - dy / 2, [latitude[-1] + dy / 2]])
    box = {
        "xmin": longitude[0] - dx / 2,
        "xmax": longitude[-1] + dx / 2,
        "ymin": edges[0],
        "ymax": edges[-1],
    }
    area = np.diff(np.sin(np.radians(np.clip(edges, -90, 90))))  # of a cell on the sphere, up to a factor
    weights = np.repeat(area[:, None], len(longitude), axis=1)
    field = NumPyRasterSource(values[::-1], **box)
    table = exact_extract(
        field,
        boundaries,
        ["min", "max", "mean=weighted_mean"],
        weights=NumPyRasterSource(weights[::-1], **box),
        include_cols=[name for name in boundaries.columns if name != "geometry"],
        output="pandas",
    )
    return table


@pytest.fixture
def desk(tmp_path, ncproj):
    """A folder to make odd files in; see odd.py."""
    from tests.ncproj.odd import Desk

    return Desk(tmp_path, ncproj)
