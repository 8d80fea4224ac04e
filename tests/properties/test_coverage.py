"""ncproj beside a slow and simple reference: shapely cuts every cell with every polygon, numpy does the rest."""

import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import given, note
from hypothesis import strategies as st

from .random_grids import HAIR, MANY, SMALLEST, Grid, cases, run

pytestmark = pytest.mark.slow


def reference(grid, shapes, values, weights):
    """For each step and region: min, max, mean, valid; as the README of ncproj defines them."""
    whole = shapely.area(grid.cells())
    for number, shape in enumerate(shapes):
        covered = grid.covered(shape)
        by_a_hair = ((covered > 0) & (covered < HAIR)).any()
        covered[covered < SMALLEST] = 0
        weight = covered * (grid.area() if weights == "area" else 1.0)
        inside = (covered * whole).sum() / shape.area
        for step in range(len(values)):
            there = (covered > 0) & ~np.isnan(values[step])
            if there.any():
                v, w = values[step][there], weight[there]
                yield step, number, v.min(), v.max(), (v * w).sum() / w.sum(), w.sum() / weight.sum() * inside, by_a_hair
            else:
                yield step, number, None, None, None, 0.0, by_a_hair


@MANY
@given(case=cases(), weights=st.sampled_from(["area", "coverage"]))
def test_every_number_is_that_of_the_slow_way(ncproj, case, weights):
    grid, shapes, values = case
    if not shapes:
        return
    note(f"lon {grid.lon} lat {grid.lat}\n" + "\n".join(shape.wkt for shape in shapes))
    with tempfile.TemporaryDirectory() as temporary:
        rows = run(ncproj, Path(temporary), grid, shapes, values, "--weights", weights)
    steps = [] if rows is None else sorted(rows.index.get_level_values("time").unique())
    for step, number, low, high, mean, valid, by_a_hair in reference(grid, shapes, values, weights):
        if rows is None:
            assert valid < 1e-6
            continue
        row = rows.loc[(steps[step], f"r{number}")]
        assert row["valid_v"] == pytest.approx(valid, abs=1e-6)
        if by_a_hair:
            continue
        if low is None:
            assert np.isnan(row["min_v"]) and np.isnan(row["max_v"]) and np.isnan(row["mean_v"])
        else:
            assert (row["min_v"], row["max_v"]) == (low, high)
            assert row["mean_v"] == pytest.approx(mean, abs=1e-6)


def pairs(path):
    """(region, cell, share) of an index, read by the description of the format in the crate's README."""
    data = path.read_bytes()
    assert data[:8] == b"ncprojix"
    length = struct.unpack("<Q", data[12:20])[0]
    header = json.loads(data[20 : 20 + length])
    at = 20 + length
    rows, columns = header["grid"]["lat"]["cells"], header["grid"]["lon"]["cells"]
    at += 8 * (rows + 1 + columns + 1)
    keys = []
    for _ in range(header["regions"]["count"]):
        size = struct.unpack("<I", data[at : at + 4])[0]
        keys.append(data[at + 4 : at + 4 + size].decode())
        at += 4 + size
    at += 8 * len(keys)
    starts = np.frombuffer(data, "<u8", len(keys) + 1, at)
    at += 8 * len(starts)
    cells = np.frombuffer(data, "<u4", header["pairs"], at)
    shares = np.frombuffer(data, "<f8", header["pairs"], at + 4 * len(cells))
    region = np.repeat(np.arange(len(keys)), np.diff(starts).astype(int))
    return region, cells, shares, rows * columns


@MANY
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(2, 30))
def test_regions_that_tile_cover_each_cell_once(ncproj, seed, count):
    """Voronoi cells of random points, cut to a box: their shares sum to the box's share of the cell."""
    chance = np.random.default_rng(seed)
    grid = Grid(-100.0, 30.0, 0.5, 12, 10, False)
    box = shapely.box(-99.7, 30.2, -94.3, 34.9)
    points = shapely.MultiPoint(chance.uniform([-99.7, 30.2], [-94.3, 34.9], (count, 2)))
    tiles = [shapely.intersection(tile, box) for tile in shapely.get_parts(shapely.voronoi_polygons(points, extend_to=box))]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run(ncproj, folder, grid, tiles, np.ones((1, *grid.shape)))
        _, cells, shares, size = pairs(folder / "i")
    sums = np.bincount(cells, shares, size).reshape(grid.shape)
    wanted = shapely.area(shapely.intersection(grid.cells(), box)) / shapely.area(grid.cells())
    assert np.abs(sums - wanted).max() < 1e-9
    assert (shares > 0).all() and (shares <= 1 + 1e-12).all()


@MANY
@given(case=cases(), order=st.randoms(use_true_random=False))
def test_the_order_of_regions_and_the_number_of_threads_change_nothing(ncproj, case, order):
    grid, shapes, values = case
    if not shapes:
        return
    shuffled = list(range(len(shapes)))
    order.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as temporary:
        one, other = Path(temporary, "one"), Path(temporary, "other")
        one.mkdir()
        other.mkdir()
        first = run(ncproj, one, grid, shapes, values, "--threads", "1")
        same = run(ncproj, other, grid, shapes, values, "--threads", "3")
        if first is None:
            assert same is None
            return
        assert (one / "o.parquet").read_bytes() == (other / "o.parquet").read_bytes()
        again = run(ncproj, other, grid, [shapes[n] for n in shuffled], values)
    for place, number in enumerate(shuffled):
        left = first.xs(f"r{number}", level="name").to_numpy()
        right = again.xs(f"r{place}", level="name").to_numpy()
        assert np.array_equal(left, right, equal_nan=True)
