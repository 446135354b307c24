"""What a configured encoding makes of an array: data type, packing, time units, chunks, shards, codecs, fill value. Pure.

One law ties creating and appending together: tailoring what is tailored already changes nothing. So a new target is the first slice,
tailored, and a configuration contradicts an existing target exactly where tailoring would change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from zapz.cf.attributes import IN_STORED_UNITS
from zapz.cf.encoding import Encoding, encoding_or_bare, is_boolean
from zapz.cf.markers import is_nan
from zapz.errors import ConfigError
from zapz.format import v2
from zapz.format.codecs import CodecChain, Shards, normal
from zapz.format.dtypes import has_attribute, undefined, write_marker
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, FillValue
from zapz.planning import encoding_values

Wish = Mapping[str, Any]
"""A configured encoding: the keys that were given; None under a key has a meaning of its own there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an array is tailored."""

    zarr_format: int
    """Format of the target."""
    dim: str
    """Append dimension."""
    steps: int | None
    """Length of the slice along it, which "whole dimension" means there; None for an existing target, which keeps its own."""
    where: str
    """The settings, for messages."""
    own: bool = False
    """Whether the variable has an entry of its own: then every dimension that is named must be one of its."""
    marks: bool = False
    """Whether the fill value is meant as the marker of missing cells, whatever the cells are."""


def tailored(array: Array, wish: Wish, place: Place) -> Array:
    """Return what a configured encoding makes of an array.

    Args:
        array: The array, in the target's format.
        wish: What is configured for it.
        place: Where.

    Raises:
        ConfigError: The configuration makes no sense for this array.
    """
    meaning = encoding_or_bare(array.dtype, array.attributes, array.marker)
    dtype, serializer = _dtype(array, wish, place)
    attributes = _meaning(array, meaning, dtype, wish, place)
    numbers = ["scale_factor", "add_offset", *(["units", "calendar"] if _is_time(meaning) else [])]
    renumbered = any(attributes.get(name) != array.attributes.get(name) for name in numbers)
    if renumbered:
        attributes = {name: value for name, value in attributes.items() if name not in IN_STORED_UNITS}
    if dtype != array.dtype:
        attributes.pop("_Unsigned", None)
    changed = dtype != array.dtype or any(attributes.get(n) != array.attributes.get(n) for n in numbers[:2])
    fill, marker = _fill(array, meaning, dtype, serializer, wish, place, changed=changed)
    never = array.is_label or (is_boolean(dtype, attributes) and "_FillValue" not in attributes)
    marker = None if (never and not is_nan(marker)) or dtype.kind == "b" else marker
    attributes.pop("_FillValue", None)
    is_fill = place.zarr_format == v2.FORMAT and fill.value is not None  # which says it by itself
    if not is_fill and has_attribute(marker, dtype):
        attributes["_FillValue"] = write_marker(marker, dtype)
    grid, inner = _grids(array, wish, place)
    return replace(
        array,
        dtype=dtype,
        grid=grid,
        codecs=_codecs(array, dtype, serializer, grid, inner, wish, place),
        fill=fill,
        marker=marker,
        attributes=attributes,
    )


def names_own(variables: Mapping[str, Any], path: str) -> bool:
    """Return whether chunks by dimension are configured for a variable alone, so that none of them may be another's."""
    own, common = (variables.get(name, {}).get("encoding") or {} for name in (path, "*"))
    return any(key in own and key not in common for key in ("chunks", "shards"))


def _is_time(meaning: Encoding) -> bool:
    return meaning.axis is not None


# -- data type, packing, time ----------------------------------------------------------------------------------------------


def _dtype(array: Array, wish: Wish, place: Place) -> tuple[np.dtype[Any], str]:
    if "dtype" in wish:
        return encoding_values.dtype_of(wish["dtype"], f"{place.where}.dtype")
    if array.dtype.kind in "mM" and wish.get("units") is not None:
        return np.dtype(np.int64), "bytes"
    return array.dtype, array.unit_codecs.serializer


def _meaning(array: Array, meaning: Encoding, dtype: np.dtype[Any], wish: Wish, place: Place) -> dict[str, Any]:
    """Return the attributes with the packing and the time units that are wished for."""
    attributes = _packed(dict(array.attributes), dtype, wish, place)
    if _is_time(meaning):
        return _timed(attributes, array, dtype, wish, place)
    for name in ("units", "calendar"):
        if name in wish and wish[name] != array.attributes.get(name):
            raise ConfigError(
                f"{name} in an encoding are those of times, and this variable holds none",
                where=f"{place.where}.{name}",
                expected=f"attrs.{name}, if it is meant as a description",
                found=repr(wish[name]),
            )
    return attributes


def _packed(attributes: dict[str, Any], dtype: np.dtype[Any], wish: Wish, place: Place) -> dict[str, Any]:
    for name in ("scale_factor", "add_offset"):
        if name in wish or dtype.kind not in "iuf":
            attributes.pop(name, None)
        if wish.get(name) is None:
            continue
        if dtype.kind not in "iuf":
            raise ConfigError(
                "only numbers can be packed", where=f"{place.where}.{name}", expected="no packing", found=str(dtype)
            )
        attributes[name] = float(wish[name])  # xarray decodes to the type of these numbers
    return attributes


