"""ncproj beside exactextract: min, max and mean of 120 days on 585 x 1386 cells by county, to Parquet.

    python benchmarks/zonal.py [--days 120] [--runs 3] [--folder FOLDER]

The grid is that of MACAv2-METDATA, chunked by day, zlib 4 + shuffle, with values over some 60 % of the cells. The counties are
those of ../shared/data (or of the folder that ETL_REAL_DATA names) that touch the grid; where absent, the sample's.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from measure import compare, cost  # noqa: E402

LATITUDE = np.linspace(25.063077926635742, 49.39602279663086, 585)
LONGITUDE = np.linspace(235.22784423828125, 292.93566894531250, 1386)


def make_grid(path: Path, days: int) -> None:
    """A field that varies as temperature does: smooth, with noise of a hundredth of a kelvin."""
    import netCDF4

    chance = np.random.default_rng(1)
    y, x = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    land = (np.sin(x / 9) + np.cos(y / 5) + 0.4 * np.sin(x * y / 300)) > -0.45
    with netCDF4.Dataset(path, "w") as file:
        for name, values, units, standard in (
            ("lat", LATITUDE, "degrees_north", "latitude"),
            ("lon", LONGITUDE, "degrees_east", "longitude"),
        ):
            file.createDimension(name, len(values))
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = values
            axis.units, axis.standard_name = units, standard
        file.createDimension("time", days)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1900-01-01 00:00:00", "standard"
        time[:] = 38350 + np.arange(days)
        values = file.createVariable(
            "air_temperature", "f4", ("time", "lat", "lon"), zlib=True, complevel=4, shuffle=True,
            chunksizes=(1, 585, 1386), fill_value=-9999.0,
        )  # fmt: skip
        values.units = "K"
        for day in range(days):
            field = 290 - (y - 37) * 0.8 + 12 * np.sin(day / 58 + x / 40) + chance.normal(0, 0.3, y.shape)
            values[day] = np.where(land, np.round(field, 2), -9999.0)


def regions(folder: Path) -> Path:
    """GeoParquet of the counties that touch the grid."""
    import shapely

    from impl.source import sample, shapefile

    real = Path(os.environ.get("ETL_REAL_DATA") or ROOT.parent / "shared/data") / "tl_2010_us_county10.zip"
    archive = real
    if not real.exists():
        archive = folder / "tl_2010_us_county10.zip"
        sample.boundaries(archive, "county")
    counties = shapefile.read(archive, {"gis_join": "G{STATEFP10}0{COUNTYFP10}0"}, "gis_join")
    window = shapely.box(LONGITUDE[0] - 360 - 1 / 48, LATITUDE[0] - 1 / 48, LONGITUDE[-1] - 360 + 1 / 48, LATITUDE[-1] + 1 / 48)
    counties = counties[counties.intersects(window)]
    target = folder / "counties.parquet"
    counties.to_parquet(target)
    print(f"{len(counties):,} regions from {archive.name}, {'real' if archive == real else 'sample'}", file=sys.stderr)
    return target


PEER = """
import sys, geopandas, numpy as np, xarray
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
grid, counties, target = sys.argv[1:]
boundaries = geopandas.read_parquet(counties)
try:
    import rasterio, rasterio.shutil
    source = rasterio.open(f"netcdf:{grid}:air_temperature")
    west = source.bounds.left
except ImportError:
    data = xarray.open_dataset(grid)["air_temperature"]
    lat, lon, step = data.lat.values, data.lon.values, 1 / 48
    west, box = lon[0] - step, dict(xmin=lon[0] - step, xmax=lon[-1] + step, ymin=lat[0] - step, ymax=lat[-1] + step)
    values = data.values[:, ::-1]
    source = [NumPyRasterSource(day, name=f"d{n}", **box) for n, day in enumerate(values)]
if west > 180:
    boundaries = boundaries.set_geometry(boundaries.geometry.translate(xoff=360))
rows = exact_extract(source, boundaries, ["min", "max", "mean"], include_cols=["gis_join"], strategy="raster-sequential", output="pandas")
rows.to_parquet(target)
"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--days", type=int, default=120)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--folder", type=Path, help="where to keep the generated files (default: a temporary folder)")
    wish = arguments.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = wish.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        grid, counties = folder / f"grid{wish.days}.nc", folder / "counties.parquet"
        if not grid.exists():
            make_grid(grid, wish.days)
        if not counties.exists():
            regions(folder)
        subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT / "impl/ncproj", check=True)
        program = str(ROOT / "impl/ncproj/target/release/ncproj")
        index = folder / "counties.index"
        command = [
            program,
            "index",
            "--quiet",
            "--regions",
            str(counties),
            "--key",
            "gis_join",
            "--grid",
            str(grid),
            "-o",
            str(index),
        ]
        print(f"ncproj index{'':<32} {cost(command)}")
        ours = [
            program, "aggregate", "--quiet", "--index", str(index), "--stats", "min,max,mean", str(grid), "-o", str(folder / "ours.parquet"),
        ]  # fmt: skip
        peer = [sys.executable, "-W", "ignore", "-c", PEER, str(grid), str(counties), str(folder / "peer.parquet")]
        compare(
            ("ncproj aggregate", lambda: cost(ours)),
            {"exactextract raster-sequential": lambda: cost(peer)},
            wish.runs,
        )


if __name__ == "__main__":
    main()
