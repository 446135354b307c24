"""In-memory slices for tests: variables of every kind, the forms in which a program may hand them over, and xarray's reading of a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import zapz
from kit.cubes import quiet

DAY_ZERO = np.datetime64("2024-01-01", "ns")
KEPT = ("dtype", "_FillValue", "missing_value", "scale_factor", "add_offset", "units", "calendar", "coordinates", "grid_mapping", "chunks", "shards")  # fmt: skip
"""What ``encoding`` must say alike after reading; the rest are codecs and names of files."""


MARKERS = ("_FillValue", "missing_value")
NO_TIME = np.iinfo(np.int64).min


# -- variables of every kind: the values of labels start to start + steps, along time and x ---------------------------


def _numbers(start: int, steps: int, dtype: str) -> np.ndarray[Any, Any]:
    cells = np.arange(start * 3, (start + steps) * 3).reshape(steps, 3)
    return (cells % 2 == 0) if dtype == "bool" else (cells % 120).astype(dtype)


def _floats(start: int, steps: int, dtype: str) -> np.ndarray[Any, Any]:
    values = _numbers(start, steps, dtype) / np.dtype(dtype).type(4)
    values[0] = [np.nan, np.inf, -0.0]
    return values.astype(dtype)


def _extremes(start: int, steps: int, dtype: str) -> np.ndarray[Any, Any]:
    values = _numbers(start, steps, dtype)
    values[0, :2] = [np.iinfo(dtype).min, np.iinfo(dtype).max]
    return values


def _moments(start: int, steps: int, unit: str) -> np.ndarray[Any, Any]:
    moments = (DAY_ZERO + _numbers(start, steps, "i8") * np.timedelta64(24, "h")).astype(f"M8[{unit}]")
    moments[0, 1] = "NaT"
    return moments


def _spans(start: int, steps: int, unit: str) -> np.ndarray[Any, Any]:
    spans = _numbers(start, steps, "i8").astype("m8[D]").astype(f"m8[{unit}]")
    spans[0, 1] = "NaT"
    return spans


def _words(start: int, steps: int, dtype: Any, missing: Any = "") -> np.ndarray[Any, Any]:
    words = np.array([f"é{n:03}" for n in range(start * 3, (start + steps) * 3)], object)
    if np.dtype(dtype).kind == "S":
        words = np.array([w.encode() for w in words], object)
    words = words.astype(dtype).reshape(steps, 3)
    if words.dtype == object:
        words[0, 2] = missing
    return words


def _foreign(start: int, steps: int) -> np.ndarray[Any, Any]:
    import cftime

    numbers = _numbers(start, steps, "i8")
    moments = cftime.num2date(numbers.ravel(), "days since 2024-02-20", calendar="noleap")
    return np.asarray(moments, object).reshape(numbers.shape)


def _masked(start: int, steps: int, dtype: str) -> np.ma.MaskedArray[Any, Any]:
    values = _numbers(start, steps, dtype)
    return np.ma.masked_array(values, values % 3 == 0, fill_value=-99)


KINDS: dict[str, Callable[[int, int], Any]] = {
    **{t: lambda i, n, t=t: _floats(i, n, t) for t in ("float16", "float32", "float64", ">f4")},  # type: ignore[misc]
    **{t: lambda i, n, t=t: _extremes(i, n, t) for t in ("int8", "int16", "int64", "uint8", "uint64", ">i4")},  # type: ignore[misc]
    "bool": lambda i, n: _numbers(i, n, "bool"),
    "complex": lambda i, n: _numbers(i, n, "f8") + 1j * _numbers(i + 1, n, "f8"),
    **{f"datetime[{u}]": lambda i, n, u=u: _moments(i, n, u) for u in ("ns", "us", "s", "D")},  # type: ignore[misc]
    **{f"timedelta[{u}]": lambda i, n, u=u: _spans(i, n, u) for u in ("ns", "ms", "s")},  # type: ignore[misc]
    "calendar": _foreign,
    "fixed text": lambda i, n: _words(i, n, "U4"),
    "fixed bytes": lambda i, n: _words(i, n, "S5"),
    "text": lambda i, n: _words(i, n, object),
    "text with None": lambda i, n: _words(i, n, object, None),
    "masked floats": lambda i, n: _masked(i, n, "f4"),
    "masked integers": lambda i, n: _masked(i, n, "i2"),
}
"""Kind of a variable -> its values from a label on, for a number of steps; three cells a step."""


def days(start: int, steps: int) -> np.ndarray[Any, Any]:
    """Return daily labels."""
    return DAY_ZERO + np.arange(start, start + steps) * np.timedelta64(24, "h")


def one_kind(kind: str, start: int = 0, steps: int = 2) -> dict[str, Any]:
    """Return a slice, as a mapping, with variables of one kind: along time, without time, and with no dimension."""
    make = KINDS[kind]
    return {
        "time": ("time", days(start, steps)),
        "along": (("time", "x"), make(start, steps), {"long_name": kind}),
        "static": (("x",), make(0, 1)[0]),
        "scalar": ((), make(0, 1)[0, 0]),
    }


def cube(start: int = 0, steps: int = 2, *, y: int = 4, x: int = 6) -> xr.Dataset:
    """Return a slice as Earth observers make them: a cube with gaps, quality flags, per-step scalars, coordinates of every sort."""
    shape = (steps, y, x)
    cells = np.arange(start * y * x, (start + steps) * y * x).reshape(shape)
    values = ((cells % 97) / 4).astype("f4")
    values[cells % 11 == 0] = np.nan
    return xr.Dataset(
        {
            "v": (("time", "y", "x"), values, {"units": "K", "corners": np.array([0.0, 100.0])}),
            "flags": (("time", "y", "x"), (cells % 7).astype("u1"), {"flag_meanings": "a b", "bits": np.int16(3)}),
            "orbit": (("time",), np.arange(start, start + steps, dtype="i4")),
        },
        {
            "time": ("time", days(start, steps), {"standard_name": "time"}),
            "y": ("y", np.linspace(60, 50, y)),
            "x": ("x", np.linspace(0, 10, x)),
            "lat": (("y", "x"), np.add.outer(np.linspace(60, 50, y), np.zeros(x))),
            "sensor": ("time", np.array([f"S{n % 3}" for n in range(start, start + steps)], object)),
            "crs": ((), 0, {"grid_mapping_name": "latitude_longitude"}),
        },
        {"title": "a cube", "levels": [1, 2]},
    )


# -- array-likes that are not arrays ----------------------------------------------------------------------------------


class Stored:
    """An array somewhere else, like those of h5py: a shape, a dtype, and ``[]`` with a tuple of slices. Counts how often each cell is read."""

    def __init__(self, values: Any) -> None:
        self._values = np.asarray(values)
        self.shape = self._values.shape
        self.dtype = self._values.dtype
        self.counts = np.zeros(self.shape, int)
        self.largest = 0

    def __getitem__(self, key: Any) -> Any:
        assert isinstance(key, tuple), key
        key = () if key == (...,) and not self.shape else key
        assert len(key) == len(self.shape), key
        for part, size in zip(key, self.shape, strict=True):
            assert isinstance(part, slice), key
            assert part.step in (None, 1), key
            assert 0 <= (part.start or 0) < (size if part.stop is None else part.stop) <= size, (key, self.shape)
        self.counts[key] += 1
        found: Any = self._values[key]
        self.largest = max(self.largest, int(np.size(found)))
        return found.copy() if isinstance(found, np.ndarray) else found


def mapped(dataset: xr.Dataset, wrap: Callable[[Any], Any] = lambda values: values) -> dict[str, Any]:
    """Return a Dataset as the mapping that ``zapz.append`` takes, each array (not the labels) wrapped."""
    return {
        str(name): (v.dims, v.values if name in dataset.dims else wrap(v.values), dict(v.attrs), dict(v.encoding))
        for name, v in dataset.variables.items()
    }


# -- writing and reading by xarray -------------------------------------------------------------------------------------


def written(dataset: xr.Dataset, path: Path, *, zarr_format: int, **options: Any) -> Path:
    """Write a Dataset by xarray: the reference."""
    with quiet():
        dataset.to_zarr(path, zarr_format=zarr_format, consolidated=True, **options)
    return path


def again(files: Mapping[str, bytes], path: Path) -> Path:
    """Write the files of a store that was read before, which is quicker than to make it anew."""
    for name, data in files.items():
        where = path / name
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(data)
    return path


def reading(path: Path) -> xr.Dataset:
    """Return what xarray reads, loaded."""
    with quiet(), xr.open_zarr(path, chunks=None, consolidated=True) as dataset:
        return dataset.load()


def appended(target: Path, *slices: Any, **settings: Any) -> xr.Dataset:
    """Append slices with zapz, and return what xarray reads then."""
    zapz.append(target, list(slices), **settings)
    return reading(target)


def at_once(slices: list[xr.Dataset], path: Path, *, zarr_format: int, **options: Any) -> xr.Dataset:
    """Return what xarray reads after it has written all slices at once, those without the append dimension's variables from the first."""
    with quiet():
        whole = xr.concat(slices, "time", data_vars="minimal", coords="minimal", compat="override", combine_attrs="override", join="override")  # fmt: skip
        for name, variable in slices[0].variables.items():
            whole[name].encoding = dict(variable.encoding)
    return reading(written(whole, path, zarr_format=zarr_format, **options))


