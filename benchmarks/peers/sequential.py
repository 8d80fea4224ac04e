"""exactextract, strategy raster-sequential: min, max and mean of every day by region. Arguments: grid, regions, target."""

import sys
import warnings

import geopandas
import rasterio
from exactextract import exact_extract

warnings.simplefilter("ignore")
grid, regions, target = sys.argv[1:]
boundaries = geopandas.read_parquet(regions)
with rasterio.open(f"netcdf:{grid}:air_temperature") as source:
    if source.bounds.left > 180:
        boundaries = boundaries.set_geometry(boundaries.geometry.translate(xoff=360))
    rows = exact_extract(
        source, boundaries, ["min", "max", "mean"], include_cols=["gis_join"], strategy="raster-sequential", output="pandas"
    )
rows.to_parquet(target)
