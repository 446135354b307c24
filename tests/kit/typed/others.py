"""What other packages make, as targets and slices, and what zapz's own programs say: never run, but checked."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Iterable
from pathlib import Path

import dask.array as da
import fsspec
import h5py
import numcodecs
import numpy as np
import xarray as xr
import zarr
from zarr.codecs import BloscCodec
from zarr.storage import FsspecStore, LocalStore, MemoryStore, StorePath

import zapz
from zapz import testing
from zapz.zappend import Context, SliceSource, zappend


@contextlib.contextmanager
def opened(path: str) -> Generator[xr.Dataset]:
    with xr.open_dataset(path) as dataset:
        yield dataset


def yields(path: str) -> Generator[xr.Dataset]:
    yield xr.open_dataset(path)


class Lazy(SliceSource):
    def __init__(self, ctx: Context, path: str) -> None:
        super().__init__(ctx)
        self.path = path

    def get_dataset(self) -> xr.Dataset:
        return xr.open_dataset(self.path)


class Own(zapz.Source):
    def documents(self) -> dict[str, bytes]:
        return {}


dataset = xr.Dataset({"a": ("x", np.arange(3))})
group = zarr.open_group("cube.zarr", zarr_format=2)
service = testing.ObjectService()
zapz.append("c", dataset)
zapz.append("c", dataset.a)
zapz.append("c", [dataset, dataset.a, Path("x"), "y", opened("a.nc"), Own(), group, fsspec.get_mapper("x")])
zapz.append("c", (each for each in [dataset, dataset]), slice_source=opened)
zapz.append("c", {"a": dataset["a"], "b": dataset.variables["a"], "c": ("x", np.arange(3)), "d": ("x", da.ones(3))})
zapz.append("c", {"a": ("x", h5py.File("a.h5")["a"]), "b": (("x",), group["a"], {"units": "K"}, {"dtype": "i2"})})
mixed = {"a": (("t", "x"), np.zeros((1, 2))), "t": ("t", [1], {"units": "days since 2024-01-01"})}
zapz.append("c", mixed)
zapz.append(group, group["a"])
zapz.append(MemoryStore(), group)
zapz.append(LocalStore("x"), [group, StorePath(LocalStore("x"), "a"), FsspecStore.from_url("memory://x")])
zapz.append(fsspec.get_mapper("memory://x"), fsspec.get_mapper("memory://y"))
zapz.append(service.store("bucket/cube"), dataset)
zapz.append(None, dataset, "zapz.toml")
zapz.append("c", dataset, json.loads("{}"))
zapz.recover(service.store("bucket/cube"))
zapz.append_map("c", opened, ["x"])
zapz.append_map("c", yields, ["x"])
zapz.append_map("c", Lazy, ["x"])
zapz.append_map("c", xr.open_dataset, ["x"])
zapz.append_map("c", lambda day: {"a": ("x", [day])}, range(3))
encodings = {"a": {"dtype": np.dtype("int16"), "chunks": (1, 2), "compressors": BloscCodec(), "_FillValue": None}}
zapz.append("c", dataset, encoding=encodings)
codecs: zapz.EncodingDict = {"dtype": np.int16, "filters": [numcodecs.Delta("i2")], "compressor": numcodecs.Zstd(3)}
variables: dict[str, zapz.VariableDict] = {"*": {"encoding": codecs}, "a": {"encoding": {"codecs": [BloscCodec()]}}}
zapz.append("c", dataset, variables=variables, attrs={"title": "x", "version": np.int64(3)})
zapz.append("c", dataset, zapz.Config(append_dim="x"), on_slice=print, logging={"version": 1}, profiling=Path("p.txt"))


def forwarded(paths: Iterable[str], workers: int | None = None) -> int:
    try:
        return zapz.append("c", paths, workers=workers).appended
    except zapz.SliceError as error:
        return zapz.append("c", paths, **error.remedies).appended


zappend(["a.nc"], config=["a.yaml", {"append_dim": "t"}], target_dir="c", zarr_version=2, slice_source=Lazy)
zappend(range(3), target_dir="c", slice_source=xr.open_dataset, extra={"sea": "Baltic"})
