"""Settings of variables: the entries of ``variables``, and how they apply to a variable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from zapz.cf.calendars import CALENDARS
from zapz.config.array_encoding import ArrayEncoding
from zapz.config.table_types import codec, free, is_table, names, table
from zapz.config.types import Key, Place, SettingType, choice, either, flag, nearest, null, number, several, text
from zapz.errors import ConfigError
from zapz.format.jsontext import JSON

ALL = "*"
"""Name of the entry for all variables."""

DTYPES = (
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64", "complex64", "complex128", "bool", "string", "bytes"),
)
"""Data types with a plain name; "string" and "bytes" have variable length."""

_SIZED = r"[<|=]?([US][1-9]\d*)"
_TIME = r"[<=]?(?:(datetime64)|(timedelta64)|(M8)|(m8))\[([1-9]\d*)?(Y|M|W|D|h|m|s|ms|us|ns)\]"
_SHORT = r"[<|=]?[iufcb][1-9]\d?"
_CODED = ("compressor", "filters")
"""Codecs in the form of Zarr v2; ``codecs`` has those in the form of v3."""
DISPLACED: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(_CODED, ("codecs",)),
    "codecs": _CODED,
    "fill_value": ("_FillValue",),
    "_FillValue": ("fill_value",),
}
"""Keys of an encoding that state the same in another form; the key in the later layer wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariableSettings:
    """The settings of one variable."""

    dims: tuple[str, ...] | None = None
    """Names of its dimensions, in order; None if not configured."""
    encoding: ArrayEncoding = field(default_factory=ArrayEncoding)
    """Its configured encoding."""
    attrs: Mapping[str, JSON] = field(default_factory=dict)
    """Its configured attributes."""


def parse_dtype(given: Any) -> str:
    """Return the name that zapz uses for a data type.

    Args:
        given: Text such as "int16", "i2", "U8", "datetime64[s]", "string", or anything that NumPy
            accepts as a data type.

    Raises:
        ValueError: It is not a data type, or not one that zapz creates. The text of the error is a
            hint, if there is one.
    """
    name = given if isinstance(given, str) else _numpy_name(given)
    if name in DTYPES:
        return name
    if name == "str":
        return "string"
    if match := re.fullmatch(_SIZED, name):
        return match[1]
    if match := re.fullmatch(_TIME, name):
        kind = "datetime64" if match[1] or match[3] else "timedelta64"
        return f"{kind}[{match[5] or ''}{match[6]}]"
    if re.fullmatch(_SHORT, name):
        try:
            short = np.dtype(name).name
        except TypeError:
            short = ""
        if short in DTYPES:
            return short
    raise ValueError(_dtype_hint(name))


def _numpy_name(given: Any) -> str:
    dtype = np.dtype(given)
    if dtype.kind == "T":  # NumPy's variable-length strings
        return "string"
    exact = not dtype.isnative or (dtype.kind in "US" and dtype.itemsize)
    return str(dtype.str if exact else dtype.name)


def _dtype_hint(name: str) -> str:
    if name.startswith(">"):
        return "Byte order is a property of the codecs, not of the data type."
    if name.startswith(("datetime64", "timedelta64", "M8", "m8")):
        return "Add a unit, as in 'datetime64[s]'."
    if name == "object":
        return "For text of variable length, use 'string'."
    meant = nearest(name, DTYPES)
    return f"Did you mean {meant!r}?" if meant else ""


def _check_expressions(value: str, where: str) -> None:
    if "{{" in value:
        from zapz.expressions.parser import parts_of  # imported here: few attributes have expressions

        parts_of(value, where)


ATTRIBUTES: SettingType = free("a table of attributes", plain=True, look=_check_expressions)
"""Type of attributes: any JSON value. Expressions in text must be well-formed."""


def _dtype() -> SettingType:
    return SettingType(
        words='the name of a NumPy number type, "bool", "string", "bytes", "U8" or "S8" (any length), "datetime64[s]" or "timedelta64[s]" '
        "(any unit)",
        schema={"type": "string", "minLength": 1},
        takes=lambda value: isinstance(value, str | type | np.dtype),
        read=lambda value, _: parse_dtype(value),
    )


def _lengths(*, whole: SettingType) -> SettingType:
    """Return the type of lengths by dimension: a list, or a table; null is the whole dimension."""
    length = either(number(integer=True, least=1), null("whole"))
    words = f"a list, each {length.words}, or a table of these by dimension"
    return replace(
        either(several(length), names("lengths by dimension", length), whole), words=f"{words}, or {whole.words}"
    )


def _fill_value() -> SettingType:
    part = either(number(), choice("NaN", "Infinity", "-Infinity"))
    pair = replace(several(part, length=2), words="[real, imaginary]")
    return either(number(), text('text ("NaN" too)', empty=True), pair, null(other=False), flag())


def _check_forms(value: Mapping[str, Any], place: Place) -> None:
    """Refuse an encoding that states the same in two forms.

    Raises:
        ConfigError: It does.
    """
    both = [name for name in _CODED if name in value]
    if both and "codecs" in value:
        raise ConfigError(
            "codecs given in two forms",
            where=str(place / both[0]),
            expected="`codecs`, or `compressor` and `filters`",
            found=" and ".join([*both, "codecs"]),
            hint="Remove one of the two forms. Each works for both Zarr formats.",
        )
    if "fill_value" in value and "_FillValue" in value:
        raise ConfigError(
            "fill value given twice",
            where=str(place / "_FillValue"),
            expected="`fill_value` or `_FillValue`",
            found="both",
            hint="Remove one of the two.",
        )


