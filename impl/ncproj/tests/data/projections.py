"""Makes projections.csv: points by pyproj (needs pyproj and numpy): python projections.py > projections.csv"""

import sys

import numpy as np
import pyproj

SYSTEMS = """
+proj=lcc +lat_1=25 +lat_2=45 +lat_0=25 +lon_0=265 +R=6371200
+proj=lcc +lat_1=38.5 +lat_2=38.5 +lat_0=38.5 +lon_0=-97.5 +ellps=WGS84 +x_0=100000 +units=km
+proj=aea +lat_1=29.5 +lat_2=45.5 +lat_0=23 +lon_0=-96 +ellps=GRS80
+proj=stere +lat_0=90 +lat_ts=60 +lon_0=-100 +ellps=WGS84
+proj=stere +lat_0=-90 +lat_ts=-71 +lon_0=0 +ellps=WGS84
+proj=stere +lat_0=52 +lon_0=5 +k_0=0.9999 +ellps=bessel
+proj=tmerc +lat_0=0 +k_0=0.9996 +lon_0=-105 +x_0=500000 +ellps=WGS84
+proj=tmerc +lat_0=0 +lon_0=-105 +R=6371229
+proj=utm +zone=33 +ellps=GRS80
+proj=merc +lat_ts=20 +lon_0=0 +ellps=WGS84
+proj=merc +a=6378137 +b=6378137 +lon_0=0
+proj=laea +lat_0=45 +lon_0=-100 +ellps=WGS84
+proj=laea +lat_0=52 +lon_0=10 +x_0=4321000 +y_0=3210000 +ellps=GRS80
+proj=laea +lat_0=90 +lon_0=0 +ellps=WGS84
+proj=cea +lat_ts=30 +lon_0=0 +ellps=WGS84
+proj=sinu +lon_0=0 +R=6371007.181
+proj=aeqd +lat_0=40 +lon_0=-100 +ellps=WGS84
+proj=sterea +lat_0=52.1561605555556 +lon_0=5.38763888888889 +k_0=0.9999079 +x_0=155000 +y_0=463000 +ellps=bessel
+proj=ob_tran +o_proj=longlat +o_lat_p=42.5 +o_lon_p=0 +lon_0=263 +R=6371229
+proj=ob_tran +o_proj=longlat +o_lat_p=39.25 +o_lon_p=30 +lon_0=18 +R=6371229
"""
DEGREES = (
    "+proj=pipeline +step +proj=unitconvert +xy_in={0} +xy_out={1} +step {2} +step +proj=unitconvert +xy_in=rad +xy_out=deg"
)

random = np.random.default_rng(7)
sys.stdout.write(f"# projection,longitude,latitude,x,y: by pyproj {pyproj.__version__} (PROJ {pyproj.proj_version_str})\n")
for text in SYSTEMS.split("\n")[1:-1]:
    words = dict(word[1:].split("=") for word in text.split())
    lon_0, lat_0 = float(words.get("lon_0", 15)), float(words.get("lat_0", words.get("o_lat_p", 40)))
    narrow = words["proj"] in ("tmerc", "utm", "stere", "sterea") and abs(lat_0) < 80
    for _ in range(4):
        lon = lon_0 + random.uniform(-1, 1) * (20 if narrow else 60)
        lat = round(float(np.clip((40 if lat_0 >= 0 else -60) + random.uniform(-20, 20), -85, 85)), 4)
        lon = round((lon + 180) % 360 - 180, 4)
        if "ob_tran" in text:
            x, y = pyproj.Transformer.from_pipeline(DEGREES.format("deg", "rad", text)).transform(lon, lat)
        else:
            x, y = pyproj.Proj(text)(lon, lat)
        sys.stdout.write(f"{text},{lon},{lat},{float(x)!r},{float(y)!r}\n")
