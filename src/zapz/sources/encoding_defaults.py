"""The encoding of a slice that was never stored: its own, else the defaults of xarray.

A configuration overrides it. Times get the longest unit in which all of them are whole numbers,
counted from the first one. Floating-point numbers get NaN as their marker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from zapz.cf.calendars import UNITS
from zapz.config.array_encoding import ArrayEncoding
from zapz.config.codec_objects import configuration_of, in_v3_form
from zapz.format import documents as doors
from zapz.sources.array_like import Held, Region, cells_in, seconds_of

Settings = dict[str, Any]
_UNITS = {unit: int(length * 10**9) for unit, length in UNITS.items()}
"""Nanoseconds per unit, the longest unit first."""
_LARGEST = 4 << 20
"""Maximum default size of a chunk, in bytes."""
_FEW = 1 << 20
"""Maximum number of times that are read to find their unit, if they are not in memory."""
_CHARACTER = np.dtype("S1")
NAT = int(np.iinfo(np.int64).min)


def default_encoding(
    data: Region,
    dims: Sequence[str],
    encoding: Mapping[str, Any],
    *,
    dim: str,
    zarr_format: int,
    is_label: bool,
    has_marker: bool = False,
    counts: bool = False,
) -> ArrayEncoding:
    """Return the requested or default encoding of a variable of an in-memory slice.

    Args:
        data: Cells of the variable.
        dims: Dimensions of the variable.
        encoding: Its own ``encoding``, as in xarray; keys that do not apply to Zarr are ignored.
        dim: The append dimension.
        zarr_format: Format of the target, which defines the default compressor.
        is_label: Whether it is a coordinate of its own dimension, and so never missing.
        has_marker: Whether an attribute defines which cells are missing.
        counts: Whether its cells count units since an instant; these are stored as integers.
    """
    given = _numbers(data, encoding, is_label=is_label)
    marks = False
    for name in ("missing_value", "_FillValue"):
        if name in encoding and (encoding[name] is not None or name == "_FillValue"):
            given["fill_value"] = _item(encoding[name])
            marks = encoding[name] is not None
    if has_marker and "dtype" not in given:
        given.pop("fill_value", None)
    if counts:
        given.setdefault("dtype", "int64")
    given["chunks"] = _chunks(data, dims, encoding, dim)
    if encoding.get("shards") is not None and doors.of(zarr_format).HAS_SHARDS:
        given["shards"] = [int(n) for n in encoding["shards"]]
    return ArrayEncoding(**given, **_codecs(encoding, zarr_format), fill_is_marker=marks)


def _numbers(data: Region, encoding: Mapping[str, Any], *, is_label: bool) -> Settings:
    """Return data type, packing, time units, and the fill value that belongs to them."""
    given: Settings = {}
    for name in ("scale_factor", "add_offset", "units", "calendar"):
        if encoding.get(name) is not None and (name in {"scale_factor", "add_offset"} or _is_time(data)):
            given[name] = _item(encoding[name])
    dtype = _dtype(encoding.get("dtype"), data.dtype)
    if dtype is not None and not (_is_time(data) and dtype[:2] in {"da", "ti"}):
        given["dtype"] = dtype
    if data.dtype.kind in "mM":
        given = {**_time_units(data), "dtype": "int64", **given}
        if not is_label:
            given["fill_value"] = NAT if given["dtype"] == "int64" else None
    elif data.dtype.kind == "f":
        given["fill_value"] = "NaN" if given.get("dtype", "float64").startswith("float") else None
    return given


def _is_time(data: Region) -> bool:
    return data.dtype.kind in "mM"


def _item(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic | np.ndarray) else value
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _dtype(value: Any, cells: np.dtype[Any]) -> str | None:
    """Return the data type that an encoding requests, as in a configuration, or None."""
    if value is None:
        return None
    if value is str or value is object or value == "str" or type(value).__name__ == "StringDType":
        return "string"
    try:
        dtype = np.dtype(value)
    except TypeError:
        return None
    if dtype.kind == "O":
        return "string"
    if dtype == _CHARACTER and dtype != cells:  # from a file whose characters were joined to text later
        return None
    return dtype.str[1:] if dtype.kind in "US" else dtype.name if dtype.kind in "biufcmM" else None


def _time_units(data: Region) -> Settings:
    """Return xarray's default units: the longest in which all times are whole, since the first."""
    tick = int(seconds_of(data.dtype) * 10**9)
    fallback = next((unit for unit, length in _UNITS.items() if length == tick), "nanoseconds")
    since = data.dtype.kind == "M"
    if not isinstance(data, Held) and (
        hasattr(data, "natural") or cells_in(data.shape) > _FEW
    ):  # as in xarray for dask
        return {"units": f"{fallback} since 1970-01-01"} if since else {"units": fallback}
    cells = data.read(tuple((0, n) for n in data.shape)).reshape(-1)
    known = cells[~np.isnat(cells)]
    ticks = known.view(np.int64)
    steps = np.diff(ticks) if since else ticks
    common = int(np.gcd.reduce(np.abs(steps))) * tick if steps.size else 0
    unit = next((u for u, length in _UNITS.items() if common % length == 0), fallback)
    if not since:
        return {"units": unit}
    first = str(known[0]).replace("T", " ") if known.size else "1970-01-01 00:00:00"
    return {"units": f"{unit} since {_trimmed(first)}", "calendar": "proleptic_gregorian"}


