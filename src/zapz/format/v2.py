"""Zarr v2 documents: ``.zarray``, ``.zgroup``, ``.zattrs``, and consolidated ``.zmetadata``.

Sources: Zarr v2 specification; the ``_ARRAY_DIMENSIONS`` convention of xarray; consolidated
metadata as written by zarr-python.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zapz.cf.attributes import MARKING, PACKING
from zapz.cf.encoding import is_boolean
from zapz.cf.markers import Scalar, among, is_nan, missing_values
from zapz.errors import EncodingError, MetadataError, UnsupportedError
from zapz.format import dtypes, jsontext
from zapz.format.codec_table import CODECS, is_filter, is_serializer
from zapz.format.codecs import Codec, CodecChain
from zapz.format.fields import DIMS, changed_members, dims_of, lengths, netcdf_dims, remembered
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, ChunkKeys, Dataset, FillValue, check_path, implicit_groups, join, name, parent

FORMAT = 2
ARRAY, GROUP, ATTRIBUTES, CONSOLIDATED = ".zarray", ".zgroup", ".zattrs", ".zmetadata"
NODES = (ARRAY, GROUP, ATTRIBUTES)
"""Names of the documents that describe one node."""
MARKS_BY_FILL = True
"""Readers treat cells that equal the fill value as missing."""
HAS_SHARDS = False
KEYS = ChunkKeys(style="v2", separator=".")
COMPRESSOR = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
"""Default compressor of zarr-python."""
HOLDS_ATTRIBUTES: tuple[str, jsontext.Path] = (ATTRIBUTES, ())


def read(documents: Mapping[str, bytes]) -> Dataset:
    """Read every node of a hierarchy.

    Args:
        documents: All documents as stored, by key.

    Raises:
        MetadataError: A document is invalid or contradicts itself.
        UnsupportedError: An array is valid, but zapz does not support it.
    """
    arrays: dict[str, Array] = {}
    groups: dict[str, Mapping[str, Any]] = {}
    for key in documents:
        path, kind = parent(key), name(key)
        check_path(path)
        if kind == ARRAY:
            arrays[path] = read_array(path, documents[key], documents.get(join(path, ATTRIBUTES)))
        elif kind == GROUP:
            _require_format(jsontext.parse_object(jsontext.text_of(documents[key], key), key), key)
            groups[path] = _attributes(documents.get(join(path, ATTRIBUTES)), join(path, ATTRIBUTES))
    if "" not in groups and "" not in arrays:
        groups[""] = _attributes(documents.get(ATTRIBUTES), ATTRIBUTES)
    dataset = Dataset(zarr_format=FORMAT, arrays=arrays, groups=groups, documents=dict(documents))
    for path in dataset.bounds:
        if arrays[path].assumed and "_FillValue" not in arrays[path].attributes:  # bounds are never missing
            arrays[path] = replace(arrays[path], marker=None, assumed=False)
    return dataset


def _attributes(document: bytes | None, where: str) -> dict[str, Any]:
    return {} if document is None else jsontext.parse_object(jsontext.text_of(document, where), where)


def _require_format(meta: Mapping[str, Any], where: str) -> None:
    if meta.get("zarr_format") != FORMAT:
        raise MetadataError("wrong zarr_format", where=where, expected="2", found=repr(meta.get("zarr_format")))


@remembered
def read_array(path: str, document: bytes, attributes: bytes | None) -> Array:
    """Read one array.

    Raises:
        MetadataError: A field is missing or invalid.
        UnsupportedError: Objects are stored with a codec that is not allowed.
    """
    check_path(path)
    where = join(path, ARRAY)
    meta = jsontext.parse_object(jsontext.text_of(document, where), where)
    _require_format(meta, where)
    for required in ("shape", "chunks", "dtype", "compressor", "fill_value", "order"):
        if required not in meta:
            raise MetadataError("a required field is missing", where=where, expected=required)
    shape, chunks = lengths(meta["shape"], "shape", where, least=0), lengths(meta["chunks"], "chunks", where, least=1)
    if len(shape) != len(chunks):
        raise MetadataError(
            "shape and chunks have different numbers of dimensions",
            where=where,
            expected=f"{len(shape)} dimensions",
            found=f"{len(chunks)}",
        )
    dtype, endian = dtypes.read_v2(meta["dtype"], where)
    attrs = _attributes(attributes, join(path, ATTRIBUTES))
    codecs = _chain(meta, dtype, endian, len(shape), where)
    fill = dtypes.read_fill(meta["fill_value"], dtype, where, codecs.serializer)
    array = Array(
        path=path,
        dims=dims_of(attrs.get(DIMS, netcdf_dims(shape, attrs, meta)), len(shape), join(path, ATTRIBUTES)),
        dtype=dtype,
        grid=RegularGrid(shape=shape, chunks=chunks),
        keys=ChunkKeys(style="v2", separator=_separator(meta.get("dimension_separator", "."), where)),
        codecs=codecs,
        fill=fill,
        marker=dtypes.read_marker(attrs.get("_FillValue"), dtype, join(path, ATTRIBUTES)),
        attributes={k: v for k, v in attrs.items() if k != DIMS},
    )
    return _marked(array, attrs)


def _marked(array: Array, attrs: Mapping[str, Any]) -> Array:
    """Return an array with its fill value as the marker, as in xarray.

    It is ``assumed`` if other readers may treat the fill value as a value.
    """
    fill = array.fill.value
    if fill is None:
        return array
    never_missing = array.is_label or is_boolean(array.dtype, attrs)
    if never_missing and "_FillValue" not in attrs and not is_nan(fill):
        return array
    unclear = array.dtype.kind in "iufc" and not is_nan(fill) and not _is_confirmed(array, fill, attrs)
    return replace(array, marker=fill, assumed=unclear)


def _is_confirmed(array: Array, fill: Scalar, attrs: Mapping[str, Any]) -> bool:
    """Return whether attributes state that the fill value means missing."""
    if array.marker is not None:
        return bool(array.marker == fill)
    try:
        named = missing_values(array.dtype, attrs)
    except EncodingError:  # reported where the CF encoding is read
        return False
    if named:
        return among(fill, named)
    packed = not PACKING.isdisjoint(attrs)
    return not MARKING.isdisjoint(attrs) or bool(packed and fill != 0)  # zarr-python writes 0 by default


def _separator(value: Any, where: str) -> Any:
    if value not in (".", "/"):
        raise MetadataError("unknown dimension_separator", where=where, expected="'.' or '/'", found=repr(value))
    return value


def _chain(meta: Mapping[str, Any], dtype: np.dtype[Any], endian: Any, ndim: int, where: str) -> CodecChain:
    if meta["order"] not in ("C", "F"):
        raise MetadataError("unknown order", where=where, expected="'C' or 'F'", found=repr(meta["order"]))
    if not isinstance(meta.get("filters") or [], list):
        raise MetadataError("filters is not a list", where=where, found=repr(meta["filters"])[:80])
    stages = [
        _codec(c, where)
        for c in [*(meta.get("filters") or ()), *([] if meta["compressor"] is None else [meta["compressor"]])]
    ]
    serializer, config = "bytes", "{}"
    if dtype.kind == "O" or dtype.hasobject:
        if dtype.fields is not None or not stages or not is_serializer(stages[0].id):
            raise UnsupportedError(
                "unsupported codec for objects",
                where=where,
                expected=f"one of {', '.join(sorted(filter(is_serializer, CODECS)))} as first filter",
                found=stages[0].id if stages else "no filter",
            )
        first = stages.pop(0)
        serializer, config = first.id, jsontext.dumps(dict(sorted(first.config.items())))
    order = tuple(range(ndim))[::-1] if meta["order"] == "F" and ndim > 1 else None
    return CodecChain(order=order, serializer=serializer, serializer_config=config, endian=endian, stages=tuple(stages))


def _codec(config: Any, where: str) -> Codec:
    if not isinstance(config, dict) or not isinstance(config.get("id"), str):
        raise MetadataError("codec without id", where=where, found=repr(config)[:80])
    if config["id"] == "pickle":
        raise UnsupportedError(
            "codec is not allowed", where=where, found="pickle", hint="Decoding pickle would run code from the file."
        )
    return Codec(id=config["id"], config={k: v for k, v in config.items() if k != "id"})


def write_array(array: Array, attributes: str, extra: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Return the documents of an array.

    Args:
        array: The array to describe.
        attributes: Its attributes as JSON text, without dimension names.
        extra: Further fields of ``.zarray``.

    Raises:
        UnsupportedError: v2 cannot express the codecs (sharding, a transposition that does not
            reverse the axes, foreign codecs).
    """
    chain = array.codecs
    reverse = tuple(range(array.ndim))[::-1]
    if chain.shards is not None or chain.foreign is not None or chain.order not in {None, reverse}:
        raise UnsupportedError(
            "Zarr v2 cannot store this array's codecs", where=array.path, found=chain.canonical[:120]
        )
    stages = [{"id": s.id, **_widely_known(s)} for s in chain.stages]
    packs = bool(stages) and not is_filter(str(stages[-1]["id"]))
    compressor = stages.pop() if packs else None
    filters = (
        [{"id": chain.serializer, **jsontext.parse(chain.serializer_config, "filter")}, *stages]
        if chain.serializer != "bytes"
        else stages
    )
    meta = {
        "zarr_format": FORMAT,
        "shape": list(array.shape),
        "chunks": list(array.grid.chunks),
        "dtype": dtypes.write_v2(array.dtype, chain.endian),
        "compressor": compressor,
        "fill_value": dtypes.write_fill(array.fill, array.dtype),
        "order": "C" if chain.order is None else "F",
        "filters": filters or None,
        "dimension_separator": array.keys.separator,
        **(extra or {}),
    }
    dims: dict[jsontext.Path, str] = (
        {} if all(d is None for d in array.dims) and array.dims else {(DIMS,): jsontext.dumps(list(array.dims))}
    )
    return {
        join(array.path, ARRAY): jsontext.dumps(meta, indent=2).encode(),
        join(array.path, ATTRIBUTES): jsontext.replaced(attributes, dims).encode(),
    }


