"""What a new target is like, after its first slice and the configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zapz.config.settings import Config
from zapz.errors import UnsupportedError
from zapz.format import documents as doors
from zapz.format import jsontext, v2, v3
from zapz.format.attributes import retext
from zapz.format.codecs import FILTERS, CodecChain
from zapz.format.dtypes import has_attribute, write_marker
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, ChunkKeys, Dataset, FillValue, implicit_groups, name, parent
from zapz.planning.compatibility import SMALL_STEP
from zapz.planning.configured_variables import check_units, described, least_of, missing_variables

Wish = Mapping[str, Any]
"""An encoding as it is configured: the keys that were given."""
_IMPLIED = ("NaN", int(np.iinfo(np.int64).min))
"""Markers that come with a data type, where nobody chose one: of floating-point numbers, and of times as integers."""


def new_target(slice_: Dataset, config: Config, encodings: Mapping[str, Wish] | None = None) -> Dataset:
    """Return the form of a new target: the first slice's, with length 0 along the append dimension.

    Format, codecs, chunks, attributes, groups and unknown metadata keys are the slice's; small variables get long chunks; the
    configuration overrides: a variable's own entry, then ``"*"``, then what the slice itself wishes.

    Args:
        slice_: The first slice.
        config: Settings.
        encodings: What the slice wishes for its variables, if it was never stored: as a configuration would say it.

    Raises:
        ConfigError: A configured encoding makes no sense for its variable.
        UnsupportedError: The wished format cannot say what the slice says.
        VariableError: A configured variable is missing.
    """
    wanted = config.zarr_format or slice_.zarr_format
    source, target = doors.of(slice_.zarr_format), doors.of(wanted)
    documents: dict[str, bytes] = {}
    for path, array in slice_.arrays.items():
        if wanted == slice_.zarr_format:
            mine = {
                key: data for key, data in slice_.documents.items() if parent(key) == path and name(key) in target.NODES
            }
        else:
            text = source.attributes_text(slice_.documents, path)
            mine = _translated(array, text, wanted, config)
        hints = (encodings or {}).get(path, {})
        documents |= _formed(path, mine, wanted, config, hints, certain=path in slice_.bounds)
    for array in missing_variables(slice_, config):
        mine = target.write_array(array, jsontext.dumps(dict(array.attributes)))
        documents |= _formed(array.path, mine, wanted, config, {"fill_value": least_of(array.dtype)}, misses=True)
    keep = config.attrs_update_mode != "ignore"
    for path in implicit_groups(_arrays_in(documents), slice_.groups):
        documents |= target.write_group(path, "{}")
    for path in slice_.groups:
        documents |= target.write_group(path, source.attributes_text(slice_.documents, path) if keep else "{}")
        if wanted == slice_.zarr_format and keep:
            documents |= {k: d for k, d in slice_.documents.items() if parent(k) == path and name(k) in target.NODES}
    if wanted == v3.FORMAT:
        documents = {key: _without_consolidated(data, key) for key, data in documents.items()}
    return doors.read(documents)


def _arrays_in(documents: Mapping[str, bytes]) -> set[str]:
    return {parent(key) for key in documents if name(key) in {v2.ARRAY, v3.NODE}}


def _formed(
    path: str,
    mine: dict[str, bytes],
    wanted: int,
    config: Config,
    hints: Wish,
    *,
    misses: bool = False,
    certain: bool = False,
) -> dict[str, bytes]:
    """Return an array's documents with the encoding and attributes that are configured, and length 0.

    ``misses`` says that nobody has given its values, ``certain`` that none of them can be missing.
    """
    door, settings = doors.of(wanted), config.variable(path)
    array: Array = doors.read(mine).arrays[path]
    axis = array.axis(config.append_dim)
    wish = {**hints, **settings.encoding} if misses else _merged(hints, settings.encoding)
    made = array
    marks = bool(wish.pop("marks", False)) and "fill_value" not in settings.encoding
    if wish:
        from zapz.planning.encoding import Place, names_own, tailored  # imported where used: most targets do without

        steps = array.shape[axis] if axis is not None else None
        own = names_own(config.variables, path)
        made = tailored(
            array,
            wish,
            Place(
                zarr_format=wanted,
                dim=config.append_dim,
                steps=steps,
                where=_where(path),
                marks=misses or marks,
                own=own,
            ),
        )
    if settings.attrs:
        check_units(array, settings.attrs, path)
        made = replace(made, attributes={**made.attributes, **described(settings.attrs, path)})
    chunks = None if "chunks" in settings.encoding else _label_chunks(made, axis, config)
    if axis is not None:
        shape = tuple(0 if i == axis else n for i, n in enumerate(made.shape))
        made = replace(made, grid=RegularGrid(shape=shape, chunks=chunks or made.grid.chunks))
    if wish or settings.attrs:
        text = retext(door.attributes_text(mine, path), made.attributes)
        mine = _renewed(mine, door.write_array(made, text))
    elif axis is not None:
        mine = {**mine, **door.regrid(mine, path, made.shape, chunks)}
    never_missing = array.is_label or (certain and "fill_value" not in settings.encoding)
    if wanted == v2.FORMAT and never_missing and v2.hides_some(made):
        mine |= v2.without_fill(mine, path)
    return mine


def _merged(hints: Wish, configured: Wish) -> dict[str, Any]:
    """Lay what is configured over what the slice wishes.

    Of two ways to name codecs the configured one counts, and a configured data type comes without the marker of another.
    """
    dropped = {"fill_value"} if "dtype" in configured and hints.get("fill_value") in _IMPLIED else set()
    if str(configured.get("dtype", "")).startswith(("datetime64", "timedelta64")):
        dropped |= {"units", "calendar"}
    hints = {key: value for key, value in hints.items() if key not in dropped}
    if {"codecs", "compressor", "filters"} & configured.keys():
        either = {"compressor", "filters"} if "codecs" in configured else {"codecs"}
        hints = {key: value for key, value in hints.items() if key not in either}
    return {**hints, **configured}


def _renewed(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return new documents that keep the members of the old ones that zapz knows nothing about."""
    result = dict(new)
    for key in old.keys() & new.keys():
        if name(key) != v2.ATTRIBUTES:
            text = jsontext.text_of(new[key], key)
            members: dict[jsontext.Path, str] = {(m.key,): text[m.start : m.end] for m in jsontext.members(text)}
            result[key] = jsontext.replaced(jsontext.text_of(old[key], key), members).encode()
    return result


