"""Apply an encoding to an array: data type, packing, time units, grid, codecs, fill. Pure.

Applying an encoding twice is the same as applying it once. So a new target is the first slice with
the encoding applied, and a configuration contradicts an existing target exactly if applying it
would change something.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zapz.cf.attributes import IN_STORED_UNITS
from zapz.cf.encoding import Encoding, encoding_or_bare, is_boolean
from zapz.cf.markers import Scalar, is_nan
from zapz.config.array_encoding import UNSET, ArrayEncoding, is_value
from zapz.errors import ConfigError
from zapz.format import documents as doors
from zapz.format.codecs import CodecChain, Shards
from zapz.format.dtypes import has_attribute, undefined, write_marker
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, FillValue
from zapz.planning import encoding_values


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodingContext:
    """The context in which an encoding is applied."""

    zarr_format: int
    """Format of the target."""
    dim: str
    """Append dimension."""
    steps: int | None
    """Length of the slice along the append dimension, in steps; a chunk of the "whole" dimension
    has this length. None for an existing target, which keeps its chunk length."""
    where: str
    """Path of the settings, for messages."""
    own: bool = False
    """Whether the variable has its own entry. Then each dimension that the entry names must be one
    of the variable's."""

    @property
    def format(self) -> doors.Format:
        """Format of the target."""
        return doors.of(self.zarr_format)


def apply_encoding(array: Array, encoding: ArrayEncoding, context: EncodingContext) -> Array:
    """Return an array after applying a configured encoding.

    Args:
        array: The array, in the target's format.
        encoding: The configured encoding.
        context: The context.

    Raises:
        ConfigError: The configuration is not valid for this array.
    """
    meaning = encoding_or_bare(array.dtype, array.attributes, array.marker)
    dtype, serializer = _dtype(array, encoding, context)
    attributes = _meaning(array, meaning, dtype, encoding, context)
    numbers = ["scale_factor", "add_offset", *(["units", "calendar"] if _is_time(meaning) else [])]
    renumbered = any(attributes.get(name) != array.attributes.get(name) for name in numbers)
    if renumbered:
        attributes = {name: value for name, value in attributes.items() if name not in IN_STORED_UNITS}
    if dtype != array.dtype:
        attributes.pop("_Unsigned", None)
    changed = dtype != array.dtype or any(attributes.get(n) != array.attributes.get(n) for n in numbers[:2])
    fill, marker = _fill(array, meaning, dtype, serializer, encoding, context, changed=changed)
    never = array.is_label or (is_boolean(dtype, attributes) and "_FillValue" not in attributes)
    marker = None if (never and not is_nan(marker)) or dtype.kind == "b" else marker
    attributes.pop("_FillValue", None)
    is_fill = context.format.MARKS_BY_FILL and fill.value is not None  # then the fill value is the marker
    if not is_fill and has_attribute(marker, dtype):
        attributes["_FillValue"] = write_marker(marker, dtype)
    grid, inner = _grids(array, encoding, context)
    return replace(
        array,
        dtype=dtype,
        grid=grid,
        codecs=_codecs(array, dtype, serializer, grid, inner, encoding, context),
        fill=fill,
        marker=marker,
        attributes=attributes,
    )


def names_own(variables: Mapping[str, Any], path: str) -> bool:
    """Return whether chunks or shards are configured for this variable alone.

    Then each dimension in them must be one of the variable's.
    """
    own, common = (variables.get(name, {}).get("encoding") or {} for name in (path, "*"))
    return any(key in own and key not in common for key in ("chunks", "shards"))


def _is_time(meaning: Encoding) -> bool:
    return meaning.axis is not None


# -- data type, packing, time ----------------------------------------------------------


def _dtype(array: Array, encoding: ArrayEncoding, context: EncodingContext) -> tuple[np.dtype[Any], str]:
    if encoding.dtype is not UNSET:
        return encoding_values.dtype_of(encoding.dtype, f"{context.where}.dtype")
    if array.dtype.kind in "mM" and is_value(encoding.units):
        return np.dtype(np.int64), "bytes"
    return array.dtype, array.unit_codecs.serializer


