"""ncproj beside its peers: min, max and mean by county of days x 585 x 1386 cells, to Parquet.

    python -m venv peers && peers/bin/pip install -r benchmarks/peers/requirements.txt
    python benchmarks/zonal.py --peers peers/bin/python [--days 120] [--runs 3] [--folder FOLDER] [--long]

The grid is that of MACAv2-METDATA, float32, zlib 4 + shuffle, with values over some 60 % of the cells; once chunked by day, once
by 61 x 65 x 154. The counties are those of ../shared/data (or of the folder that ETL_REAL_DATA names) that touch the grid;
where absent, the sample's. With --long also 1,826 days and 10 to 20,000 regions, for the memory.
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

from measure import Cost, compare, cost  # noqa: E402

LATITUDE = np.linspace(25.063077926635742, 49.39602279663086, 585)
LONGITUDE = np.linspace(235.22784423828125, 292.93566894531250, 1386)
LAYOUTS = {"by day": (1, 585, 1386), "by 61 x 65 x 154": (61, 65, 154)}
PROGRAM = ROOT / "impl/ncproj/target/release/ncproj"
STATISTICS = ("--stats", "min,max,mean")


def make_grid(path: Path, days: int, chunks: tuple[int, int, int], variable: str = "air_temperature", first: int = 0) -> Path:
    """A field that varies as temperature does: smooth, with noise of a hundredth of a kelvin. Made once per folder."""
    import netCDF4

    if path.exists():
        return path
    chance = np.random.default_rng(1)
    y, x = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    land = (np.sin(x / 9) + np.cos(y / 5) + 0.4 * np.sin(x * y / 300)) > -0.45
    part = path.with_suffix(".part")
    with netCDF4.Dataset(part, "w") as file:
        for name, edges, units, standard in (
            ("lat", LATITUDE, "degrees_north", "latitude"),
            ("lon", LONGITUDE, "degrees_east", "longitude"),
        ):
            file.createDimension(name, len(edges))
            axis = file.createVariable(name, "f8", (name,))
            axis[:] = edges
            axis.units, axis.standard_name = units, standard
        file.createDimension("time", days)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 1900-01-01 00:00:00", "standard"
        time[:] = 38350 + first + np.arange(days)
        values = file.createVariable(
            variable, "f4", ("time", "lat", "lon"), zlib=True, complevel=4, shuffle=True,
            chunksizes=(min(chunks[0], days), *chunks[1:]), fill_value=-9999.0,
        )  # fmt: skip
        values.units = "K"
        for start in range(0, days, chunks[0]):
            block = []
            for day in range(start, min(start + chunks[0], days)):
                field = 290 - (y - 37) * 0.8 + 12 * np.sin(day / 58 + x / 40) + chance.normal(0, 0.3, y.shape)
                block.append(np.where(land, np.round(field, 2), -9999.0))
            values[start : start + len(block)] = np.stack(block)
    part.rename(path)
    return path


def make_regions(path: Path) -> Path:
    """GeoParquet of the counties that touch the grid."""
    import shapely

    from impl.source import sample, shapefile

    if path.exists():
        return path
    real = Path(os.environ.get("ETL_REAL_DATA") or ROOT.parent / "shared/data") / "tl_2010_us_county10.zip"
    archive = real
    if not real.exists():
        archive = path.with_name("tl_2010_us_county10.zip")
        sample.boundaries(archive, "county")
    counties = shapefile.read(archive, {"gis_join": "G{STATEFP10}0{COUNTYFP10}0"}, "gis_join")
    half = 1 / 48
    window = shapely.box(LONGITUDE[0] - 360 - half, LATITUDE[0] - half, LONGITUDE[-1] - 360 + half, LATITUDE[-1] + half)
    counties = counties[counties.intersects(window)]
    counties.to_parquet(path)
    path.with_suffix(".source").write_text(str(archive))
    print(f"{len(counties):,} regions from {archive.name}, {'real' if archive == real else 'sample'}", file=sys.stderr)
    return path


def make_tiles(path: Path, count: int) -> Path:
    """`count` regions that share out the grid: the cells that are nearest to random points."""
    import geopandas
    import shapely

    chance = np.random.default_rng(2)
    points = shapely.MultiPoint(chance.uniform((-124.5, 25.2), (-67.3, 49.2), (count, 2)))
    box = shapely.box(-124.7, 25.1, -67.1, 49.3)
    tiles = shapely.intersection(shapely.get_parts(shapely.voronoi_polygons(points, extend_to=box)), box)
    names = [f"tile{number:05}" for number in range(count)]
    geopandas.GeoDataFrame({"gis_join": names}, geometry=tiles, crs="EPSG:4326").to_parquet(path)
    return path


def make_boxes(path: Path, count: int) -> Path:
    """`count` boxes of a degree all over the grid, which lie over each other: 600 cells each."""
    import geopandas
    import shapely

    chance = np.random.default_rng(2)
    west, south = chance.uniform(-124, -69, count), chance.uniform(25.5, 48, count)
    names = [f"box{number:05}" for number in range(count)]
    geopandas.GeoDataFrame(
        {"gis_join": names}, geometry=shapely.box(west, south, west + 1, south + 1), crs="EPSG:4326"
    ).to_parquet(path)
    return path


def index(regions: Path, grid: Path, target: Path) -> list[object]:
    key = "G{STATEFP10}0{COUNTYFP10}0" if regions.suffix == ".zip" else "gis_join"
    words: list[object] = [PROGRAM, "index", "-q", "--regions", regions, "--key", key, "--grid", grid, "-o", target]
    return words + (["--key-name", "gis_join"] if regions.suffix == ".zip" else [])


def same_pairs(kept: Path, pairs: Path, counties: Path, folder: Path) -> str:
    """The pairs of both indexes, side by side. exactextract keeps coverage as float32."""
    import pyarrow.parquet as parquet

    table = folder / "ours.parquet"
    subprocess.run([PROGRAM, "export", "-q", "--index", kept, "-o", table], check=True)
    ours, theirs = parquet.read_table(table), np.load(pairs)
    names = {name: place for place, name in enumerate(parquet.read_table(counties)["gis_join"].to_pylist())}
    size = len(LATITUDE) * len(LONGITUDE)
    region = np.array([names[key] for key in ours[ours.column_names[0]].to_pylist()])
    here = region * size + ours["row"].to_numpy() * len(LONGITUDE) + ours["column"].to_numpy()
    there = theirs["region"] * size + theirs["cell"]
    both, mine, others = np.intersect1d(here, there, return_indices=True)
    apart = np.abs(ours["coverage"].to_numpy()[mine] - theirs["coverage"][others]).max()
    lone = np.concatenate([np.delete(ours["coverage"].to_numpy(), mine), np.delete(theirs["coverage"], others), [0.0]])
    return (
        f"{len(here):,} pairs, exactextract has {len(there):,}, {len(both):,} are the same; coverage differs by at most "
        f"{apart:.1e}; the largest coverage that only one has is {lone.max():.1e}"
    )


def aggregate(index: Path, target: Path, *files: Path, flags: tuple[str, ...] = ()) -> list[object]:
    return [PROGRAM, "aggregate", "-q", "--index", index, *STATISTICS, *flags, "-o", target, *files]


def say(name: str, costs: Cost) -> None:
    print(f"{name:<44} {costs}", flush=True)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--days", type=int, default=120)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--peers", default=sys.executable, help="Python with the peers (default: this one)")
    arguments.add_argument("--folder", type=Path, help="where to keep the generated files (default: a temporary folder)")
    arguments.add_argument("--long", action="store_true", help="also 1,826 days and many regions, for the memory")
    wish = arguments.parse_args()
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT / "impl/ncproj", check=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = wish.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        peers = [wish.peers, "-W", "ignore"]
        scripts = ROOT / "benchmarks/peers"
        counties = make_regions(folder / "counties.parquet")
        kept, pairs, target = folder / "counties.index", folder / "pairs.npz", folder / "out.parquet"
        for layout, chunks in LAYOUTS.items():
            grid = make_grid(folder / f"{layout.replace(' ', '')}{wish.days}.nc", wish.days, chunks)
            if layout == "by day":
                print("\nindex of the regions: ncproj reads the zip of shapefiles, its peer GeoParquet")
                archive = Path(counties.with_suffix(".source").read_text())
                compare(
                    ("ncproj index", lambda grid=grid, archive=archive: cost(index(archive, grid, kept))),
                    {
                        "exactextract cell_id + coverage": lambda grid=grid: cost(
                            [*peers, scripts / "pairs.py", grid, counties, pairs]
                        )
                    },
                    wish.runs,
                )
                cost(index(counties, grid, kept))
                print(same_pairs(kept, pairs, counties, folder))
            print(f"\n{wish.days} days, chunked {layout}, index given")
            sparse = [*peers, scripts / "kept_pairs.py", grid, pairs, target]
            compare(
                ("ncproj aggregate", lambda grid=grid: cost(aggregate(kept, target, grid))),
                {
                    "exactextract raster-sequential": lambda grid=grid: cost(
                        [*peers, scripts / "sequential.py", grid, counties, target]
                    ),
                    "exactextract index + scipy.sparse": lambda sparse=sparse: cost([*sparse, "numpy"]),
                    "exactextract index + scipy.sparse, dask": lambda sparse=sparse: cost([*sparse, "dask"]),
                },
                wish.runs,
            )
            floor = cost([PROGRAM, "bench", "inflate", grid])
            # By turns and more than once: a few milliseconds decide.
            ones, twos = [], []
            for _ in range(7):
                ones.append(cost(aggregate(kept, target, grid, flags=("--threads", "1"))))
                twos.append(cost(aggregate(kept, target, grid, flags=("--threads", "2"))))
            ours = sorted(ones, key=lambda one: one.cpu)[3]
            one, two = (sorted(many, key=lambda one: one.wall)[3].wall for many in (ones, twos))
            say("only inflating the chunks (floor)", floor)
            print(f"the whole of ncproj aggregate is {ours.cpu / floor.cpu:.2f}x of the floor in CPU seconds")
            print(
                f"two threads take {two / one:.2f}x of one in wall seconds ({two:.3f} s, {one:.3f} s; medians of seven by turns)"
            )
        ten = [make_grid(folder / f"v{n}.nc", 30, LAYOUTS["by day"], f"v{n}") for n in range(10)]
        together = cost(aggregate(kept, folder / "ten.parquet", *ten))
        apart = [cost(aggregate(kept, folder / f"one{n}.parquet", one)) for n, one in enumerate(ten)]
        print("\nten variables of 30 days")
        say("in one call", together)
        print(
            f"in ten calls {sum(one.cpu for one in apart):.2f} CPU-s: one call is {together.cpu / sum(o.cpu for o in apart):.2f}x"
        )
        if wish.long:
            print("\nmemory")
            for days in (wish.days, 1826):
                grid = make_grid(folder / f"byday{days}.nc", days, LAYOUTS["by day"])
                say(f"{days:,} days, the counties", cost(aggregate(kept, folder / "long.parquet", grid)))
            grid = folder / f"byday{wish.days}.nc"
            for name, make in (("that share out the grid", make_tiles), ("that lie over each other", make_boxes)):
                for count in (10, 1_000, 20_000):
                    regions = make(folder / f"{make.__name__}{count}.parquet", count)
                    own = regions.with_suffix(".index")
                    cost(index(regions, grid, own))
                    say(f"{count:,} regions {name}", cost(aggregate(own, folder / "regions.out.parquet", grid)))
            one = make_grid(folder / "hundred0.nc", 3, LAYOUTS["by day"])
            say("a file of three days", cost(aggregate(kept, folder / "one.parquet", one)))
            many = [make_grid(folder / f"hundred{n}.nc", 3, LAYOUTS["by day"], first=3 * n) for n in range(100)]
            say("a hundred of them, one after another", cost(aggregate(kept, folder / "hundred.parquet", *many)))


if __name__ == "__main__":
    main()