def _timed(attributes: dict[str, Any], array: Array, dtype: np.dtype[Any], wish: Wish, place: Place) -> dict[str, Any]:
    """Return the attributes of times with the units and the calendar that are wished for (CF section 4.4)."""
    useless = [name for name in ("units", "calendar") if dtype.kind in "mM" and wish.get(name) is not None]
    if array.dtype.kind == "m" and wish.get("calendar") is not None:
        useless = ["calendar"]
    if useless:
        raise ConfigError(
            "a setting would mean nothing",
            where=f"{place.where}.{useless[0]}",
            expected=f"none for {dtype if dtype.kind in 'mM' else 'durations'}",
            found=repr(wish[useless[0]]),
            hint="Remove it, or give a dtype of numbers.",
        )
    if dtype.kind in "mM":
        return {n: v for n, v in attributes.items() if n not in {"units", "calendar"}}
    for name in ("units", "calendar"):
        if wish.get(name) is not None:
            attributes[name] = wish[name]
    if array.dtype.kind not in "mM":
        return attributes
    if "units" not in attributes:
        hint = 'Such as "days since 2000-01-01".'
        raise ConfigError("times as numbers need units", where=f"{place.where}.units", found="none", hint=hint)
    if array.dtype.kind == "M":
        attributes.setdefault("calendar", "proleptic_gregorian")
    else:
        attributes["dtype"] = str(array.dtype)  # so that readers take the numbers for durations, as xarray does
    return attributes


def _fill(
    array: Array,
    meaning: Encoding,
    dtype: np.dtype[Any],
    serializer: str,
    wish: Wish,
    place: Place,
    *,
    changed: bool,
) -> tuple[FillValue, Any]:
    """Return the fill value, and the marker that readers take for missing.

    For readers a v2 fill value is the marker too; so one that is not meant as a marker is written as null.
    """
    nothing = FillValue.of(None if place.zarr_format == v2.FORMAT else _default(dtype, serializer))
    if wish.get("fill_value") is not None:
        fill = encoding_values.fill_of(wish["fill_value"], dtype, serializer, f"{place.where}.fill_value")
        if dtype.kind in "USO":
            return fill, fill.value if place.zarr_format == v2.FORMAT else None
        if place.marks or dtype.kind in "fcmM" or meaning.markers or array.dtype.kind in "fcmM":
            return fill, fill.value
        return (nothing if place.zarr_format == v2.FORMAT else fill), None
    if "fill_value" not in wish and not changed:
        return array.fill, array.marker
    if "fill_value" not in wish and dtype.kind in "fcmM":
        empty = np.asarray("NaT" if dtype.kind in "mM" else np.nan, dtype)[()]
        return FillValue.of(empty), empty
    kept = (
        None if "fill_value" in wish else array.marker if dtype == array.dtype else _kept_marker(meaning.plain, dtype)
    )
    return (nothing, None) if kept is None else (FillValue.of(kept), kept)


def _kept_marker(meaning: Encoding, dtype: np.dtype[Any]) -> Any:
    """Return the marker of integers that become other integers; None if there is none, or it does not fit."""
    if dtype.kind not in "iu" or meaning.dtype.kind not in "iu" or meaning.marker is None:
        return None
    limits, number = np.iinfo(dtype), int(meaning.marker)
    return dtype.type(number) if limits.min <= number <= limits.max else None


def _default(dtype: np.dtype[Any], serializer: str) -> Any:
    return b"" if serializer == "vlen-bytes" else undefined(dtype)


# -- chunks and codecs -----------------------------------------------------------------------------------------------------


def _grids(array: Array, wish: Wish, place: Place) -> tuple[RegularGrid, tuple[int, ...] | None]:
    """Return the grid of chunks (shards), and the shape of inner chunks if there are shards."""
    units, shards = array.units.chunks, array.grid.chunks if array.codecs.shards is not None else None
    if "chunks" in wish:
        units = _lengths(array, wish["chunks"], units, f"{place.where}.chunks", place)
    if "shards" in wish:
        shards = None
        if wish["shards"] is not None:
            if place.zarr_format == v2.FORMAT:
                hint = "Set zarr_format = 3, or remove the setting shards."
                raise ConfigError("Zarr v2 has no shards", where=f"{place.where}.shards", hint=hint)
            shards = _lengths(array, wish["shards"], array.grid.chunks, f"{place.where}.shards", place)
    if shards is None:
        return RegularGrid(shape=array.shape, chunks=units), None
    if any(n % u for n, u in zip(shards, units, strict=True)):
        raise ConfigError(
            "chunks do not divide the shard",
            where=f"{place.where}.shards" if "shards" in wish else f"{place.where}.chunks",
            expected=f"shards that are multiples of the chunks {units}",
            found=f"{shards}",
            hint="Give both chunks and shards.",
        )
    return RegularGrid(shape=array.shape, chunks=shards), units