def _meaning(
    array: Array, meaning: Encoding, dtype: np.dtype[Any], encoding: ArrayEncoding, context: EncodingContext
) -> dict[str, Any]:
    """Return the attributes with the configured packing and time units."""
    attributes = _packed(dict(array.attributes), dtype, encoding, context)
    if _is_time(meaning):
        return _timed(attributes, array, dtype, encoding, context)
    for name in ("units", "calendar"):
        if name in encoding.given and encoding.given[name] != array.attributes.get(name):
            raise ConfigError(
                f"{name} in an encoding applies only to times, and this variable has none",
                where=f"{context.where}.{name}",
                expected=f"attrs.{name} for a description",
                found=repr(encoding.given[name]),
            )
    return attributes


def _packed(
    attributes: dict[str, Any], dtype: np.dtype[Any], encoding: ArrayEncoding, context: EncodingContext
) -> dict[str, Any]:
    given = encoding.given
    for name in ("scale_factor", "add_offset"):
        if name in given or dtype.kind not in "iuf":
            attributes.pop(name, None)
        if given.get(name) is None:
            continue
        if dtype.kind not in "iuf":
            raise ConfigError(
                "only numbers can be packed", where=f"{context.where}.{name}", expected="no packing", found=str(dtype)
            )
        attributes[name] = float(given[name])  # xarray decodes to the type of these numbers
    return attributes


def _timed(
    attributes: dict[str, Any], array: Array, dtype: np.dtype[Any], encoding: ArrayEncoding, context: EncodingContext
) -> dict[str, Any]:
    """Return the attributes of times with the configured units and calendar (CF section 4.4)."""
    given = encoding.given
    useless = [name for name in ("units", "calendar") if dtype.kind in "mM" and given.get(name) is not None]
    if array.dtype.kind == "m" and is_value(encoding.calendar):
        useless = ["calendar"]
    if useless:
        raise ConfigError(
            "setting does not apply to this data type",
            where=f"{context.where}.{useless[0]}",
            expected=f"no such setting for {dtype if dtype.kind in 'mM' else 'durations'}",
            found=repr(given[useless[0]]),
            hint="Remove the setting, or set a numeric dtype.",
        )
    if dtype.kind in "mM":
        return {n: v for n, v in attributes.items() if n not in {"units", "calendar"}}
    for name in ("units", "calendar"):
        if given.get(name) is not None:
            attributes[name] = given[name]
    if array.dtype.kind not in "mM":
        return attributes
    if "units" not in attributes:
        hint = 'For example: "days since 2000-01-01".'
        raise ConfigError("times as numbers need units", where=f"{context.where}.units", found="none", hint=hint)
    if array.dtype.kind == "M":
        attributes.setdefault("calendar", "proleptic_gregorian")
    else:
        attributes["dtype"] = str(array.dtype)  # readers such as xarray then decode durations
    return attributes


def _fill(
    array: Array,
    meaning: Encoding,
    dtype: np.dtype[Any],
    serializer: str,
    encoding: ArrayEncoding,
    context: EncodingContext,
    *,
    changed: bool,
) -> tuple[FillValue, Any]:
    """Return the fill value, and the marker that readers treat as missing.

    Readers treat a v2 fill value as the marker too. So a fill value that is not a marker is written
    as null.
    """
    nothing = FillValue.of(None if context.format.MARKS_BY_FILL else _default(dtype, serializer))
    if is_value(encoding.fill_value):
        fill = encoding_values.fill_of(encoding.fill_value, dtype, serializer, f"{context.where}.{encoding.word}")
        if dtype.kind in "USO":
            return fill, fill.value if context.format.MARKS_BY_FILL else None
        if encoding.fill_is_marker or dtype.kind in "fcmM" or meaning.markers or array.dtype.kind in "fcmM":
            return fill, fill.value
        return (nothing if context.format.MARKS_BY_FILL else fill), None
    if encoding.fill_value is UNSET and not changed:
        return array.fill, array.marker
    if encoding.fill_value is UNSET and dtype.kind in "fcmM":
        empty: Scalar = np.asarray(["NaT" if dtype.kind in "mM" else np.nan], dtype)[0]
        return FillValue.of(empty), empty
    kept = (
        None
        if encoding.fill_value is not UNSET
        else array.marker
        if dtype == array.dtype
        else _kept_marker(meaning.plain, dtype)
    )
    return (nothing, None) if kept is None else (FillValue.of(kept), kept)


def _kept_marker(meaning: Encoding, dtype: np.dtype[Any]) -> Any:
    """Return the marker of integers converted to another integer type, or None if impossible."""
    if dtype.kind not in "iu" or meaning.dtype.kind not in "iu" or meaning.marker is None:
        return None
    limits, number = np.iinfo(dtype), int(meaning.marker)
    return dtype.type(number) if limits.min <= number <= limits.max else None


