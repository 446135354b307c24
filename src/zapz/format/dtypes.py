"""Data types and fill values of Zarr v2 and v3, to and from NumPy.

NumPy types here are in native byte order; codecs define the stored byte order. Strings and bytes of
variable length are ``object``.

Sources: Zarr v2 specification, "Data type encoding" and "Fill value encoding"; Zarr v3 core
specification, "Data types" and "Fill value"; zarr-extensions for ``numpy.datetime64``,
``numpy.timedelta64``, ``fixed_length_utf32``, ``null_terminated_bytes``, ``struct``.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from zapz.errors import MetadataError, UnsupportedError
from zapz.format.codecs import Endian
from zapz.format.metadata import FillValue

DType = np.dtype[Any]

_PLAIN = frozenset(
    [
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "float16",
        "float32",
        "float64",
        "complex64",
        "complex128",
    ]
)
_SPECIAL = {"NaN": np.nan, "Infinity": np.inf, "-Infinity": -np.inf}
_STRINGS = {"string": "vlen-utf8", "bytes": "vlen-bytes", "variable_length_bytes": "vlen-bytes"}
_NUMBER = (int, float)


def read_v2(text: Any, where: str) -> tuple[DType, Endian | None]:
    """Read a v2 ``dtype``.

    Returns:
        The NumPy type in native byte order, and the stored byte order (None where it does not
        apply).

    Raises:
        MetadataError: The value is not a NumPy type string or list of fields.
    """
    try:
        if isinstance(text, list):
            return np.dtype([tuple(tuple(p) if isinstance(p, list) else p for p in f) for f in text]), None
        if not isinstance(text, str):
            raise TypeError(f"a {type(text).__name__}")
        if text.startswith("="):
            raise ValueError('"=" is the byte order of the reader')
        dtype = np.dtype(text)
    except (TypeError, ValueError) as error:
        raise MetadataError("unknown data type", where=where, found=f"{text!r} ({error})") from error
    if dtype.itemsize == 0:
        raise MetadataError("data type has size 0", where=where, found=repr(text))
    big = text.startswith(">")
    if dtype.itemsize == 1 or dtype.kind in "SVO":
        return dtype, None
    return dtype.newbyteorder("="), "big" if big else "little"


def write_v2(dtype: DType, endian: Endian | None) -> Any:
    """Return a data type as a v2 ``dtype``."""
    if dtype.fields is not None:
        return [[name, *_field_v2(dtype[name])] for name in dtype.names or ()]
    return dtype.newbyteorder(">" if endian == "big" else "<").str if endian is not None else dtype.str


def _field_v2(dtype: DType) -> list[Any]:
    base, shape = dtype.subdtype or (dtype, ())
    return [write_v2(base, None), list(shape)] if shape else [write_v2(base, None)]


def read_v3(data: Any, where: str) -> tuple[DType, str]:
    """Read a v3 ``data_type``.

    Returns:
        The NumPy type in native byte order, and the serializer ("bytes", "vlen-utf8",
        "vlen-bytes").

    Raises:
        MetadataError: The configuration is invalid.
        UnsupportedError: zapz does not know the type.
    """
    name, config = (data, {}) if isinstance(data, str) else (None, {})
    if isinstance(data, dict):
        name, config = data.get("name"), data.get("configuration", {})
    try:
        if not isinstance(config, dict) or not isinstance(name, str):
            raise TypeError("no name, or the configuration is not an object")
        if name in _PLAIN:
            return np.dtype(name), "bytes"
        if name in _STRINGS:
            return np.dtype(object), _STRINGS[name]
        if (raw := re.fullmatch(r"r(\d+)", name)) and int(raw[1]) % 8 == 0 and int(raw[1]):
            return np.dtype(f"V{int(raw[1]) // 8}"), "bytes"
        if name in _CONFIGURED:
            return _CONFIGURED[name](config, where), "bytes"
    except (KeyError, TypeError, ValueError) as error:
        raise MetadataError("invalid data type", where=where, found=f"{data!r} ({error})") from error
    raise UnsupportedError(
        "unknown data type",
        where=where,
        found=repr(data),
        hint="zapz supports the core types, datetimes, strings and structures.",
    )


def _time(letter: str) -> Callable[[dict[str, Any], str], DType]:
    def read(config: dict[str, Any], _: str) -> DType:
        scale = int(config.get("scale_factor", 1))
        unit = config["unit"]
        return np.dtype(f"{letter}8" if unit == "generic" else f"{letter}8[{scale if scale != 1 else ''}{unit}]")

    return read


def _sized(letter: str, unit: int) -> Callable[[dict[str, Any], str], DType]:
    def read(config: dict[str, Any], _: str) -> DType:
        length = config["length_bytes"]
        if not isinstance(length, int) or length < 1 or length % unit:
            raise ValueError(f"length_bytes {length!r}")
        return np.dtype(f"{letter}{length // unit}")

    return read


def _structure(config: dict[str, Any], where: str) -> DType:
    fields = [(f["name"], f["data_type"]) if isinstance(f, dict) else (f[0], f[1]) for f in config["fields"]]
    return np.dtype([(name, read_v3(kind, where)[0]) for name, kind in fields])


_CONFIGURED: dict[str, Callable[[dict[str, Any], str], DType]] = {
    "numpy.datetime64": _time("M"),
    "numpy.timedelta64": _time("m"),
    "fixed_length_utf32": _sized("U", 4),
    "null_terminated_bytes": _sized("S", 1),
    "raw_bytes": _sized("V", 1),
    "struct": _structure,
    "structured": _structure,
}


def write_v3(dtype: DType, serializer: str) -> Any:
    """Return a data type as a v3 ``data_type``.

    Raises:
        UnsupportedError: v3 does not define the type.
    """
    if dtype.name in _PLAIN:
        return dtype.name
    if dtype.kind == "O" and serializer in _STRINGS.values():
        return "string" if serializer == "vlen-utf8" else "variable_length_bytes"
    if dtype.kind in "Mm":
        unit, scale = np.datetime_data(dtype)
        return {
            "name": "numpy.datetime64" if dtype.kind == "M" else "numpy.timedelta64",
            "configuration": {"unit": unit, "scale_factor": scale},
        }
    if dtype.subdtype is not None or (dtype.fields is not None and not dtype.isnative):
        hint = "Fields must be scalars in native byte order."
        raise UnsupportedError("Zarr v3 cannot store this structured data type", found=str(dtype), hint=hint)
    if dtype.fields is not None:
        return {
            "name": "structured",
            "configuration": {"fields": [[n, write_v3(dtype[n], "bytes")] for n in dtype.names or ()]},
        }
    names = {"U": "fixed_length_utf32", "S": "null_terminated_bytes", "V": "raw_bytes"}
    if dtype.kind in names:
        return {"name": names[dtype.kind], "configuration": {"length_bytes": dtype.itemsize}}
    raise UnsupportedError("Zarr v3 does not define this data type", found=f"{dtype} ({serializer})")


def read_fill(value: Any, dtype: DType, where: str, serializer: str = "bytes") -> FillValue:
    """Read a fill value of either format.

    Args:
        value: The JSON value; None (v2 ``null``) leaves it undefined.
        dtype: The array's type.
        where: Key of the document, for messages.
        serializer: Codec that turns items of variable length into bytes.

    Raises:
        MetadataError: The value is not valid for this type.
    """
    if value is None:
        return FillValue.of(None)
    try:
        return FillValue.of(_fill(value, dtype, serializer))
    except (TypeError, ValueError, OverflowError, binascii.Error) as error:
        raise MetadataError(
            "fill value does not fit the data type", where=where, expected=f"a {dtype}", found=f"{value!r} ({error})"
        ) from error


def _fill(value: Any, dtype: DType, serializer: str) -> Any:
    kind = dtype.kind
    if kind == "O":
        return _variable(value, serializer)
    if kind == "U":
        return np.array(str(value), dtype=dtype)[()]
    if kind in "SV":
        return _opaque(value, dtype)
    if kind == "b":
        if value not in (0, 1):
            raise ValueError("not a boolean")
        return np.bool_(value)
    if kind == "c":
        real, imaginary = value if isinstance(value, list) else (value, 0.0)
        part = np.dtype(f"f{dtype.itemsize // 2}")
        return np.array([_real(real, part), _real(imaginary, part)], dtype=part).view(dtype)[0]
    if kind in "Mm":
        ticks = np.iinfo(np.int64).min if value == "NaT" else _integer(value)
        return np.array(ticks, dtype=np.int64).view(dtype)[()]
    return _real(value, dtype) if kind == "f" else dtype.type(_integer(value))


def _variable(value: Any, serializer: str) -> Any:
    """Read a value of variable length; some writers use 0, which is "0" to zarr-python."""
    if serializer == "vlen-bytes":
        return (
            b"" if value == 0 else bytes(value) if isinstance(value, list) else base64.b64decode(value, validate=True)
        )
    return str(value) if serializer == "vlen-utf8" else value


def _opaque(value: Any, dtype: DType) -> Any:
    if isinstance(value, int) and value == 0:
        data = b""
    elif isinstance(value, list):
        data = bytes(value)
    elif isinstance(value, str):
        data = base64.b64decode(value, validate=True)
    else:
        raise TypeError(f"a {type(value).__name__}")
    if len(data) > dtype.itemsize:
        raise ValueError(f"{len(data)} bytes")
    return np.frombuffer(data.ljust(dtype.itemsize, b"\0"), dtype=dtype)[0]


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, _NUMBER) or value != int(value):
        raise TypeError("not an integer")
    return int(value)


def _real(value: Any, dtype: DType) -> Any:
    if isinstance(value, str):
        if value.startswith("0x"):
            image = int(value, 16).to_bytes(dtype.itemsize, "little")
            return (
                np.frombuffer(image, dtype=dtype.newbyteorder("<")).astype(dtype)[0]
                if not dtype.isnative
                else np.frombuffer(image, dtype=dtype)[0]
            )
        return dtype.type(_SPECIAL[value] if value in _SPECIAL else float(value))
    if isinstance(value, bool) or not isinstance(value, _NUMBER):
        raise TypeError("not a number")
    return dtype.type(value)


def undefined(dtype: DType) -> Any:
    """Return what zarr-python reads for an undefined v2 fill value (``null``): NaT, "" or zero."""
    if dtype.kind == "O":
        return ""
    return np.array("NaT", dtype=dtype)[()] if dtype.kind in "Mm" else np.zeros(1, dtype=dtype)[0]


def write_fill(fill: FillValue, dtype: DType) -> Any:
    """Return a fill value as JSON of either format; only NaN payloads need a bit pattern (v3)."""
    value = fill.value
    if value is None:
        return None
    kind = dtype.kind
    if kind == "O":
        return base64.b64encode(value).decode() if isinstance(value, bytes) else value
    if kind in "SV":
        return base64.b64encode(np.asarray(value, dtype=dtype).tobytes()).decode()
    if kind in "Mm":
        return int(np.asarray(value, dtype=dtype).view(np.int64)[()])
    if kind == "c":
        part = np.dtype(f"f{dtype.itemsize // 2}")
        return [_write_real(v, part) for v in np.asarray(value, dtype=dtype).reshape(1).view(part)]
    if kind == "f":
        return _write_real(value, dtype)
    return str(value) if kind == "U" else bool(value) if kind == "b" else int(value)


def _write_real(value: Any, dtype: DType) -> Any:
    number = dtype.type(value)
    if np.isnan(number):
        if number.tobytes() == dtype.type(np.nan).tobytes():
            return "NaN"
        return "0x" + np.asarray(number, dtype=dtype.newbyteorder(">")).tobytes().hex()
    return float(number) if np.isfinite(number) else "Infinity" if number > 0 else "-Infinity"


def read_marker(value: Any, dtype: DType, where: str) -> Any:
    """Read a ``_FillValue`` attribute: a number, text, or base64 as written by xarray.

    Returns:
        The marker as a NumPy scalar or text; None if there is no attribute.

    Raises:
        MetadataError: The value is not valid for this type.
    """
    if value is None:
        return None
    try:
        if dtype.kind == "f" and isinstance(value, str) and value not in _SPECIAL:
            return dtype.type(np.frombuffer(base64.b64decode(value, validate=True), dtype="<f8")[0])
        if dtype.kind == "c" and isinstance(value, list) and all(isinstance(v, str) for v in value):
            parts = [np.frombuffer(base64.b64decode(v, validate=True), dtype="<f8")[0] for v in value]
            return dtype.type(complex(*parts))
        if dtype.kind == "O":
            return value
        return _fill(value, dtype, "bytes")
    except (TypeError, ValueError, OverflowError, IndexError, binascii.Error) as error:
        found = f"{value!r} ({error})"
        raise MetadataError(
            "attribute _FillValue does not fit the data type", where=where, expected=f"a {dtype}", found=found
        ) from error


def has_attribute(marker: Any, dtype: DType) -> bool:
    """Return whether a marker is written as ``_FillValue`` in Zarr v3.

    Only numbers: NaT needs no marker, and xarray reads ``_FillValue`` only for numbers.
    """
    return marker is not None and dtype.kind in "iufc"


def write_marker(value: Any, dtype: DType) -> Any:
    """Return a marker as a ``_FillValue`` attribute of v3, as xarray writes it.

    Floats become the base64 of a little-endian float64.
    """
    if dtype.kind == "f":
        return base64.b64encode(np.asarray(value, dtype="<f8").tobytes()).decode()
    if dtype.kind == "c":
        return [base64.b64encode(np.asarray(v, dtype="<f8").tobytes()).decode() for v in (value.real, value.imag)]
    return write_fill(FillValue.of(value), dtype)