def _widely_known(stage: Codec) -> Mapping[str, Any]:
    """Return the configuration of a codec without what tensorstore refuses: a default of zstd."""
    if stage.id != "zstd" or stage.config.get("checksum") is not False:
        return stage.config
    return {key: value for key, value in stage.config.items() if key != "checksum"}


def adopt(array: Array, attributes: Mapping[str, str], *, marks: bool) -> dict[str, bytes]:
    """Return the documents of an array of the other format; see ``documents.Format``.

    Raises:
        UnsupportedError: v2 cannot express the codecs.
    """
    del marks
    kept = {key: text for key, text in attributes.items() if key != "_FillValue"}
    if array.codecs.shards is not None:
        inner = array.codecs.shards
        array = replace(array, codecs=inner.inner, grid=RegularGrid(shape=array.shape, chunks=inner.inner_shape))
    if array.codecs.foreign is not None:
        raise UnsupportedError(
            "Zarr v2 cannot store this array's codecs", where=array.path, found=array.codecs.foreign[:120]
        )
    return write_array(replace(array, keys=KEYS, fill=FillValue.of(array.marker)), jsontext.joined(kept, indent=2))


def write_group(path: str, attributes: str) -> dict[str, bytes]:
    """Return the documents of a group with these attributes (JSON text)."""
    documents = {join(path, GROUP): jsontext.dumps({"zarr_format": FORMAT}, indent=2).encode()}
    if attributes.strip() not in {"", "{}"}:
        documents[join(path, ATTRIBUTES)] = attributes.encode()
    return documents


