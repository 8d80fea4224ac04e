"""Sample data shaped like the real ones: an invented country, its counties and states, their people, and its daily weather.

Nothing in here was measured. Every file says so: the zips hold a `SYNTHETIC.txt`, the netCDF files are titled
SYNTHETIC and have the attribute `synthetic = "true"`. The states have the FIPS codes 03, 07, 14, 43 and 52,
which no real state has.

The same call gives the same file, whatever was made before it and on whatever machine: chance is integer
hashing, and the arithmetic is such that every computer rounds it alike.
"""

from impl.source.sample.census import TABLES, census_table
from impl.source.sample.shapes import COUNTS, boundaries
from impl.source.sample.weather import VARIABLES, daily_grid, macav2

__all__ = ["COUNTS", "TABLES", "VARIABLES", "boundaries", "census_table", "daily_grid", "macav2"]
