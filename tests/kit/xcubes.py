"""Small cubes as a producer makes them with xarray, and xarray as the judge of what a target holds."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import fsspec
import numpy as np
import xarray as xr

FIRST = np.datetime64("2024-01-01", "ns")
DAY = np.timedelta64(1, "D")
HOUR = np.timedelta64(1, "h")
GIVEN = ("in memory", "as Zarr")
"""The two ways in which a test gives its slices."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let xarray and zarr warn; used around nothing but their calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def day(
    start: float = 0,
    steps: int = 1,
    *,
    every: np.timedelta64 = DAY,
    labels: Sequence[Any] | None = None,
    dim: str = "time",
    names: Sequence[str] = ("chl", "tsm"),
    shape: tuple[int, int] = (4, 6),
    dtype: str = "float64",
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Return a cube of ``steps`` days from day ``start``: data variables, labels, and the coordinates y and x.

    Every cell of every day and variable has a value of its own, a multiple of 1/4, that small packed integers can hold.

    Args:
        start: First day, counted from 2024-01-01.
        steps: Number of labels.
        every: Distance of the labels; ``start`` counts in it too.
        labels: Labels instead of times.
        dim: Name of the append dimension.
        names: Data variables.
        shape: Lengths of y and x.
        dtype: Type of the data variables.
        attrs: Attributes of the cube.
    """
    height, width = shape
    if labels is None:
        labels = [FIRST + every.astype("m8[ns]") * (start + step) for step in range(steps)]
    whole = np.arange(len(labels) * height * width).reshape(len(labels), height, width) / 4 + 10 * (start + 1)
    return xr.Dataset(
        {name: ((dim, "y", "x"), (whole + 40 * at).astype(dtype)) for at, name in enumerate(names)},
        coords={
            dim: (dim, np.asarray(labels)),
            "y": ("y", np.linspace(0.5, 1, height)),
            "x": ("x", np.linspace(0, 1, width)),
        },
        attrs={"Conventions": "CF-1.8", "title": f"from {start}"} if attrs is None else dict(attrs),
    )


def days(*starts: float, **options: Any) -> list[xr.Dataset]:
    """Return one cube of one day for each start."""
    return [day(start, **options) for start in starts]


def store(cube: xr.Dataset, where: Path | str, **options: Any) -> str:
    """Write a cube as Zarr with xarray and return where."""
    with quiet():
        cube.to_zarr(str(where), **{"zarr_format": 2, "mode": "w", **options})
    return str(where)


def given(how: str, slices: Sequence[xr.Dataset], folder: Path, **options: Any) -> list[Any]:
    """Return slices as the tests' two ways give them: datasets in memory, or paths of Zarr folders."""
    if how == "in memory":
        return list(slices)
    return [store(cube, folder / f"slice-{at}.zarr", **options) for at, cube in enumerate(slices)]


def read(target: Path | str, **options: Any) -> xr.Dataset:
    """Read a target with xarray, through its consolidated metadata, wholly into memory."""
    with quiet(), xr.open_zarr(str(target), **{"consolidated": True, "chunks": None, **options}) as found:
        return found.load()


def stored(target: Path | str) -> xr.Dataset:
    """Read a target without decoding: the numbers as they are stored, with the encoding in attributes and ``encoding``."""
    return read(target, decode_cf=False)


def joined(slices: Sequence[xr.Dataset], dim: str = "time") -> xr.Dataset:
    """Return what xarray makes of all slices, one after the other."""
    with quiet():
        return xr.concat(slices, dim, data_vars="minimal", coords="minimal", compat="equals", join="exact")


def assert_holds(target: Path | str, expected: xr.Dataset, *, within: float = 0) -> None:
    """Assert that xarray reads a cube from the target: the same variables, dimensions and values (or nearly)."""
    found = read(target)
    assert set(found.variables) == set(expected.variables)
    assert set(found.coords) == set(expected.coords)
    if within:
        xr.testing.assert_allclose(found, expected, rtol=0, atol=within)
    else:
        xr.testing.assert_equal(found, expected)


def compressor(found: xr.DataArray) -> str:
    """Return the name of the compressor of a stored variable, whatever the format; nothing if it has none."""
    chosen = found.encoding.get("compressors", found.encoding.get("compressor"))
    chosen = (chosen[0] if chosen else None) if isinstance(chosen, list | tuple) else chosen
    if chosen is None:
        return ""
    return str(getattr(chosen, "codec_id", None) or type(chosen).__name__.removesuffix("Codec").lower())


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder: files with their bytes, folders with None."""
    return {
        path.relative_to(folder).as_posix(): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def failing(cube: xr.Dataset, name: str = "tsm", before: Callable[[], object] | None = None) -> xr.Dataset:
    """Return a cube in memory whose variable fails when it is computed, after the others and after what is done ``before``."""
    import dask.array

    def fail(block: Any) -> Any:
        if before is not None:
            before()
        raise OSError("the disk of the slice is broken")

    lazy = dask.array.from_array(cube[name].values, chunks=-1).map_blocks(
        fail, dtype=cube[name].dtype, meta=np.array(())
    )
    return cube.assign({name: (cube[name].dims, lazy, cube[name].attrs)})


def zapz_says(*words: object) -> tuple[int, str]:
    """Run the command line in this process; return the exit code and all that it said."""
    from zapz.__main__ import main

    said = io.StringIO()
    code: Any = 0
    with (
        mock.patch.object(sys, "argv", ["zapz", *map(str, words)]),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except Exception:  # noqa: BLE001 - a reading that fails is what is looked for
            code = 1
            traceback.print_exc(file=said)
    return code, said.getvalue()


def forget_memory() -> None:
    """Remove what other tests left in fsspec's memory filesystem."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
