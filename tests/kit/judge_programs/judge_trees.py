"""Write pyramids of groups with ndpyramid or topozarr, or compare two: ``judge_trees.py write FOLDER TOOL | compare FOLDER``."""

import sys

import numpy as np
import xarray as xr


def cube(days):
    """Return a cube of sizes that can be halved twice."""
    values = np.stack([np.random.default_rng(day).normal(size=(12, 16)).astype("f4") for day in days])
    coords = {
        "time": np.array(days, "M8[D]").astype("M8[ns]"),
        "y": np.linspace(50, 44, 12),
        "x": np.linspace(0, 8, 16),
    }
    return xr.Dataset({"chl": (("time", "y", "x"), values)}, coords)


def write(dataset, path, tool):
    """Write a pyramid of three levels."""
    if tool == "topozarr":
        import topozarr

        topozarr.create_pyramid(dataset.proj.assign_crs(spatial_ref="EPSG:4326"), levels=3).write(path)
        return
    from ndpyramid import pyramid_coarsen

    tree = pyramid_coarsen(dataset, factors=[4, 2, 1], dims=["y", "x"])
    tree.to_zarr(path, zarr_format=int(tool[-1]), consolidated=True)


def main(order, folder, tool=""):
    """Write what is to be appended, or say whether all nodes are equal."""
    if order == "write":
        for name, days in {"target": [1, 2], "slice": [3], "whole": [1, 2, 3]}.items():
            write(cube(days), f"{folder}/{name}.zarr", tool)
        return
    trees = [xr.open_datatree(f"{folder}/{name}.zarr", engine="zarr") for name in ("target", "whole")]
    xr.testing.assert_identical(*(tree.load() for tree in trees))
    sys.stdout.write("identical")


main(*sys.argv[1:])