def _plain(value: Any) -> Any:
    if isinstance(value, str) and " since " in value:  # a second's fraction may end in zeros or not
        unit, _, moment = value.partition(" since ")
        return f"{unit} since {moment.rstrip('0').rstrip('.') if '.' in moment else moment}"
    if isinstance(value, np.dtype | type) or (isinstance(value, str) and value == "bool"):
        return str(np.dtype(value))
    value = value.item() if isinstance(value, np.generic) else value
    return "NaN" if isinstance(value, float) and value != value else value  # noqa: PLR0124


def encodings(dataset: xr.Dataset, keys: tuple[str, ...] = KEPT) -> dict[str, dict[str, Any]]:
    """Return the parts of every variable's encoding that a reader may depend on.

    Markers count by their values, under whichever name; that of times, and the unit in which times of foreign calendars are
    counted, are no choice that a reader sees.
    """
    found: dict[str, dict[str, Any]] = {}
    for name, variable in dataset.variables.items():
        given = {k: _plain(v) for k, v in variable.encoding.items() if k in keys and v is not None}
        markers = {str(given.pop(k)) for k in MARKERS if k in given} - (
            {str(NO_TIME)} if variable.dtype.kind in "mM" else set()
        )
        if variable.dtype.kind == "O" and "calendar" in given:
            given.pop("units", None)
        given["compressed"] = bool(variable.encoding.get("compressors"))
        found[str(name)] = given | ({"markers": markers} if markers else {})
    return found


def assert_same_reading(found: xr.Dataset, expected: xr.Dataset, keys: tuple[str, ...] = KEPT) -> None:
    """Assert that two readings agree: values, types, attributes, which are coordinates, and encodings by ``keys``."""
    for part in ("variables", "coords"):
        names = [set(getattr(d, part)) for d in (found, expected)]
        assert names[0] == names[1], (part, names)
    for name, variable in expected.variables.items():
        _same((found[name].dims, found[name].dtype), (variable.dims, variable.dtype), name)
        _same(_listed(found[name].attrs), _listed(variable.attrs), name)
        xr.testing.assert_equal(found[name].variable, variable)
    _same(_listed(found.attrs), _listed(expected.attrs), "attributes of the group")
    there, wanted = encodings(found, keys), encodings(expected, keys)
    for name in wanted:
        _same(there[name], wanted[name], f"encoding of {name}")


def _same(found: Any, expected: Any, where: Any) -> None:
    assert found == expected, f"{where}: {found} instead of {expected}"


def _listed(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(k): _plain(v.tolist() if isinstance(v, np.ndarray) else v) for k, v in attributes.items()}