def _default(dtype: np.dtype[Any], serializer: str) -> Any:
    return b"" if serializer == "vlen-bytes" else undefined(dtype)


# -- chunks and codecs ----------------------------------------------------------


def _grids(
    array: Array, encoding: ArrayEncoding, context: EncodingContext
) -> tuple[RegularGrid, tuple[int, ...] | None]:
    """Return the grid of chunks (shards), and the shape of inner chunks if there are shards."""
    units, shards = array.units.chunks, array.grid.chunks if array.codecs.shards is not None else None
    if encoding.chunks is not UNSET:
        units = _lengths(array, encoding.chunks, units, f"{context.where}.chunks", context)
    if encoding.shards is not UNSET:
        shards = None
        if encoding.shards is not None:
            if not context.format.HAS_SHARDS:
                raise ConfigError(
                    "Zarr v2 has no shards",
                    where=f"{context.where}.shards",
                    hint="Remove the setting shards, or create the target with {zarr_format}.",
                    remedies={"zarr_format": 3},
                )
            shards = _lengths(array, encoding.shards, array.grid.chunks, f"{context.where}.shards", context)
    if shards is None:
        return RegularGrid(shape=array.shape, chunks=units), None
    if any(n % u for n, u in zip(shards, units, strict=True)):
        raise ConfigError(
            "chunks do not divide the shard",
            where=f"{context.where}.shards" if encoding.shards is not UNSET else f"{context.where}.chunks",
            expected=f"shards that are multiples of the chunks {units}",
            found=f"{shards}",
            hint="Set both chunks and shards.",
        )
    return RegularGrid(shape=array.shape, chunks=shards), units


def _lengths(
    array: Array, given: Any, before: tuple[int, ...], where: str, context: EncodingContext
) -> tuple[int, ...]:
    """Return a chunk shape; null stands for a whole dimension."""
    axis = array.axis(context.dim)
    steps = before[axis] if axis is not None and context.steps is None else context.steps
    whole = [max(1, steps or 1) if i == axis else max(1, n) for i, n in enumerate(array.shape)]
    if given is None:
        return tuple(whole)
    if isinstance(given, Mapping):
        strange = sorted(set(given) - set(array.dims)) if context.own else []
        if strange:
            raise ConfigError(
                "variable has no such dimension",
                where=f"{where}.{strange[0]}",
                expected=", ".join(d or "?" for d in array.dims),
                found=strange[0],
            )
        named = [given.get(dim, before[i]) if dim is not None else before[i] for i, dim in enumerate(array.dims)]
    else:
        named = list(given)
    if len(named) != array.ndim:
        raise ConfigError(
            "chunks do not match the variable's dimensions",
            where=where,
            expected=f"{array.ndim} lengths, for ({', '.join(d or '?' for d in array.dims)})",
            found=f"{named}",
            hint='Add a separate entry for the variable, or name the dimensions: {"lat": 100}.',
        )
    return tuple(w if n is None else int(n) for n, w in zip(named, whole, strict=True))


def _codecs(
    array: Array,
    dtype: np.dtype[Any],
    serializer: str,
    grid: RegularGrid,
    inner: tuple[int, ...] | None,
    encoding: ArrayEncoding,
    context: EncodingContext,
) -> CodecChain:
    """Return the codec chain of a chunk, or of a shard."""
    chain = array.unit_codecs
    if dtype != array.dtype or serializer != chain.serializer:
        if chain.foreign is not None and not {"codecs", "compressor"} & encoding.given.keys():
            hint = "Configure codecs or a compressor too."
            raise ConfigError(
                "the slice's codecs may not work with another data type",
                where=context.where,
                found=chain.foreign,
                hint=hint,
            )
        chain = chain.for_dtype(dtype, serializer)
    if encoding.compressor == {}:
        encoding = replace(encoding, compressor=context.format.COMPRESSOR)
    if {"codecs", "compressor", "filters"} & encoding.given.keys():
        chain = encoding_values.chain_of(encoding, chain, dtype, serializer, inner or grid.chunks, context.where)
    if inner is None:
        return chain
    old = array.codecs.shards
    if old is not None:
        return CodecChain(endian=None, shards=replace(old, inner_shape=inner, inner=chain))
    shards = Shards(inner_shape=inner, inner=chain, index_endian="little", index_crc32c=True, index_location="end")
    return CodecChain(endian=None, shards=shards)
