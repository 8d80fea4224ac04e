"""Every statistic of ncproj beside numpy, written from the definitions in impl/ncproj/README.md, and beside exactextract."""

import copy
import tempfile
from pathlib import Path
from typing import NamedTuple

import geopandas
import numpy as np
import pytest
import shapely
from exactextract import exact_extract
from exactextract.raster import NumPyRasterSource
from hypothesis import given, note, settings
from hypothesis import strategies as st

from .random_grids import HAIR, MANY, Grid, aggregate, cases, index

pytestmark = pytest.mark.slow
QUANTILES = {"median": 0.5, "q05": 0.05, "q95": 0.95, "q97.5": 0.975}
NAMES = ["min", "max", "mean", "sum", "count", "variance", "stdev", *QUANTILES, "mode", "valid"]
ALL = ("--stats", ",".join(NAMES))


@st.composite
def fields(draw, values):
    """What the cells of a grid hold, and how the file holds it: steps of 5 make modes; float32 and small chunks go other ways."""
    if draw(st.booleans()):
        values = np.round(values / 5) * 5
    kind = draw(st.sampled_from(["f4", "f8"]))
    chunks = draw(st.sampled_from([None, (1, 1, 2), (2, 3, 1)]))
    chunks = chunks and tuple(min(pair) for pair in zip(chunks, values.shape, strict=True))
    return values.astype(kind).astype("f8"), {"kind": kind, "chunks": chunks}


@st.composite
def people(draw, grid):
    """A field of weights: some cells have none, of some nothing is known."""
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    field = chance.uniform(0.1, 1000, grid.shape)
    field[chance.random(grid.shape) < 0.2] = 0
    field[chance.random(grid.shape) < 0.2] = np.nan
    field.flat[0] = 5.0  # ncproj refuses a field without any weight
    return field


@st.composite
def worlds(draw):
    grid, shapes, values = draw(cases())
    values, how = draw(fields(values))
    return grid, shapes, values, how, draw(people(grid))


def quantile(values, weights, share):
    """Of n values in rising order, value k stands at k w[k] + (n - 1) (w[0] + .. + w[k-1]); a straight line in between."""
    order = np.lexsort((weights, values))
    v, w = values[order], weights[order]
    place = np.arange(len(v)) * w + (len(v) - 1) * (np.cumsum(w) - w)
    return np.interp(share * (len(v) - 1) * w.sum(), place, v)


def heaviest(values, weights):
    """The values that could be the mode: of the largest sum of weights, but for rounding."""
    weight = {value: weights[values == value].sum() for value in np.unique(values)}
    return [value for value in weight if weight[value] > max(weight.values()) * (1 - 1e-5)]


class Known(NamedTuple):
    """One region at one step: the cells that have a weight and a value, and what share of the weight they are."""

    values: np.ndarray
    covered: np.ndarray
    weights: np.ndarray
    valid: float


def known(grid, shape, values, factor):
    """For each step, or None where a cell is touched by no more than rounding."""
    covered = grid.covered(shape)
    if ((covered > 0) & (covered < HAIR)).any():
        return None
    inside = (covered * np.outer(np.diff(grid.lat), np.diff(grid.lon))).sum() / shape.area
    weights = covered * factor
    steps = []
    for step in values:
        there = (weights > 0) & ~np.isnan(step)
        valid = inside * weights[there].sum() / weights.sum() if there.any() else 0.0
        steps.append(Known(step[there], covered[there], weights[there], valid))
    return steps


def check(row, cells, least):
    """One row of ncproj."""
    v, c, w, valid = cells
    assert row["valid_v"] == pytest.approx(valid, abs=1e-6)
    if len(v) and abs(valid - least) < 1e-6 and least:
        return  # on which side of the bound is rounding
    got = {name: row[f"{name}_v"] for name in NAMES}
    if len(v) == 0 or valid < least:
        assert all(np.isnan(got[name]) for name in NAMES if name != "valid")
        return
    # Shares are known to about 1e-11 of a cell; of a tiny region that is more of the whole.
    slack = 1e-9 + 1e-11 / c.min()
    spread = v.max() - v.min()
    mean = (w * v).sum() / w.sum()
    assert (got["min"], got["max"]) == (v.min(), v.max())
    assert got["mean"] == pytest.approx(mean, abs=1e-9 + slack * spread)
    assert got["sum"] == pytest.approx((c * v).sum(), rel=slack)
    assert got["count"] == pytest.approx(c.sum(), rel=slack)
    assert got["variance"] == pytest.approx((w * (v - mean) ** 2).sum() / w.sum(), abs=1e-9 + slack * spread**2)
    assert got["stdev"] == pytest.approx(np.sqrt(got["variance"]), rel=1e-12)
    for name, share in QUANTILES.items():
        # Quantiles rise with the share: between those of a hair less and a hair more.
        low, high = quantile(v, w, max(share - slack, 0)), quantile(v, w, min(share + slack, 1))
        assert low - 1e-9 <= got[name] <= high + 1e-9, name
    assert got["mode"] in heaviest(v, w)


