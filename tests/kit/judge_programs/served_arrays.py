"""Datasets that are served on request, by ``zapz serve`` and by zarrflask alike: in memory, lazy, computed, templated, and of many types.

Both servers import this module in environments of their own, so it needs xarray, NumPy and dask only. ``zapz serve`` is given one function each;
``initialise`` returns all of them by name. Whoever runs it may name a file by ``ZAPZ_COMPUTED``: each time that ``watched`` is computed, a line is
added to it.
"""

import os
from pathlib import Path

import dask.array as da
import numpy as np
import xarray as xr

UNITS = "days since 2000-01-01"


class Indexed:
    """A templated array: each cell is a function of its indices, and nothing is stored."""

    def __init__(self, shape, cell, dtype):
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self.ndim = len(self.shape)
        self.cell = cell

    def __array_function__(self, function, types, args, kwargs):
        """Take part in NumPy's functions by name only: xarray then leaves it as it is."""
        return NotImplemented

    def __array_ufunc__(self, function, method, *args, **kwargs):
        """The same for NumPy's universal functions."""
        return NotImplemented

    def __getitem__(self, key):
        key = tuple(part for part in (key if isinstance(key, tuple) else (key,)) if part is not ...)  # the last, if any
        key = (*key, *[slice(None)] * (self.ndim - len(key)))
        axes = [np.arange(*part.indices(n), dtype="i8") for part, n in zip(key, self.shape, strict=True)]
        return np.asarray(self.cell(*np.meshgrid(*axes, indexing="ij")), self.dtype)


def _noise(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def generated_ones():
    """Ones in memory, with coordinates and attributes."""
    ones = xr.DataArray(
        np.ones((11, 12, 130), "f4"),
        dims=("x", "y", "z"),
        coords={"x": np.linspace(0, 1, 11), "y": np.linspace(-100, 0, 12), "z": np.linspace(0, 1000, 130)},
        attrs={"abc": "xyz", "integer": 1, "floating": 1.5},
    )
    return xr.Dataset({"ones": ones}, attrs={"title": "numbers that are one"})


def in_memory():
    """Each type of number, in one and two dimensions, and numbers without a dimension."""
    kinds = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
    with np.errstate(all="ignore"):
        rows = {f"row_{kind}": ("n", (100 * _noise(1100)).astype(kind)) for kind in kinds}
        planes = {f"plane_{kind}": (("y", "x"), (100 * _noise(30, 41)).astype(kind)) for kind in ("i2", "f4", "f8")}
    scalars = {"zero_f8": ((), np.float64(4.5)), "zero_i4": ((), np.int32(-3))}
    missing = np.where(_noise(30, 41) > 1, np.nan, 1.0)
    return xr.Dataset({**rows, **planes, **scalars, "gaps": (("y", "x"), missing)})


def other_types():
    """Types that zarrflask was not made for."""
    values = _noise(30, 41)
    days = np.datetime64("2001-02-03", "ns") + np.arange(12) * np.timedelta64(86400 * 10**9, "ns")
    data = {
        "flag": (("y", "x"), values > 0),
        "complex8": (("y", "x"), (values + 1j).astype("c8")),
        "big_i4": (("y", "x"), (100 * values).astype(">i4")),
        "big_f8": (("y", "x"), values.astype(">f8")),
        "words": ("n", np.array(["", "a", "übung", "four"] * 3, "U5")),
        "moment": ("n", days),
    }
    return xr.Dataset(data)


def attributed():
    """Attributes of NumPy's types, nested ones, and text beyond ASCII."""
    attrs = {
        "int": np.int16(3),
        "float": np.float32(0.5),
        "list": np.arange(3),
        "flag": True,
        "text": "Ü\u2003<b>&",
        "nested": {"a": [1, {"b": None}]},
    }
    time = ("time", np.arange(4), {"units": UNITS, "calendar": "standard"})
    return xr.Dataset({"a": (("time", "x"), _noise(4, 5), attrs)}, {"time": time}, attrs)


def lazy():
    """Arrays that dask loads block by block, also in blocks of unequal size."""
    even = da.map_blocks(lambda block: block * 2, da.from_array(_noise(40, 60), chunks=(16, 20)))
    uneven = da.from_array(_noise(40, 60, seed=2).astype("f4"), chunks=((5, 20, 15), (33, 27)))
    deep = da.from_array(np.arange(6 * 7 * 210, dtype="i4").reshape(6, 7, 210), chunks=(2, 7, 105))
    return xr.Dataset({"even": (("y", "x"), even), "uneven": (("y", "x"), uneven), "deep": (("t", "v", "u"), deep)})


def computed():
    """Calculations that dask makes on request."""
    source = lazy()
    speed = np.sqrt(source["even"] ** 2 + source["uneven"] ** 2)
    return xr.Dataset({"speed": speed, "mean": source["deep"].mean("t"), "total": source["even"].sum()})


def templated():
    """Arrays too large for any disk, of which each cell is known: 10**18 cells."""
    huge = Indexed((10**9, 10**9), lambda y, x: (3 * y + x) % 32749, "i2")
    return xr.Dataset({"huge": xr.Variable(("Y", "X"), huge, encoding={"chunks": (1000, 1000)})})


def watched():
    """An array that notes each time that it is computed."""

    def cell(y, x):
        if "ZAPZ_COMPUTED" in os.environ:
            with Path(os.environ["ZAPZ_COMPUTED"]).open("a", encoding="utf-8") as note:
                note.write(f"{y.shape}\n")
        return y * 100 + x

    data = Indexed((40, 60), cell, "i4")
    return xr.Dataset({"a": xr.Variable(("y", "x"), data, encoding={"chunks": (16, 20)})})


def filled():
    """Numbers with a fill value of their own, whose last chunks are not full."""
    encoding = {"chunks": (16, 20), "_FillValue": np.int16(-9)}
    packed = xr.Variable(("y", "x"), np.arange(30 * 41, dtype="i2").reshape(30, 41), encoding=encoding)
    return xr.Dataset({"a": packed, "b": xr.Variable(("y", "x"), _noise(30, 41), encoding={"chunks": (16, 20)})})


def empty():
    """An array without cells."""
    return xr.Dataset({"none": ("n", np.zeros(0, "f4")), "flat": (("n", "x"), np.zeros((0, 5), "i2"))})


def objects():
    """Text of any length, as Python's objects."""
    return xr.Dataset({"words": ("n", np.array(["", "a", "übung", "longer than all others"], object))})


FACTORIES = {
    "generated-ones": generated_ones,
    "in-memory": in_memory,
    "other-types": other_types,
    "attributed": attributed,
    "lazy": lazy,
    "computed": computed,
    "templated": templated,
    "watched": watched,
    "filled": filled,
    "empty": empty,
    "objects": objects,
}
"""The functions, by the name under which each dataset is served."""


def initialise():
    """Return all datasets by name."""
    return {name: factory() for name, factory in FACTORIES.items()}


def whole(name):
    """Return a dataset in memory, as a test expects it: templated arrays too are NumPy's."""
    dataset = FACTORIES[name]()
    for path, variable in dataset.variables.items():
        if isinstance(variable._data, Indexed):
            dataset[path] = (variable.dims, variable._data[...], variable.attrs)
    return dataset.load()
