"""Pairs of exactextract, kept, then numpy and scipy.sparse: min, max and mean of every day by region.

Arguments: grid, pairs (.npz), target, and `numpy` or `dask` (threads, a block of days each).
"""

import sys

import numpy as np
import pandas as pd
import scipy.sparse
import xarray

grid, pairs, target, how = sys.argv[1:]
kept = np.load(pairs)
order = np.argsort(kept["region"], kind="stable")
region, cell, share = kept["region"][order], kept["cell"][order], kept["coverage"][order].astype("f8")
regions, starts = np.unique(region, return_index=True)
file = xarray.open_dataset(grid, chunks={"time": 61} if how == "dask" else None)
values = file["air_temperature"]
height = np.sin(np.radians(file.lat.values + 1 / 48)) - np.sin(np.radians(file.lat.values - 1 / 48))
weight = share * height[cell // values.shape[2]]
size = values.shape[1] * values.shape[2]
matrix = scipy.sparse.csr_array((weight, (region, cell)), shape=(region.max() + 1, size))


def reduce(block):
    flat = block.reshape(len(block), -1)
    there = ~np.isnan(flat)
    mean = (matrix @ np.where(there, flat, 0).T / np.maximum(matrix @ there.T.astype("f8"), 1e-300)).T[:, regions]
    picked = flat[:, cell]
    low = np.minimum.reduceat(np.where(np.isnan(picked), np.inf, picked), starts, axis=1)
    high = np.maximum.reduceat(np.where(np.isnan(picked), -np.inf, picked), starts, axis=1)
    return np.stack([low, high, mean])


if how == "dask":
    import dask

    blocks = [dask.delayed(reduce)(block) for block in values.data.to_delayed().ravel()] if values.data.numblocks[1:] == (1, 1) else [
        dask.delayed(reduce)(values.data[start : start + 61]) for start in range(0, values.shape[0], 61)
    ]  # fmt: skip
    out = np.concatenate(dask.compute(*blocks, scheduler="threads"), axis=1)
else:
    out = np.concatenate([reduce(values[start : start + 20].values) for start in range(0, values.shape[0], 20)], axis=1)
columns = {name: out[place].ravel() for place, name in enumerate(("min", "max", "mean"))}
pd.DataFrame(columns).to_parquet(target)
