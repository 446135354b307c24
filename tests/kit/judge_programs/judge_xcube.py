"""Write ``.levels`` datasets with xcube, or compare two of them: ``judge_xcube.py write FOLDER FORMAT | compare FOLDER``."""

import sys

import numpy as np
import xarray as xr
from xcube.core.store import new_data_store


def cube(days):
    """Return a cube whose values differ from day to day; a cell is missing, flags are integers."""
    values = np.stack([np.random.default_rng(day).normal(size=(13, 18)).astype("f4") for day in days])
    values[:, 2, 3] = np.nan
    dims = ("time", "lat", "lon")
    data = {"chl": (dims, values), "flags": (dims, (values > 0).astype("i2")), "mask": (dims[1:], values[0] > 9)}
    coords = {"time": np.array(days, "M8[D]").astype("M8[ns]"), "lat": np.linspace(50, 44, 13)}
    return xr.Dataset(data, {**coords, "lon": np.linspace(0, 8.5, 18)})


def main(order, folder, zarr_format="2"):
    """Write what is to be appended, or say whether the levels are equal."""
    store = new_data_store("file", root=folder)
    if order == "write":
        for name, days in {"target": [1, 2], "slice": [3], "whole": [1, 2, 3]}.items():
            chunks = cube([1, 2]).chunk({"time": 2, "lat": 4, "lon": 4}) if name == "target" else cube(days).chunk()
            options = {"num_levels": 3, "tile_size": [4, 4], "zarr_format": int(zarr_format)}
            store.write_data(chunks, f"{name}.levels", **options)
        return
    found, whole = (store.open_data(f"{name}.levels") for name in ("target", "whole"))
    assert found.num_levels == whole.num_levels == 3
    for level in range(3):
        xr.testing.assert_identical(found.get_dataset(level).load(), whole.get_dataset(level).load())
    sys.stdout.write("identical")


main(*sys.argv[1:])
