"""exactextract's cell_id and coverage: the pairs of region and cell. Arguments: grid, regions, target (.npz)."""

import sys

import geopandas
import numpy as np
import xarray
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource

grid, regions, target = sys.argv[1:]
boundaries = geopandas.read_parquet(regions)
with xarray.open_dataset(grid) as file:
    lat, lon = file["lat"].values, file["lon"].values
dy, dx = np.diff(lat).mean(), np.diff(lon).mean()
box = {"xmin": lon[0] - dx / 2, "xmax": lon[-1] + dx / 2, "ymin": lat[0] - dy / 2, "ymax": lat[-1] + dy / 2}
if box["xmin"] > 180:
    boundaries = boundaries.set_geometry(boundaries.geometry.translate(xoff=360))
source = NumPyRasterSource(np.zeros((len(lat), len(lon)), "f4"), **box)
rows = exact_extract(source, boundaries, ["cell_id", "coverage"], output="pandas")
cells = np.concatenate(rows["cell_id"].to_list()).astype("i8")
region = np.repeat(np.arange(len(rows)), [len(one) for one in rows["cell_id"]])
row, column = len(lat) - 1 - cells // len(lon), cells % len(lon)  # its rows go from the north
np.savez(target, region=region, cell=row * len(lon) + column, coverage=np.concatenate(rows["coverage"].to_list()))
