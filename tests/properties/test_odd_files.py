"""Two thousand random variables in random files: the right number, or an error that says why. See odd_files.py."""

import csv
import io
import json
import re
from collections import Counter

import netCDF4
import numpy as np
import pytest
import shapely

from . import odd_files as odd

pytestmark = pytest.mark.slow
FILES, EACH = 250, 8
STATS = ["min", "max", "mean", "count", "valid"]
FORMATS = ["NETCDF4", "NETCDF4", "NETCDF4", "NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA"]


def write(path, chance, variables, lat, lon, time, order):
    """The file; order: the dimensions of the variables as they are stored."""
    form = variables[0].story[0]
    with netCDF4.Dataset(path, "w", format=form) as file:
        lat.write(file, "lat", "latitude")
        lon.write(file, "lon", "longitude")
        if time is not None:
            file.createDimension("time", None if chance.random() < 0.5 else len(time.stored))
            axis = file.createVariable("time", "f8", ("time",))
            axis.setncatts(time.attrs)
            axis[: len(time.stored)] = time.stored
        flip = {"lat": lat.falling, "lon": lon.falling, "time": False}
        for one in variables:
            attrs = dict(one.attrs)
            options = {"fill_value": attrs.pop("_FillValue", None)}
            if form.startswith("NETCDF4"):
                options |= {
                    "zlib": bool(chance.random() < 0.5),
                    "shuffle": bool(chance.random() < 0.5),
                    "fletcher32": bool(chance.random() < 0.2),
                    "endian": str(chance.choice(["native", "big", "little"])),
                }
            variable = file.createVariable(one.name, one.kind, order, **options)
            variable.set_auto_maskandscale(False)
            variable.setncatts(attrs)
            turned = one.stored[tuple(slice(None, None, -1) if flip[name] else slice(None) for name in order)]
            variable[:] = turned


def wanted(one, order, lat, lon, share, weights):
    """{statistic: value by step} of one variable; None where there is none."""
    names = [name for name in ("time", "lat", "lon") if name in order]
    values = one.meant.transpose([order.index(name) for name in names]).reshape(-1, *share.shape)
    out = {name: [] for name in STATS}
    weight = np.where(share > odd.SMALLEST, share * weights, 0)
    for step in values:
        there = (weight > 0) & ~np.isnan(step)
        total = weight.sum()
        out["valid"].append(weight[there].sum() / total if total else None)
        out["count"].append(share[there].sum() if there.any() else None)
        for name, function in (("min", np.min), ("max", np.max)):
            out[name].append(function(step[there]) if there.any() else None)
        out["mean"].append((step[there] * weight[there]).sum() / weight[there].sum() if there.any() else None)
    return out


def differs(row, name, values, step):
    for stat in STATS:
        got, want = row[f"{stat}_{name}"], values[stat][step]
        if (got == "") != (want is None):
            return f"{stat}: {got or 'nothing'} for {want}"
        # what a share of less than a billionth decides is nobody's truth
        if want is not None and abs(float(got) - want) > 2e-6 * max(1.0, abs(want)):
            return f"{stat}: {got} for {want}"
    return None


@pytest.fixture(scope="module")
def messages(ncproj):
    """Patterns of all refusals in the table of `ncproj features`."""
    table = json.loads(ncproj("features", "--json").stdout)
    return [
        re.compile(".*".join(map(re.escape, one["how"].split("{}"))), re.DOTALL) for one in table if one["does"] == "refused"
    ]


