"""Odd but real inputs, made small: a grid of 4 x 4 cells of one degree from 10 E, 0 N unless said, and what ncproj says of it.

The tests beside this file work out by hand, or with shapely, numpy, pyproj and netCDF4, what is right.
"""

import csv
import io
import json
from pathlib import Path

import netCDF4
import numpy as np

LAT, LON = np.arange(0.5, 4), np.arange(10.5, 14)
ALL = [[10, 0], [14, 0], [14, 4], [10, 4], [10, 0]]  # the ring of the whole grid


def box(west, south, east, north):
    """A closed ring, counter-clockwise."""
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


class Desk:
    """A folder to make files in, and the program.

    program: what types `ncproj WORDS` and gives a CompletedProcess (the fixture `ncproj`).
    """

    def __init__(self, folder: Path, program):
        self.folder, self.program = Path(folder), program

    def grid(
        self,
        values,
        *,
        name="t.nc",
        lat=LAT,
        lon=LON,
        kind="f8",
        attrs=None,
        lat_attrs=None,
        lon_attrs=None,
        fill=None,
        more=None,
    ):
        """A file with `v` over (lat, lon), or over (time, lat, lon) when `more` makes the dimension first.

        values: raw numbers as they are stored, (lat, lon) or one for all; attrs: of `v`; more: called with the open dataset at the
        end, to add what is odd.
        """
        path = self.folder / name
        path.unlink(missing_ok=True)
        with netCDF4.Dataset(path, "w") as file:
            for side, centres, units, odd in (
                ("lat", lat, "degrees_north", lat_attrs),
                ("lon", lon, "degrees_east", lon_attrs),
            ):
                file.createDimension(side, len(centres))
                axis = file.createVariable(side, "f8", (side,))
                axis.setncatts({key: value for key, value in {"units": units, **(odd or {})}.items() if value is not None})
                axis[:] = centres
            field = file.createVariable("v", kind, ("lat", "lon"), fill_value=fill)
            field.set_auto_maskandscale(False)
            field.setncatts(attrs or {})
            field[:] = np.broadcast_to(values, (len(lat), len(lon)))
            if more:
                more(file)
        return path

    def regions(self, *rings, kind="Polygon", name="t.geojson", key="a"):
        """One region of a GeoJSON file: `rings` are the coordinates of a geometry of this kind."""
        geometry = {"type": kind, ("geometries" if kind == "GeometryCollection" else "coordinates"): list(rings)}
        feature = {"type": "Feature", "properties": {"id": key}, "geometry": geometry}
        path = self.folder / name
        path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        return path

    def index(self, regions=None, grid="t.nc", *words, key="id"):
        """Makes `t.index`; a CompletedProcess."""
        regions = regions or self.regions(ALL)
        return self.program(
            "index", "--regions", regions, "--key", key, "--grid", self.folder / grid, "-o", self.folder / "t.index", *words
        )

    def run(self, regions=None, *, grids=("t.nc",), stats="min,max,mean,count,valid", index=(), words=(), key="id"):
        """Index and aggregate: rows as dicts of texts, or the error as one text (never a traceback, never a panic)."""
        done = self.index(regions, grids[0], *index, key=key)
        if done.returncode:
            return self.refusal(done)
        target = self.folder / "t.csv"
        target.unlink(missing_ok=True)
        files = [self.folder / grid for grid in grids]
        done = self.program("aggregate", "--index", self.folder / "t.index", *files, "--stats", stats, *words, "-o", target)
        if done.returncode:
            return self.refusal(done)
        self.said = done.stderr
        return list(csv.DictReader(io.StringIO(target.read_text())))

    @staticmethod
    def refusal(done):
        assert done.returncode in (1, 2), f"a refusal ends with 1 or 2, not {done.returncode}: {done.stderr}"
        assert "panicked" not in done.stderr
        return done.stderr

    def value(self, what, regions=None, **options):
        """The one number of the column `{what}_v`; None where it is empty; the error's text where it is refused."""
        rows = self.run(regions, **options)
        if isinstance(rows, str):
            return rows
        (row,) = rows
        text = row[f"{what}_v"]
        return float(text) if text else None