@MANY
@given(world=worlds(), weights=st.sampled_from(["area", "coverage", "field"]), least=st.sampled_from([0.0, 0.3, 0.9, 1.0]))
def test_every_statistic_is_what_the_readme_says(ncproj, world, weights, least):
    grid, shapes, values, how, field = world
    note(f"lon {grid.lon} lat {grid.lat}\n" + "\n".join(shape.wkt for shape in shapes))
    factor = {"area": grid.area(), "coverage": np.ones(grid.shape), "field": np.nan_to_num(field)}[weights]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        grid.write(folder / "v.nc", values, **how)
        grid.write(folder / "people.nc", field[None], name="people")
        if not shapes or not index(ncproj, folder, grid, shapes):
            return
        chosen = f"{folder}/people.nc:people" if weights == "field" else weights
        rows = aggregate(ncproj, folder, *ALL, "--weights", chosen, "--min-valid", least)
    times = sorted(rows.index.get_level_values("time").unique())
    for number, shape in enumerate(shapes):
        for time, cells in zip(times, known(grid, shape, values, factor) or [], strict=False):
            check(rows.loc[(time, f"r{number}")], cells, least)


def by_exactextract(grid, field, shape, operations, weights=None):
    """A table with one row. It wants the north first.

    A margin of missing cells goes round the grid: exactextract 0.3.0 crashes on a part of a polygon that touches the grid's edge
    from outside.
    """
    step = grid.lon[1] - grid.lon[0]
    margin = int(np.ceil(1.5 / step)) + 1  # polygons reach a degree beyond the grid
    box = {
        "xmin": grid.lon[0] - margin * step,
        "xmax": grid.lon[-1] + margin * step,
        "ymin": grid.lat[0] - margin * step,
        "ymax": grid.lat[-1] + margin * step,
    }

    def source(values):
        return NumPyRasterSource(np.pad(values[::-1], margin, constant_values=np.nan), **box)

    frame = geopandas.GeoDataFrame(geometry=[shape], crs="EPSG:4326")
    weights = None if weights is None else source(weights)
    return exact_extract(source(field), frame, operations, weights=weights, output="pandas")