def attributes_text(documents: Mapping[str, bytes], path: str) -> str:
    """Return the JSON text of a node's attributes, without dimension names."""
    document = documents.get(join(path, ATTRIBUTES))
    if document is None:
        return "{}"
    text = jsontext.text_of(document, join(path, ATTRIBUTES))
    parts = {m.key: text[m.start : m.end] for m in jsontext.members(text) if m.key != DIMS}
    return jsontext.joined(parts, indent=2)


def with_attributes(_: Mapping[str, bytes], path: str, attributes: str) -> dict[str, bytes]:
    """Return the changed document of a group whose attributes become this JSON text."""
    return {join(path, ATTRIBUTES): attributes.encode()}


def set_attributes(documents: Mapping[str, bytes], path: str, values: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the changed document of a node with these attributes set; nothing if equal."""
    key = join(path, ATTRIBUTES)
    text = jsontext.text_of(documents[key], key) if key in documents else "{}"
    return changed_members(key, text, jsontext.parse_object(text, key), (), values)


def regrid(
    documents: Mapping[str, bytes], path: str, shape: tuple[int, ...], chunks: tuple[int, ...] | None = None
) -> dict[str, bytes]:
    """Return the changed document of an array with a new shape, and new chunks if given."""
    key = join(path, ARRAY)
    values: dict[jsontext.Path, str] = {("shape",): jsontext.dumps(list(shape))}
    if chunks is not None:
        values[("chunks",)] = jsontext.dumps(list(chunks))
    return {key: jsontext.replaced(jsontext.text_of(documents[key], key), values).encode()}


def hides(array: Array, value: Any) -> bool:
    """Return whether xarray treats this label as missing, because it is the fill value."""
    return hides_some(array) and bool(array.fill.value == value)


def hides_some(array: Array) -> bool:
    """Return whether xarray alone treats some value as missing, except NaN."""
    return (array.marker is None or array.assumed) and array.fill.value is not None and not is_nan(array.fill.value)


def without_fill(documents: Mapping[str, bytes], path: str) -> dict[str, bytes]:
    """Return the changed document of an array without a fill value, so that no cell is missing."""
    key = join(path, ARRAY)
    return {key: jsontext.replaced(jsontext.text_of(documents[key], key), {("fill_value",): "null"}).encode()}


def consolidate(documents: Mapping[str, bytes], *, create: Collection[str]) -> dict[str, bytes]:
    """Return consolidated metadata, refreshed, and added at the roots ``create``.

    Each entry has its document's own text. So a stale entry is corrected, and no number is
    re-serialised.

    Raises:
        MetadataError: The existing consolidated metadata are invalid.
    """
    changed: dict[str, bytes] = {}
    roots = {parent(key) for key in documents if name(key) == CONSOLIDATED} | {*create}
    for root in roots:
        prefix = f"{root}/" if root else ""
        nodes = {k.removeprefix(prefix): d for k, d in documents.items() if k.startswith(prefix) and name(k) in NODES}
        there = {parent(k) for k in nodes if name(k) in {ARRAY, GROUP}}
        for group in implicit_groups(there, there):  # readers need an entry for every group
            nodes |= write_group(group, "{}")
        old = documents.get(join(root, CONSOLIDATED))
        changed[join(root, CONSOLIDATED)] = _consolidated(nodes, old, join(root, CONSOLIDATED)).encode()
    return changed


def _consolidated(nodes: Mapping[str, bytes], old: bytes | None, where: str) -> str:
    order: list[str] = []
    parts: dict[str, str] = {"metadata": "", "zarr_consolidated_format": "1"}
    if old is not None:
        text = jsontext.text_of(old, where)
        if isinstance(jsontext.parse_object(text, where).get("metadata"), dict):
            found = {m.key: m for m in jsontext.members(text)}
            parts = {key: text[m.start : m.end] for key, m in found.items()}
            order = [m.key for m in jsontext.members(text, found["metadata"].start)]
    keys = [k for k in order if k in nodes] + sorted(k for k in nodes if k not in set(order))
    parts["metadata"] = jsontext.joined({k: jsontext.text_of(nodes[k], k) for k in keys}, indent=4)
    return jsontext.joined(parts, indent=4)
