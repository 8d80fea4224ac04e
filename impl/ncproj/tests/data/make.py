"""Makes the small netCDF-4 files of this folder (needs numpy and netCDF4): python make.py

All lie on cells of 1 degree, lat 40.5..44.5 and lon 260.5..264.5, with the value 10 * lat + lon - 250 (+ 100 * step).
"""

import netCDF4
import numpy as np

LAT, LON = np.arange(40.5, 45), np.arange(260.5, 265)
PLANE = 10 * LAT[:, None] + LON[None, :] - 250


def start(name, steps=2, lat=LAT):
    file = netCDF4.Dataset(name, "w")
    for dim, length in (("time", steps), ("lat", 5), ("lon", 5), ("member", 2)):
        file.createDimension(dim, length)
    for dim, values, units in (("lat", lat, "degrees_north"), ("lon", LON, "degrees_east")):
        axis = file.createVariable(dim, "f8", (dim,))
        axis.units, axis[:] = units, values
    time = file.createVariable("time", "i4", ("time",))
    time.units, time.calendar, time[:] = "days since 2001-02-28", "noleap", np.arange(steps)
    return file


# 16-bit big-endian, packed, shuffle + deflate + fletcher32, latitude outermost and descending, one value missing
with start("packed.nc", lat=LAT[::-1]) as file:
    var = file.createVariable(
        "t",
        "i2",
        ("lat", "time", "lon"),
        zlib=True,
        shuffle=True,
        fletcher32=True,
        chunksizes=(2, 1, 3),
        endian="big",
        fill_value=-1,
    )
    var.scale_factor, var.add_offset = 0.5, 100.0
    values = np.stack([PLANE[::-1], PLANE[::-1] + 100], axis=1)
    var[:] = np.ma.masked_array(values, np.zeros(values.shape, bool))
    var[0, 0, 0] = np.ma.masked

# float32 in chunks of time, an ensemble axis with names, the second member never written
with start("members.nc") as file:
    names = file.createVariable("member", str, ("member",))
    names[:] = np.array(["low", "high"], dtype=object)
    var = file.createVariable("t", "f4", ("time", "member", "lat", "lon"), zlib=True, shuffle=True, chunksizes=(2, 1, 3, 3))
    var.units = "K"
    for step in range(2):
        var[step, 0] = PLANE + 100 * step

# zstd, and what is refused: filters that HDF5 alone knows (never written: a description is enough)
with start("filters.nc") as file:
    for name, filters in (("b", "blosc_lz4"), ("s", "szip"), ("z", "zstd")):
        var = file.createVariable(name, "f4", ("lat", "lon"), chunksizes=(5, 5), compression=filters)
    var[:] = PLANE

# what is refused: two-dimensional coordinates of cells without area, a projection
with netCDF4.Dataset("curvilinear.nc", "w") as file:
    for dim, length in (("y", 3), ("x", 3)):
        file.createDimension(dim, length)
    for name, units in (("lat", "degrees_north"), ("lon", "degrees_east")):
        axis = file.createVariable(name, "f4", ("y", "x"))
        axis.units, axis[:] = units, np.arange(9).reshape(3, 3)
    var = file.createVariable("t", "f4", ("y", "x"))
    var.coordinates, var[:] = "lat lon", 1

with netCDF4.Dataset("lambert.nc", "w") as file:
    for dim in ("y", "x"):
        file.createDimension(dim, 3)
        axis = file.createVariable(dim, "f8", (dim,))
        axis.units, axis.standard_name, axis[:] = "m", f"projection_{dim}_coordinate", np.arange(3) * 1000
    file.createVariable("crs", "i4").grid_mapping_name = "lambert_conformal_conic"
    var = file.createVariable("t", "f4", ("y", "x"))
    var.grid_mapping, var[:] = "crs", 1
