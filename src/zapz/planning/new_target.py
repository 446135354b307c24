"""The form of a new target, from its first slice and the configuration. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from zapz.config.array_encoding import UNSET, ArrayEncoding
from zapz.config.settings import Config
from zapz.format import documents as doors
from zapz.format import jsontext
from zapz.format.attributes import retext
from zapz.format.grid import RegularGrid, resized
from zapz.format.metadata import Array, Dataset, implicit_groups, name, parent
from zapz.planning.compatibility import SMALL_STEP
from zapz.planning.configured_variables import check_units, described, least_of, missing_variables

_IMPLIED = ("NaN", int(np.iinfo(np.int64).min))
"""Default markers of data types: of floating-point numbers, and of times as integers."""


def new_target(slice_: Dataset, config: Config, encodings: Mapping[str, ArrayEncoding] | None = None) -> Dataset:
    """Return the form of a new target: the first slice's, with length 0 along the append dimension.

    Format, codecs, chunks, attributes, groups and unknown metadata keys are those of the slice.
    Small variables get longer chunks. The configuration overrides these: first a variable's own
    entry, then ``"*"``. The encoding that the slice itself requests comes last.

    Args:
        slice_: The first slice.
        config: Settings.
        encodings: Encodings requested by a slice that was never stored, by path of the variable.

    Raises:
        ConfigError: A configured encoding is not valid for its variable.
        UnsupportedError: The target's format cannot express the slice.
        VariableError: A configured variable is missing.
    """
    wanted = config.zarr_format or slice_.zarr_format
    source, target = doors.of(slice_.zarr_format), doors.of(wanted)
    documents: dict[str, bytes] = {}
    if slice_.pyramids:
        from zapz.format.multiscales import levels_document  # imported where used: most slices have no levels

        documents = levels_document(slice_)
    for path, array in slice_.arrays.items():
        if wanted == slice_.zarr_format:
            own = {
                key: data for key, data in slice_.documents.items() if parent(key) == path and name(key) in target.NODES
            }
        else:
            text = source.attributes_text(slice_.documents, path)
            members = {m.key: text[m.start : m.end] for m in jsontext.members(text)}
            marks = not (array.assumed and config.v2_fill_value == "value")
            own = target.adopt(array, members, marks=marks)
        hints = (encodings or {}).get(path, ArrayEncoding())
        documents |= _formed(array, own, wanted, config, hints, certain=path in slice_.bounds)
    for array in missing_variables(slice_, config):
        own = target.write_array(array, jsontext.dumps(dict(array.attributes)))
        documents |= _formed(array, own, wanted, config, ArrayEncoding(fill_value=least_of(array.dtype)), misses=True)
    keep = config.attrs_update_mode != "ignore"
    for path in implicit_groups({*_arrays_in(documents), *slice_.groups}, slice_.groups):
        documents |= target.write_group(path, "{}")
    for path in slice_.groups:
        documents |= target.write_group(path, source.attributes_text(slice_.documents, path) if keep else "{}")
        if wanted == slice_.zarr_format and keep:
            documents |= {k: d for k, d in slice_.documents.items() if parent(k) == path and name(k) in target.NODES}
    documents = {key: doors.without_consolidated(key, data) for key, data in documents.items()}
    return doors.read(documents)


def _arrays_in(documents: Mapping[str, bytes]) -> set[str]:
    return {parent(key) for key in documents if name(key) in doors.ARRAY_NAMES}


def _formed(
    source: Array,
    own: dict[str, bytes],
    wanted: int,
    config: Config,
    hints: ArrayEncoding,
    *,
    misses: bool = False,
    certain: bool = False,
) -> dict[str, bytes]:
    """Return an array's documents with the configured encoding and attributes, and length 0.

    Args:
        source: The array of the slice. If its documents do not name its dimensions, those that it
            has from its group count (OME-Zarr).
        own: Its documents in the target's format.
        wanted: Zarr format of the target.
        config: Settings.
        hints: The encoding that the slice requests.
        misses: Whether the slice lacks the array, so that it has no values.
        certain: Whether none of its values can be missing.
    """
    path = source.path
    door, settings = doors.of(wanted), config.variable(path)
    array: Array = doors.read(own).arrays[path]
    array = array if any(array.dims) else replace(array, dims=source.dims)
    axis = array.axis(config.append_dim)
    encoding = settings.encoding.over(hints) if misses else _merged(hints, settings.encoding)
    marked = settings.encoding.fill_is_marker or settings.encoding.fill_value is UNSET
    marks = misses or (encoding.fill_is_marker and marked)
    made = array
    if encoding:
        from zapz.planning.encoding import (  # imported here: most targets do not need it
            EncodingContext,
            apply_encoding,
            names_own,
        )

        context = EncodingContext(
            zarr_format=wanted,
            dim=config.append_dim,
            steps=array.shape[axis] if axis is not None else None,
            where=_where(path),
            own=names_own(config.variables, path),
        )
        made = apply_encoding(array, replace(encoding, fill_is_marker=marks), context)
    if settings.attrs:
        check_units(array, settings.attrs, path)
        made = replace(made, attributes={**made.attributes, **described(settings.attrs, path)})
    chunks = None if settings.encoding.chunks is not UNSET else _label_chunks(made, axis, config)
    if axis is not None:
        made = replace(made, grid=RegularGrid(shape=resized(made.shape, axis, 0), chunks=chunks or made.grid.chunks))
    if encoding or settings.attrs:
        text = retext(door.attributes_text(own, path), made.attributes)
        own = _renewed(own, door.write_array(made, text))
    elif axis is not None:
        own = {**own, **door.regrid(own, path, made.shape, chunks)}
    never_missing = array.is_label or (certain and settings.encoding.fill_value is UNSET)
    if never_missing and door.hides_some(made):
        own |= door.without_fill(own, path)
    return own


def _merged(hints: ArrayEncoding, configured: ArrayEncoding) -> ArrayEncoding:
    """Return the configured encoding, completed by what the slice requests.

    Codecs in the configuration replace all codecs of the slice, in either form. A configured data
    type does not keep the marker of another one.
    """
    given, dropped = configured.given, set[str]()
    if "dtype" in given and hints.fill_value in _IMPLIED:
        dropped.add("fill_value")
    if str(given.get("dtype", "")).startswith(("datetime64", "timedelta64")):
        dropped |= {"units", "calendar"}
    if {"codecs", "compressor", "filters"} & given.keys():
        dropped |= {"compressor", "filters"} if "codecs" in given else {"codecs"}
    return configured.over(hints.without(*dropped))


def _renewed(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return new documents that keep those members of the old ones that zapz does not know."""
    result = dict(new)
    for key in old.keys() & new.keys():
        if name(key) in doors.ARRAY_NAMES:
            text = jsontext.text_of(new[key], key)
            members: dict[jsontext.Path, str] = {(m.key,): text[m.start : m.end] for m in jsontext.members(text)}
            result[key] = jsontext.replaced(jsontext.text_of(old[key], key), members).encode()
    return result


def _where(path: str) -> str:
    return f"variables.{path}.encoding"


def _label_chunks(array: Array, axis: int | None, config: Config) -> tuple[int, ...] | None:
    """Return longer chunks for a small variable, or None to keep the slice's.

    Otherwise a long series would have one file per label.
    """
    least = config.label_chunk
    chunks = array.grid.chunks
    if axis is None or isinstance(least, str) or array.codecs.shards is not None or array.codecs.foreign is not None:
        return None
    if array.step_bytes(axis) > SMALL_STEP or chunks[axis] >= least:
        return None
    return tuple(least if i == axis else c for i, c in enumerate(chunks))