def _trimmed(text: str) -> str:
    """Return a time without trailing zeros in the fraction of a second."""
    return text.rstrip("0").rstrip(".") if "." in text else text


def _chunks(data: Region, dims: Sequence[str], encoding: Mapping[str, Any], dim: str) -> list[int | None]:
    given = encoding.get("chunks")
    if isinstance(given, int):
        given = (given,) * len(dims)
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != len(dims):
        given = getattr(data, "natural", None) or data.chunks
    if given is not None and all(isinstance(n, int | np.integer) and n > 0 for n in given):
        return [int(n) for n in given]
    return list(default_chunks(data.shape, data.dtype.itemsize, dims.index(dim) if dim in dims else None))


def default_chunks(shape: tuple[int, ...], itemsize: int, axis: int | None) -> tuple[int, ...]:
    """Return the default chunk shape of a new array.

    The steps of a slice stay in one chunk; the other axes are halved until the chunk is small.

    Args:
        shape: Shape of the slice's array, in cells.
        itemsize: Size of a cell, in bytes.
        axis: Axis of the append dimension, which is not divided, or None.
    """
    chunks = [max(1, n) for n in shape]
    others = [i for i in range(len(shape)) if i != axis]
    while others and cells_in(tuple(chunks)) * itemsize > _LARGEST:
        longest = max(others, key=lambda i: chunks[i])
        if chunks[longest] == 1:
            break
        chunks[longest] = -(-chunks[longest] // 2)
    return tuple(chunks)


def _codecs(encoding: Mapping[str, Any], zarr_format: int) -> Settings:
    """Return compressor and filters in the form of either format; else the format's default."""
    default = doors.of(zarr_format).COMPRESSOR
    named = encoding.get("compressors", encoding.get("compressor", "default"))
    if isinstance(named, str):
        compressors: list[Any] = [default]
    else:
        compressors = list(named) if isinstance(named, list | tuple) else [] if named is None else [named]
    filters = encoding.get("filters")
    filters = list(filters) if isinstance(filters, list | tuple) else []
    stages = [configuration_of(codec) for codec in (*filters, *compressors)]
    if any(stage is None for stage in stages):
        return {"compressor": default}
    if any("name" in stage for stage in stages if stage is not None):
        return {"codecs": [in_v3_form(stage) for stage in stages if stage is not None]}
    given: Settings = {"compressor": configuration_of(compressors[-1]) if compressors else None}
    if filters or len(compressors) > 1:
        given["filters"] = [configuration_of(codec) for codec in (*filters, *compressors[:-1])]
    return given
