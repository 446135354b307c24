"""Cubes as xarray writes them, and what is to be read after they were joined."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr

import zapz
from kit.trees import tree
from zapz import errors

FAST: dict[str, Any] = {"durability": "process"}


CROSSED = [(2, 3), (3, 2)]
"""Format of the target, format of the slice."""


@contextmanager
def quiet() -> Iterator[None]:
    """Let xarray and zarr warn (of consolidated v3 metadata, unstable types); used around nothing but their calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def cube(
    start: int = 0,
    steps: int = 2,
    *,
    units: str | None = None,
    dtype: str = "i8",
    calendar: str = "proleptic_gregorian",
) -> xr.Dataset:
    """One slice of days; ``time`` is stored as xarray does it: as days since the slice's own first day."""
    days = np.datetime64("2024-01-01", "ns") + (start + np.arange(steps)) * np.timedelta64(24, "h")
    values = np.arange(steps * 3, dtype="f4").reshape(steps, 3) + np.float32(10 * start)
    dataset = xr.Dataset(
        {"v": (("time", "x"), values, {"long_name": "a value"}), "mask": ("x", np.array([0.5, 1.5, 2.5]))},
        {"time": days, "x": [10.0, 20.0, 30.0]},
    )
    first = f"{np.datetime_as_string(days[0], 'D')}" if steps else "2024-01-01"
    dataset["time"].encoding = {"units": units or f"days since {first}", "calendar": calendar, "dtype": dtype}
    return dataset


def write(path: Path, dataset: xr.Dataset, zarr_format: int = 2, **options: Any) -> Path:
    """Write a dataset with xarray."""
    with quiet():
        dataset.to_zarr(path, zarr_format=zarr_format, consolidated=options.pop("consolidated", False), **options)
    return path


def opened(
    path: Path | str, *, group: str | None = None, consolidated: bool | None = None, times: Any = True
) -> xr.Dataset:
    """Read a dataset with xarray, decoded."""
    with quiet():
        return xr.open_zarr(str(path), group=group, consolidated=consolidated, chunks=None, decode_times=times).load()


def joined(slices: Sequence[Path], dim: str = "time", **options: Any) -> xr.Dataset:
    """What the target must read as."""
    parts = [opened(path, **options) for path in slices]
    return xr.concat(
        parts, dim, data_vars="minimal", coords="minimal", compat="override", join="override", combine_attrs="override"
    )


def check(
    target: Path,
    slices: Sequence[Path],
    dim: str = "time",
    *,
    exact: bool = True,
    drop: Sequence[str] = (),
    **options: Any,
) -> xr.Dataset:
    """Compare the target with the slices, read consolidated and not."""
    expected = joined(slices, dim, **options).drop_vars(drop)
    for consolidated in (True, False):
        found = opened(target, consolidated=consolidated, **options)
        (xr.testing.assert_equal if exact else xr.testing.assert_allclose)(found, expected)
    return found


def refused(
    kind: type[errors.ZapzError],
    target: Path,
    slices: Any,
    *words: str,
    code: int = 3,
    facts: bool = True,
    **settings: Any,
) -> errors.ZapzError:
    """Append, expect a refusal, and check what it says and that nothing in the folder has changed."""
    before = tree(target.parent)
    with pytest.raises(errors.ZapzError) as caught:
        zapz.append(target, slices, **FAST, **settings)
    error = caught.value
    assert tree(target.parent) == before
    text = str(error)
    assert type(error) is kind, text
    assert error.exit_code == code
    last = slices if isinstance(slices, str | os.PathLike) else list(slices)[-1]
    for word in (os.fspath(last), *words):
        assert word in text, (word, text)
    if facts:
        assert error.found, text
        assert error.found in text
        assert error.expected in text
    return error


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with nothing else in it."""
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


def two(here: Path, formats: tuple[int, int], first: xr.Dataset, second: xr.Dataset) -> tuple[Path, list[Path]]:
    """Write two slices; the target will have the first one's format."""
    return here / "cube.zarr", [
        write(here / "first.zarr", first, formats[0]),
        write(here / "second.zarr", second, formats[1]),
    ]


def started(
    here: Path, formats: tuple[int, int], first: xr.Dataset, second: xr.Dataset, **settings: Any
) -> tuple[Path, Path]:
    """Write two slices and append the first one."""
    target, slices = two(here, formats, first, second)
    zapz.append(target, slices[0], **FAST, **settings)
    return target, slices[1]


def encoded(dataset: xr.Dataset, name: str = "v", **encoding: Any) -> xr.Dataset:
    """Return the dataset with one variable's encoding set."""
    dataset[name].encoding |= encoding
    return dataset


def with_values(dataset: xr.Dataset, values: Any, name: str = "v", dims: Sequence[str] = ("time", "x")) -> xr.Dataset:
    """Return the dataset with one variable's values set."""
    dataset[name] = (dims, np.asarray(values), dataset[name].attrs if name in dataset else {})
    return dataset


def cf_cube(calendar: str, start: tuple[int, ...], steps: int, units: str, dtype: str = "i8") -> xr.Dataset:
    first = cftime.datetime(*start, calendar=calendar)
    zero = cftime.date2num(first, "days since 1990-01-01", calendar=calendar)
    labels = cftime.num2date(zero + np.arange(steps), "days since 1990-01-01", calendar=calendar)
    dataset = xr.Dataset({"v": ("time", np.arange(steps, dtype="f4") + start[2])}, {"time": labels})
    dataset["time"].encoding = {"units": units, "calendar": calendar, "dtype": dtype}
    return dataset


GAPS = [[1.0, np.nan, 3.0], [np.nan, 5.0, 6.0]]