def test_two_thousand_odd_variables_are_right_or_refused_by_name(ncproj, tmp_path, messages):
    tried, lawful, refused, wrong, unlisted = 0, 0, Counter(), [], Counter()
    for seed in range(FILES):
        chance = np.random.default_rng(seed)
        form = str(chance.choice(FORMATS))
        kinds = odd.CLASSIC if form in ("NETCDF4_CLASSIC", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET") else odd.TYPES
        lat, lon = odd.side(chance, "lat"), odd.side(chance, "lon", whole_globe=chance.random() < 0.15)
        time = odd.time(chance) if chance.random() < 0.7 else None
        dimensions = ["lat", "lon"] + (["time"] if time is not None else [])
        order = [str(name) for name in chance.permutation(dimensions)]
        if form.startswith("NETCDF3") and time is not None:
            order = ["time"] + [name for name in order if name != "time"]  # its unlimited dimension comes first
        sizes = {"lat": len(lat.centres), "lon": len(lon.centres), "time": 0 if time is None else len(time.stored)}
        variables = [odd.variable(chance, f"v{k}", [sizes[name] for name in order], kinds) for k in range(EACH)]
        for one in variables:
            one.story.insert(0, form)
        path = tmp_path / "odd.nc"
        path.unlink(missing_ok=True)
        write(path, chance, variables, lat, lon, time, order)
        shape = odd.region(chance, lat, lon)
        turn = float(chance.choice([0, 0, -360, 360])) if shape.bounds[0] > -180 and shape.bounds[2] < 180 else 0.0
        turned = shapely.affinity.translate(shape, turn)
        feature = {"type": "Feature", "properties": {"id": "a"}, "geometry": shapely.geometry.mapping(turned)}
        regions = tmp_path / "odd.geojson"
        regions.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
        share = odd.shares(lat, lon, shape)
        plain = bool(chance.random() < 0.3)
        weights = np.ones(share.shape) if plain else odd.areas(lat, lon)
        place = f"seed {seed}: {form}, lat {lat.unit} {lat.edges}, lon {lon.unit} {lon.edges}, {shape.wkt}, {turn}"

        def say(one, what, place=place, time=time):
            return f"{place}\n  {one.name} {one.kind} {one.attrs} {one.story} {time and time.attrs}\n  {what}"

        done = ncproj(
            "index", "--regions", regions, "--key", "id", "--grid", path, "--variable", "v0", "-o", tmp_path / "odd.index"
        )
        assert done.returncode in (0, 1) and "panicked" not in done.stderr, place + done.stderr
        time_lawful = time is None or time.lawful
        if done.returncode:
            for one in variables:
                tried, lawful = tried + 1, lawful + (one.lawful and time_lawful)
                refused[one.lawful and time_lawful, done.stderr.splitlines()[0]] += 1
            continue
        names = [one.name for one in variables]
        options = ["--stats", ",".join(STATS), "--weights", "coverage" if plain else "area", "-o", "-"]
        done = ncproj("aggregate", "--index", tmp_path / "odd.index", path, "--variables", ",".join(names), *options)
        apart = (
            {}
            if done.returncode == 0
            else {
                name: ncproj("aggregate", "--index", tmp_path / "odd.index", path, "--variables", name, *options)
                for name in names
            }
        )
        for one in variables:
            result = apart.get(one.name, done)
            tried, lawful = tried + 1, lawful + (one.lawful and time_lawful)
            assert result.returncode in (0, 1) and "panicked" not in result.stderr, say(one, result.stderr)
            if result.returncode:
                text = result.stderr.removeprefix("error: ")
                refused[one.lawful and time_lawful, text.splitlines()[0]] += 1
                assert "odd.nc" in text, say(one, text)
                if not any(pattern.match(text) for pattern in messages):
                    unlisted[text.splitlines()[0]] += 1
                continue
            rows = list(csv.DictReader(io.StringIO(result.stdout)))
            values = wanted(one, order, lat, lon, share, weights)
            steps = 1 if time is None else len(time.stored)
            if len(rows) != steps:
                wrong.append(say(one, f"{len(rows)} rows for {steps}"))
                continue
            if time is not None:
                same, dates = odd.dated([row["time"] for row in rows], time.attrs.get("calendar"), time.dates)
                if not same:
                    wrong.append(say(one, f"times {[row['time'] for row in rows]} for {dates}"))
            found = next(filter(None, (differs(row, one.name, values, k) for k, row in enumerate(rows))), None)
            if found:
                wrong.append(say(one, found))
    of_lawful = sum(count for (ok, _), count in refused.items() if ok)
    print(
        f"{tried} tried, {lawful} lawful, {of_lawful} of these refused, {sum(refused.values())} refused in all, {len(wrong)} wrong"
    )
    for (ok, text), count in refused.most_common(30):
        print(f"  {count:4} {'lawful' if ok else 'odd'}: {text}")
    assert not wrong, f"{len(wrong)} wrong\n" + "\n".join(wrong[:10])
    assert not unlisted, f"refusals that stand in no table: {unlisted}"
    assert tried == FILES * EACH
    assert of_lawful <= 0.05 * lawful