def _encoding() -> SettingType:
    """Return the type of an encoding.

    Codecs and the fill value each have two forms. A later layer with one form removes the other
    form from an earlier layer.
    """
    plain = table("a table of the encoding's keys", ENCODING, unsets=False)

    def read(value: Any, place: Place) -> Any:
        _check_forms(value, place)
        return plain.read(value, place)

    def merge(earlier: Any, later: Any) -> Any:
        displaced = {other for name in later for other in DISPLACED.get(name, ())}
        kept = {name: value for name, value in (earlier or {}).items() if name not in displaced}
        return plain.merge(kept, later)

    return replace(plain, read=read, merge=merge)


def _or_object(kind: SettingType, naming: str) -> SettingType:
    """Return the type of a codec's configuration that also accepts numcodecs and zarr objects."""

    def read(value: Any, place: Place) -> Any:
        if is_table(value):
            return kind.read(value, place)
        from zapz.config import codec_objects  # imported here: most configurations have none

        config = codec_objects.in_v2_form(value) if naming == "id" else codec_objects.in_v3_form(value)
        if config is None:
            raise ValueError("Zarr v2 does not define this codec. Give all codecs as `codecs`.")
        return kind.check(config, place)

    def takes(value: Any) -> bool:
        asked = hasattr(value, "get_config") or hasattr(value, "to_dict")
        return is_table(value) or (asked and not isinstance(value, type))

    return replace(kind, takes=takes, read=read)


_V2_CODEC = _or_object(codec('a table with an "id" (as numcodecs configures it)', "id"), "id")
_V3_CODEC = _or_object(
    codec(
        'a table of "name" and "configuration"',
        "name",
        table(
            'a table of "name" and "configuration"',
            {
                "name": Key(kind=text(), doc="Name of the codec."),
                "configuration": Key(kind=free(plain=True), doc="Its configuration."),
            },
            unsets=False,
        ),
    ),
    "name",
)
_DEFAULT_CODEC = SettingType(
    words="{}",
    schema={"type": "object", "maxProperties": 0},
    takes=lambda value: is_table(value) and not value,
    read=lambda _value, _place: {},
)

ENCODING: Mapping[str, Key] = {
    "dtype": Key(kind=_dtype(), doc="Data type as stored.", example="int16"),
    "chunks": Key(
        kind=_lengths(whole=null("whole")),
        doc="Chunk lengths, in cells. null or `whole` stands for the whole dimension, or for all dimensions.",
        example=[1, "whole", 512],
    ),
    "shards": Key(
        kind=_lengths(whole=null(other=False)),
        doc="Shard lengths, in cells: multiples of the chunk lengths (Zarr v3 only); null for no shards.",
        example={"time": 64},
    ),
    "fill_value": Key(
        kind=_fill_value(),
        doc="Stored value of cells that were never written, null for none. Readers of Zarr v2 treat it as missing.",
        example=-9999,
    ),
    "_FillValue": Key(
        kind=_fill_value(),
        doc="Same as fill_value, under the name used by xarray. Cells that equal it are missing even if the first slice has no missing "
        "marker.",
        example=-9999,
    ),
    "scale_factor": Key(
        kind=number(finite=True, nonzero=True), doc="Packing: value = stored * scale_factor + add_offset.", example=0.01
    ),
    "add_offset": Key(kind=number(finite=True), doc="Packing: see scale_factor.", example=273.15),
    "units": Key(kind=text(), doc="Units of stored times.", example="hours since 2000-01-01"),
    "calendar": Key(kind=choice(*CALENDARS), doc="Calendar of stored times.", example="standard"),
    "compressor": Key(
        kind=either(_V2_CODEC, _DEFAULT_CODEC, null(other=False)),
        doc="Compressor in the form of Zarr v2, for both formats; {} for the default of the format, null for none.",
        example={"id": "zstd", "level": 5},
    ),
    "filters": Key(
        kind=either(several(_V2_CODEC), null(other=False)),
        doc="Filters in the form of Zarr v2, for both formats; null for none.",
        example=[{"id": "delta", "dtype": "<i2"}],
    ),
    "codecs": Key(
        kind=several(_V3_CODEC),
        doc="Codecs in the form of Zarr v3, for both formats, instead of compressor and filters.",
        example=[{"name": "bytes"}, {"name": "zstd", "configuration": {"level": 5}}],
    ),
}
"""Keys of an encoding."""

_ENTRY: Mapping[str, Key] = {
    "dims": Key(
        kind=several(text(), distinct=True),
        doc="Names of the variable's dimensions, in order. Those of each slice must be the same.",
        example=["time", "lat", "lon"],
    ),
    "encoding": Key(kind=_encoding(), doc="How the variable is stored. What is not set is taken from the first slice."),
    "attrs": Key(
        kind=ATTRIBUTES,
        doc="Attributes, added to those of the first slice. Values may contain expressions `{{ … }}`.",
        example={"units": "mg m-3"},
    ),
}

_ENTRY_KIND = table("a table of `dims`, `encoding` and `attrs`", _ENTRY)

VARIABLES: SettingType = names("a table of variables (`*` for all)", _ENTRY_KIND)
"""Type of the setting ``variables``."""


def settings_of(entries: Mapping[str, Mapping[str, Any]], path: str) -> VariableSettings:
    """Return the settings of a variable: its own entry, merged over the one for all.

    Args:
        entries: The validated setting ``variables``.
        path: Path of the variable.
    """
    merged: Mapping[str, Any] = {}
    for name in (ALL, path):
        merged = _ENTRY_KIND.merge(merged, entries.get(name, {}))
    encoding = dict(merged.get("encoding", {}))
    if "_FillValue" in encoding:
        encoding["fill_value"] = encoding.pop("_FillValue")
        encoding["fill_is_marker"] = encoding["fill_value"] is not None
    return VariableSettings(**{**merged, "encoding": ArrayEncoding(**encoding)})