def _where(path: str) -> str:
    return f"variables.{path}.encoding"


def _without_consolidated(data: bytes, key: str) -> bytes:
    """Empty what a slice says about all its nodes: a new target's is written from its own documents."""
    text = jsontext.text_of(data, key)
    if "consolidated_metadata" not in jsontext.parse_object(text, key):
        return data
    return jsontext.replaced(text, {("consolidated_metadata",): "null"}).encode()


def _label_chunks(array: Array, axis: int | None, config: Config) -> tuple[int, ...] | None:
    """Return longer chunks for a small variable, so that a long series is not one file per label; None to keep the slice's."""
    least = config.label_chunk
    chunks = array.grid.chunks
    if axis is None or isinstance(least, str) or array.codecs.shards is not None or array.codecs.foreign is not None:
        return None
    if array.step_bytes(axis) > SMALL_STEP or chunks[axis] >= least:
        return None
    return tuple(least if i == axis else c for i, c in enumerate(chunks))


def _translated(array: Array, attributes: str, wanted: int, config: Config) -> dict[str, bytes]:
    """Return an array's documents in the other format.

    For readers a v2 fill value is also the missing marker and a v3 one is not, so the marker moves between the two places.
    """
    members = {m.key: attributes[m.start : m.end] for m in jsontext.members(attributes)}
    if wanted == v3.FORMAT:
        marks = not (array.assumed and config.v2_fill_value == "value")
        if marks and has_attribute(array.marker, array.dtype):
            members["_FillValue"] = jsontext.dumps(write_marker(array.marker, array.dtype))
        array = replace(array, keys=ChunkKeys(style="default", separator="/"), codecs=_readable(array.codecs))
        return v3.write_array(array, jsontext.joined(members, indent=2))
    members.pop("_FillValue", None)
    if array.codecs.shards is not None:
        inner = array.codecs.shards
        array = replace(array, codecs=inner.inner, grid=RegularGrid(shape=array.shape, chunks=inner.inner_shape))
    if array.codecs.foreign is not None:
        raise UnsupportedError(
            "Zarr v2 cannot store this array's codecs", where=array.path, found=array.codecs.foreign[:120]
        )
    array = replace(array, keys=ChunkKeys(style="v2", separator="."), fill=FillValue.of(array.marker))
    return v2.write_array(array, jsontext.joined(members, indent=2))


def _readable(chain: CodecChain) -> CodecChain:
    """Return a chain that zarr-python reads in v3: there it takes array filters over big-endian bytes for little-endian (3.1.6)."""
    if chain.endian != "big" or not any(stage.id in FILTERS for stage in chain.stages):
        return chain
    stages = tuple(
        replace(
            stage,
            config={
                k: v.replace(">", "<") if k.endswith("type") and isinstance(v, str) else v
                for k, v in stage.config.items()
            },
        )
        for stage in chain.stages
    )
    return replace(chain, endian="little", stages=stages)