def _lengths(array: Array, given: Any, before: tuple[int, ...], where: str, place: Place) -> tuple[int, ...]:
    """Return a chunk shape; null stands for a whole dimension."""
    axis = array.axis(place.dim)
    steps = before[axis] if axis is not None and place.steps is None else place.steps
    whole = [max(1, steps or 1) if i == axis else max(1, n) for i, n in enumerate(array.shape)]
    if given is None:
        return tuple(whole)
    if isinstance(given, Mapping):
        strange = sorted(set(given) - set(array.dims)) if place.own else []
        if strange:
            raise ConfigError(
                "the variable has no such dimension",
                where=f"{where}.{strange[0]}",
                expected=", ".join(d or "?" for d in array.dims),
                found=strange[0],
            )
        named = [given.get(dim, before[i]) if dim is not None else before[i] for i, dim in enumerate(array.dims)]
    else:
        named = list(given)
    if len(named) != array.ndim:
        raise ConfigError(
            "chunks do not fit the variable's dimensions",
            where=where,
            expected=f"{array.ndim} lengths, for ({', '.join(d or '?' for d in array.dims)})",
            found=f"{named}",
            hint='Give the variable an entry of its own, or name the dimensions: {"lat": 100}.',
        )
    return tuple(w if n is None else int(n) for n, w in zip(named, whole, strict=True))


def _codecs(
    array: Array,
    dtype: np.dtype[Any],
    serializer: str,
    grid: RegularGrid,
    inner: tuple[int, ...] | None,
    wish: Wish,
    place: Place,
) -> CodecChain:
    """Return the codec chain of a chunk, or of a shard."""
    chain = array.unit_codecs
    if dtype != array.dtype or serializer != chain.serializer:
        if chain.foreign is not None and not {"codecs", "compressor"} & wish.keys():
            hint = "Configure codecs or a compressor too."
            raise ConfigError(
                "the slice's codecs are not known to fit another data type",
                where=place.where,
                found=chain.foreign,
                hint=hint,
            )
        chain = chain.for_dtype(dtype, serializer)
    if {"codecs", "compressor", "filters"} & wish.keys():
        chain = encoding_values.chain_of(wish, chain, dtype, serializer, inner or grid.chunks, place.where)
    if inner is None:
        return chain
    old = array.codecs.shards
    if old is not None:
        return CodecChain(endian=None, shards=replace(old, inner_shape=inner, inner=chain))
    shards = Shards(inner_shape=inner, inner=chain, index_endian="little", index_crc32c=True, index_location="end")
    return CodecChain(endian=None, shards=shards)


# -- an existing target ----------------------------------------------------------------------------------------------------


def contradiction(array: Array, wish: Wish, place: Place) -> ConfigError | None:
    """Return what is wrong if a configured encoding is not that of an existing target's array.

    Args:
        array: The target's array.
        wish: What is configured for it.
        place: Where; its ``steps`` are None.
    """
    made = tailored(array, wish, place)
    for key, expected, found in _differences(array, made):
        if key == "fill_value" and array.is_label:  # which needs none: see ``new_target``
            continue
        if key in wish or (key == "shards" and "chunks" in wish):
            return ConfigError(
                "the configuration contradicts the target",
                where=f"{place.where}.{key}",
                expected=f"{expected}, as in the target",
                found=str(found),
                hint="The target keeps its encoding: remove this setting, or make the target anew with force_new.",
            )
    return None


def _differences(here: Array, there: Array) -> Sequence[tuple[str, Any, Any]]:
    a, b = (encoding_or_bare(x.dtype, x.attributes, x.marker) for x in (here, there))
    pairs: list[tuple[str, Any, Any]] = [
        ("dtype", _type_name(here), _type_name(there)),
        ("chunks", here.units.chunks, there.units.chunks),
        ("shards", _shard_shape(here), _shard_shape(there)),
        ("scale_factor", a.packing[0], b.packing[0]),
        ("add_offset", a.packing[1], b.packing[1]),
    ]
    if a.axis != b.axis:
        pairs += [("units", a.units or "none", b.units or "none"), ("calendar", a.calendar, b.calendar)]
    pairs.append(("fill_value", _fill_name(here), _fill_name(there)))
    mine, theirs = (normal(x.unit_codecs) for x in (here, there))
    pairs += [(key, mine, theirs) for key in ("compressor", "filters", "codecs")]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _type_name(array: Array) -> str:
    names = {serializer: name for name, serializer in encoding_values.VARIABLE_TEXTS.items()}
    return names.get(array.unit_codecs.serializer, str(array.dtype))


def _shard_shape(array: Array) -> tuple[int, ...] | None:
    return array.grid.chunks if array.codecs.shards is not None else None


def _fill_name(array: Array) -> str:
    image = array.fill.image
    marked = "" if array.marker is None else ", which marks missing cells"
    return f"{array.fill.value!s}{marked}" if image is not None else f"none{marked}"