@MANY
@given(world=worlds(), weights=st.sampled_from(["area", "coverage", "field"]))
def test_exactextract_says_the_same_where_it_has_the_statistic(ncproj, world, weights):
    """It differs in four things.

    - With weights beside the coverage it has mean, variance and stdev; its quantiles and mode go by coverage alone.
    - To its quantiles cells of one value are one cell of their weights' sum: the median of 280, 280 and 285 is 282.5 to it, and
      280 to ncproj and numpy.
    - Of several modes it takes the largest, ncproj the smallest.
    - It keeps coverage as float32: its sums are good to about 1e-7 of each cell.
    """
    grid, shapes, values, how, field = world
    factor = {"area": grid.area(), "coverage": np.ones(grid.shape), "field": np.nan_to_num(field)}[weights]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        grid.write(folder / "v.nc", values, **how)
        grid.write(folder / "people.nc", field[None], name="people")
        if not shapes or not index(ncproj, folder, grid, shapes):
            return
        chosen = f"{folder}/people.nc:people" if weights == "field" else weights
        rows = aggregate(ncproj, folder, *ALL, "--weights", chosen)
    time = min(rows.index.get_level_values("time"))
    spreads = ["mean", "variance", "stdev"]
    if weights == "coverage":
        operations = [
            "min",
            "max",
            "sum",
            "count",
            *spreads,
            "median",
            "mode",
            *(f"quantile(q={q})" for q in (0.05, 0.95, 0.975)),
        ]
    else:
        operations = [f"{name}=weighted_{name}" for name in spreads]
    for number, shape in enumerate(shapes):
        cells = known(grid, shape, values[:1], factor)
        if cells is None or len(cells[0].values) == 0:
            continue  # exactextract crashes where there is no value
        v, c, w, _ = cells[0]
        slack = 1e-6 + 2e-7 / c.min()  # float32 within a cell
        if slack > 1e-3:
            continue
        row = rows.loc[(time, f"r{number}")]
        table = by_exactextract(grid, values[0], shape, operations, None if weights == "coverage" else factor)
        table = table.rename(columns={"quantile_5": "q05", "quantile_95": "q95", "quantile_97": "q97.5"})  # it cuts 97.5
        wanted = table.iloc[0]
        spread = v.max() - v.min()
        assert row["mean_v"] == pytest.approx(wanted["mean"], abs=1e-6 + slack * spread)
        assert row["variance_v"] == pytest.approx(wanted["variance"], abs=1e-6 + slack * spread**2)
        assert row["stdev_v"] ** 2 == pytest.approx(wanted["stdev"] ** 2, abs=1e-6 + slack * spread**2)
        if weights != "coverage":
            continue
        assert (row["min_v"], row["max_v"]) == (wanted["min"], wanted["max"])
        assert row["sum_v"] == pytest.approx(wanted["sum"], rel=slack)
        assert row["count_v"] == pytest.approx(wanted["count"], rel=slack)
        for name, share in QUANTILES.items():
            merged, place = np.unique(v, return_inverse=True)
            low, high = (quantile(merged, np.bincount(place, w), min(max(share + by, 0), 1)) for by in (-slack, slack))
            assert low - 1e-6 <= wanted[name] <= high + 1e-6, name
            if len(merged) == len(v):
                assert row[f"{name}_v"] == pytest.approx(wanted[name], abs=1e-6 + high - low), name
        modes = heaviest(v, w)
        assert row["mode_v"] in modes and wanted["mode"] in modes
        if len(modes) == 1:
            assert row["mode_v"] == wanted["mode"]


@settings(MANY, max_examples=20)
@given(places=st.permutations(range(6)))
def test_of_equal_modes_ncproj_takes_the_smallest_and_exactextract_the_largest(ncproj, places):
    """The region is six whole cells: three values that weigh two cells each, exactly."""
    grid = Grid(-100.0, 30.0, 1.0, 3, 2, False)
    values = np.array([3.0, 3.0, -7.0, -7.0, 12.0, 12.0])[list(places)].reshape(1, 2, 3)
    box = shapely.box(-100, 30, -97, 32)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        grid.write(folder / "v.nc", values)
        assert index(ncproj, folder, grid, [box])
        rows = aggregate(ncproj, folder, "--stats", "mode", "--weights", "coverage")
    assert rows["mode_v"].item() == -7
    assert by_exactextract(grid, values[0], box, ["mode"])["mode"].item() == 12


@settings(MANY, max_examples=50)
@given(world=worlds(), seed=st.integers(0, 2**32 - 1))
def test_what_depends_on_order_is_the_same_bit_however_the_file_is_laid_out(ncproj, world, seed):
    """Least, largest, quantiles and mode; what is added up may differ by rounding."""
    grid, shapes, values, how, _ = world
    chance = np.random.default_rng(seed)
    other = copy.copy(grid)
    other.descending = not grid.descending
    dimensions = list(chance.permutation(["time", "lat", "lon"]))
    sizes = dict(zip(["time", "lat", "lon"], values.shape, strict=True))
    chunks = [int(chance.integers(1, sizes[name] + 1)) for name in dimensions]
    exact = ["min", "max", *QUANTILES, "mode"]
    tables = []
    with tempfile.TemporaryDirectory() as temporary:
        for number, (place, layout) in enumerate([(grid, how), (other, {**how, "dimensions": dimensions, "chunks": chunks})]):
            folder = Path(temporary, str(number))
            folder.mkdir()
            place.write(folder / "v.nc", values, **layout)
            if not shapes or not index(ncproj, folder, place, shapes):
                return
            tables.append(aggregate(ncproj, folder, *ALL))
    for name in NAMES:
        one, same = (table[f"{name}_v"].to_numpy() for table in tables)
        if name in exact:
            assert np.array_equal(one, same, equal_nan=True), name
        else:
            assert np.allclose(one, same, rtol=1e-12, atol=1e-9, equal_nan=True), name
