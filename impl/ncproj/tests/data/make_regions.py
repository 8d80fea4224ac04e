"""Makes the small files of regions in this folder (the last needs geopandas): python make_regions.py

regions.gpkg: the layer `boxes` with `a` (263..264.25 E, 42..43 N) and `b`, a box of 300 corners that goes on over several
pages of 512 bytes; the layer `mercator` with `a` in EPSG:3857. layers.zip: the same `a` in one.shp, and in two.shp.
mercator.parquet: `a` in EPSG:3857 as geopandas writes it. boxes.fgb: `a` and `b` as FlatGeobuf with an index; lists.parquet: both in the
lists of GeoArrow, with fields of many types; packages.zip: boxes.fgb and regions.gpkg.
"""

import math
import sqlite3
import struct
import zipfile

A = [(-97, 42), (-95.75, 42), (-95.75, 43), (-97, 43), (-97, 42)]
B = [(-97 + k / 100, 40.0) for k in range(100)] + [(-96, 40 + k / 100) for k in range(100)]
B += [(-96 - k / 100, 41.0) for k in range(100)] + [(-97, 41), (-97, 40)]
PSEUDO = (
    'PROJCS["WGS 84 / Pseudo-Mercator",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],'
    'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]],PROJECTION["Mercator_1SP"],PARAMETER["central_meridian",0],'
    'PARAMETER["scale_factor",1],PARAMETER["false_easting",0],PARAMETER["false_northing",0],UNIT["metre",1],'
    'EXTENSION["PROJ4","+proj=merc +a=6378137 +b=6378137 +lat_ts=0 +lon_0=0 +x_0=0 +y_0=0 +k=1 +units=m +nadgrids=@null '
    '+wktext +no_defs"]]'
)
DEGREES = 'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]'


def mercator(ring):
    r = 6378137
    return [(r * math.radians(x), r * math.atanh(math.sin(math.radians(y)))) for x, y in ring]


def geopackage(ring, srs):
    wkb = struct.pack("<BIII", 1, 3, 1, len(ring)) + b"".join(struct.pack("<dd", *p) for p in ring)
    return b"GP" + bytes([0, 0b11]) + struct.pack("<i4d", srs, 0, 0, 0, 0) + wkb


with sqlite3.connect("regions.gpkg") as db:
    db.execute("PRAGMA page_size = 512")
    db.execute("CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT, srs_id INTEGER PRIMARY KEY, definition TEXT)")
    db.execute(
        "CREATE TABLE gpkg_geometry_columns (table_name TEXT, column_name TEXT, srs_id INTEGER, CONSTRAINT pk PRIMARY KEY (table_name))"
    )
    db.executemany("INSERT INTO gpkg_spatial_ref_sys VALUES (?, ?, ?)", [("WGS 84", 4326, DEGREES), ("x", 3857, PSEUDO)])
    db.executemany("INSERT INTO gpkg_geometry_columns VALUES (?, 'geom', ?)", [("boxes", 4326), ("mercator", 3857)])
    db.execute('CREATE TABLE boxes (fid INTEGER PRIMARY KEY AUTOINCREMENT, geom POLYGON, "the id" TEXT(20), "size" REAL)')
    db.execute("INSERT INTO boxes VALUES (7, ?, 'a', 1.5)", (geopackage(A, 4326),))
    db.execute("INSERT INTO boxes VALUES (400, ?, 'b', 2.0)", (geopackage(B, 4326),))
    db.execute("CREATE TABLE mercator (fid INTEGER PRIMARY KEY, geom POLYGON, id TEXT)")
    db.execute("INSERT INTO mercator VALUES (1, ?, 'a')", (geopackage(mercator(A), 3857),))


def shapefile(ring):
    ring = ring[::-1]
    body = struct.pack("<i4dii i", 5, -97, 42, -95.75, 43, 1, len(ring), 0) + b"".join(struct.pack("<dd", *p) for p in ring)
    head = struct.pack(">i20xi", 9994, (100 + 8 + len(body)) // 2) + struct.pack(
        "<ii8d", 1000, 5, -97, 42, -95.75, 43, 0, 0, 0, 0
    )
    field = struct.pack("<11sc4xBB14x", b"id", b"C", 4, 0)
    table = struct.pack("<B3xIHH20x", 3, 1, 32 + 32 + 1, 5) + field + b"\r" + b" a   " + b"\x1a"
    return head + struct.pack(">ii", 1, len(body) // 2) + body, table


with zipfile.ZipFile("layers.zip", "w", zipfile.ZIP_DEFLATED) as file:
    for name, ring, system in (("one", A, DEGREES), ("sub/two", mercator(A), PSEUDO.split(",EXTENSION")[0] + "]")):
        shp, dbf = shapefile(ring)
        for ending, content in (("shp", shp), ("dbf", dbf), ("prj", system.encode())):
            file.writestr(zipfile.ZipInfo(f"{name}.{ending}"), content)

import geopandas  # noqa: E402
import pandas  # noqa: E402
from shapely.geometry import Polygon  # noqa: E402

frame = geopandas.GeoDataFrame({"id": ["a"]}, geometry=[Polygon(A)], crs=4326)
frame.to_crs(3857).to_parquet("mercator.parquet", index=False)

boxes = geopandas.GeoDataFrame(
    {"id": ["a", "b"], "size": [1.5, 2.0], "n": [7, 400]}, geometry=[Polygon(A), Polygon(B)], crs=4326
)
boxes.to_file("boxes.fgb")
boxes["kind"] = boxes["id"].astype("category")
boxes["day"] = pandas.to_datetime(["2024-02-29", "2024-03-01"])
boxes.to_parquet("lists.parquet", index=False, geometry_encoding="geoarrow", schema_version="1.1.0", compression="gzip")
with zipfile.ZipFile("packages.zip", "w", zipfile.ZIP_DEFLATED) as file:
    for name in ("boxes.fgb", "regions.gpkg"):
        with open(name, "rb") as content:
            file.writestr(zipfile.ZipInfo(name), content.read())
