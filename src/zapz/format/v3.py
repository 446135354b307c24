"""Zarr v3 documents: ``zarr.json`` of arrays and groups, with inline consolidated metadata.

Sources: Zarr v3 core specification 3.0 and 3.1, and its codec specifications; consolidated metadata
as written by zarr-python.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zapz.errors import MetadataError, UnsupportedError
from zapz.format import dtypes, jsontext
from zapz.format.codec_table import is_filter
from zapz.format.codecs import CodecChain
from zapz.format.fields import DIMS, changed_members, dims_of, lengths, netcdf_dims, remembered
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, ChunkKeys, Dataset, FillValue, check_path, implicit_groups, join, parent
from zapz.format.v3_codecs import named, read_chain, write_chain

FORMAT = 3
NODE = "zarr.json"
NODES = (NODE,)
"""Names of the documents that describe one node."""
MARKS_BY_FILL = False
HAS_SHARDS = True
KEYS = ChunkKeys(style="default", separator="/")
COMPRESSOR = {"id": "zstd", "level": 0}
"""Default compressor of zarr-python."""
HOLDS_ATTRIBUTES: tuple[str, jsontext.Path] = (NODE, ("attributes",))

_ARRAY_FIELDS = frozenset(
    [
        "zarr_format",
        "node_type",
        "shape",
        "data_type",
        "chunk_grid",
        "chunk_key_encoding",
        "fill_value",
        "codecs",
        "attributes",
        "dimension_names",
        "storage_transformers",
    ]
)
_GROUP_FIELDS = frozenset(("zarr_format", "node_type", "attributes", "consolidated_metadata"))


def read(documents: Mapping[str, bytes]) -> Dataset:
    """Read every node of a hierarchy.

    Args:
        documents: All documents as stored, by key.

    Raises:
        MetadataError: A document is invalid or contradicts itself.
        UnsupportedError: A feature is valid, but zapz does not support it.
    """
    arrays: dict[str, Array] = {}
    groups: dict[str, Mapping[str, Any]] = {}
    for key, document in documents.items():
        path = parent(key)
        check_path(path)
        node = _read_node(path, document)
        if isinstance(node, Array):
            arrays[path] = node
        else:
            groups[path] = node
    if "" not in groups and "" not in arrays:
        groups[""] = {}
    return Dataset(zarr_format=FORMAT, arrays=arrays, groups=groups, documents=dict(documents))


@remembered
def _read_node(path: str, document: bytes) -> Array | Mapping[str, Any]:
    """Read an array, or the attributes of a group."""
    where = join(path, NODE)
    meta = jsontext.parse_object(jsontext.text_of(document, where), where)
    _require_format(meta, where)
    return _read_array(path, meta, where) if meta.get("node_type") == "array" else _read_group(meta, where)


def _require_format(meta: Mapping[str, Any], where: str) -> None:
    if isinstance(meta.get("zarr_format"), str) or "metadata_encoding" in meta:
        raise UnsupportedError(
            "the Zarr v3 layout of before 2023 is not supported",
            where=where,
            hint="Rewrite the dataset with a current version of zarr-python.",
        )
    if meta.get("zarr_format") != FORMAT:
        raise MetadataError("wrong zarr_format", where=where, expected="3", found=repr(meta.get("zarr_format")))


def _understood(meta: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for field, value in meta.items():
        if field not in known and not (isinstance(value, dict) and value.get("must_understand") is False):
            raise UnsupportedError(
                "unknown metadata field that must be understood",
                where=where,
                found=field,
                hint="The field may belong to a newer Zarr extension, which zapz does not support.",
            )


def _read_group(meta: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    if meta.get("node_type") != "group":
        raise MetadataError(
            "unknown node_type", where=where, expected="'array' or 'group'", found=repr(meta.get("node_type"))
        )
    _understood(meta, _GROUP_FIELDS, where)
    return _attributes(meta, where)


def _attributes(meta: Mapping[str, Any], where: str) -> dict[str, Any]:
    attributes = meta.get("attributes", {})
    if not isinstance(attributes, dict):
        raise MetadataError("attributes are not an object", where=where, found=repr(attributes)[:80])
    return attributes


def read_array(path: str, document: bytes) -> Array:
    """Read one array from its ``zarr.json``.

    Raises:
        MetadataError: A field is missing or invalid.
        UnsupportedError: zapz does not support a field, grid, transformer or type.
    """
    where = join(path, NODE)
    meta = jsontext.parse_object(jsontext.text_of(document, where), where)
    _require_format(meta, where)
    return _read_array(path, meta, where)


def _read_array(path: str, meta: Mapping[str, Any], where: str) -> Array:
    check_path(path)
    for required in ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs"):
        if required not in meta:
            raise MetadataError("a required field is missing", where=where, expected=required)
    _understood(meta, _ARRAY_FIELDS, where)
    if meta.get("storage_transformers"):
        raise UnsupportedError(
            "storage transformers are not supported", where=where, found=repr(meta["storage_transformers"])[:80]
        )
    shape = lengths(meta["shape"], "shape", where, least=0)
    grid_name, grid = named(meta["chunk_grid"], where)
    if grid_name != "regular":
        raise UnsupportedError("chunk grid is not regular", where=where, found=grid_name)
    chunks = lengths(grid.get("chunk_shape"), "chunk_shape", where, least=1)
    if len(shape) != len(chunks):
        raise MetadataError(
            "shape and chunk_shape disagree", where=where, expected=f"{len(shape)} axes", found=f"{len(chunks)}"
        )
    dtype, serializer = dtypes.read_v3(meta["data_type"], where)
    attributes = _attributes(meta, where)
    codecs = meta["codecs"]
    if not isinstance(codecs, list) or not codecs:
        raise MetadataError("invalid codecs", where=where, expected="a list", found=repr(codecs)[:80])
    dims = meta.get("dimension_names")
    if dims is None:
        dims = attributes.get(DIMS, netcdf_dims(shape, attributes))
    return Array(
        path=path,
        dims=dims_of(dims, len(shape), where),
        dtype=dtype,
        grid=RegularGrid(shape=shape, chunks=chunks),
        keys=_keys(meta["chunk_key_encoding"], where),
        codecs=read_chain([named(c, where) for c in codecs], dtype, serializer, chunks, where),
        fill=dtypes.read_fill(meta["fill_value"], dtype, where, serializer),
        marker=dtypes.read_marker(attributes.get("_FillValue"), dtype, where),
        attributes={k: v for k, v in attributes.items() if k != DIMS},
    )


def _keys(value: Any, where: str) -> ChunkKeys:
    style, config = named(value, where)
    if style not in {"default", "v2"}:
        raise UnsupportedError("unknown chunk key encoding", where=where, found=style)
    separator = config.get("separator", "/" if style == "default" else ".")
    if config.keys() - {"separator"} or separator not in ("/", "."):
        raise MetadataError(
            "unknown separator of chunk keys", where=where, expected="'.' or '/'", found=repr(dict(config))[:80]
        )
    return ChunkKeys(style=style, separator=separator)  # type: ignore[arg-type]


def write_array(array: Array, attributes: str, extra: Mapping[str, Any] | None = None) -> dict[str, bytes]:
    """Return the document of an array with these attributes (JSON text).

    Raises:
        UnsupportedError: v3 cannot express the data type or a codec.
    """
    codecs = write_chain(array.codecs)
    for codec in codecs:
        if codec["name"] == "blosc":
            codec["configuration"]["typesize"] = array.dtype.itemsize if array.codecs.serializer == "bytes" else 1
    fill = dtypes.write_fill(array.fill, array.dtype)
    meta = {
        "zarr_format": FORMAT,
        "node_type": "array",
        "shape": list(array.shape),
        "data_type": dtypes.write_v3(array.dtype, array.unit_codecs.serializer),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(array.grid.chunks)}},
        "chunk_key_encoding": {"name": array.keys.style, "configuration": {"separator": array.keys.separator}},
        "fill_value": _default_fill(array.dtype) if fill is None else fill,
        "codecs": codecs,
        "attributes": {},
        **({} if all(d is None for d in array.dims) and array.dims else {"dimension_names": list(array.dims)}),
        "storage_transformers": [],
        **(extra or {}),
    }
    text = jsontext.replaced(jsontext.dumps(meta, indent=2), {("attributes",): attributes.replace("\n", "\n  ")})
    return {join(array.path, NODE): text.encode()}


def _default_fill(dtype: np.dtype[Any]) -> Any:
    """Return what zarr-python reads for v2 ``null``: v3 has no undefined fill value."""
    return dtypes.write_fill(FillValue.of(dtypes.undefined(dtype)), dtype)


def adopt(array: Array, attributes: Mapping[str, str], *, marks: bool) -> dict[str, bytes]:
    """Return the document of an array of the other format; see ``documents.Format``."""
    parts = dict(attributes)
    if marks and dtypes.has_attribute(array.marker, array.dtype):
        parts["_FillValue"] = jsontext.dumps(dtypes.write_marker(array.marker, array.dtype))
    return write_array(replace(array, keys=KEYS, codecs=_readable(array.codecs)), jsontext.joined(parts, indent=2))


def _readable(chain: CodecChain) -> CodecChain:
    """Return a chain that zarr-python 3.1.6 reads correctly.

    With array filters, it treats big-endian bytes as little-endian.
    """
    if chain.endian != "big" or not any(is_filter(stage.id) for stage in chain.stages):
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


def write_group(path: str, attributes: str) -> dict[str, bytes]:
    """Return the document of a group with these attributes (JSON text)."""
    text = jsontext.dumps({"attributes": {}, "zarr_format": FORMAT, "node_type": "group"}, indent=2)
    return {join(path, NODE): jsontext.replaced(text, {("attributes",): attributes.replace("\n", "\n  ")}).encode()}


def attributes_text(documents: Mapping[str, bytes], path: str) -> str:
    """Return the JSON text of a node's attributes, without dimension names."""
    key = join(path, NODE)
    if key not in documents:
        return "{}"
    text = jsontext.text_of(documents[key], key)
    member = next((m for m in jsontext.members(text) if m.key == "attributes"), None)
    if member is None:
        return "{}"
    parts = {m.key: text[m.start : m.end] for m in jsontext.members(text, member.start) if m.key != DIMS}
    return jsontext.joined(parts, indent=2)


def with_attributes(documents: Mapping[str, bytes], path: str, attributes: str) -> dict[str, bytes]:
    """Return the changed document of a group whose attributes become this JSON text."""
    key = join(path, NODE)
    if key not in documents:
        return write_group(path, attributes)
    text = jsontext.text_of(documents[key], key)
    return {key: jsontext.replaced(text, {("attributes",): attributes.replace("\n", "\n  ")}).encode()}


def set_attributes(documents: Mapping[str, bytes], path: str, values: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the changed document of a node with these attributes set; nothing if equal."""
    key = join(path, NODE)
    text = jsontext.text_of(documents[key] if key in documents else write_group(path, "{}")[key], key)
    old = jsontext.parse_object(text, key).get("attributes")
    if not isinstance(old, dict):
        text, old = jsontext.replaced(text, {("attributes",): "{}"}), {}
    return changed_members(key, text, old, ("attributes",), values)


def regrid(
    documents: Mapping[str, bytes], path: str, shape: tuple[int, ...], chunks: tuple[int, ...] | None = None
) -> dict[str, bytes]:
    """Return the changed document of an array with a new shape, and new chunks if given."""
    key = join(path, NODE)
    values: dict[tuple[str, ...], str] = {("shape",): jsontext.dumps(list(shape))}
    if chunks is not None:
        values[("chunk_grid", "configuration", "chunk_shape")] = jsontext.dumps(list(chunks))
    return {key: jsontext.replaced(jsontext.text_of(documents[key], key), values).encode()}


def hides(array: Array, value: Any) -> bool:  # noqa: ARG001 - the same for all arrays and values
    """Return False: a v3 fill value is never missing."""
    return False


def hides_some(array: Array) -> bool:  # noqa: ARG001 - the same for all arrays
    """Return False: a v3 fill value is never missing."""
    return False


def without_fill(documents: Mapping[str, bytes], path: str) -> dict[str, bytes]:  # noqa: ARG001 - nothing changes
    """Return nothing: v3 requires a fill value, and no reader treats it as missing."""
    return {}


def consolidate(documents: Mapping[str, bytes], *, create: Collection[str]) -> dict[str, bytes]:
    """Return the group documents with consolidated metadata; added at the roots ``create``.

    Each entry has its document's own text. So a stale entry is corrected, and no number is
    re-serialised.

    Raises:
        MetadataError: A document is invalid.
    """
    changed: dict[str, bytes] = {}
    for key in sorted(documents, key=len, reverse=True):
        root = parent(key)
        text = jsontext.text_of(documents[key], key)
        meta = jsontext.parse_object(text, key)
        if meta.get("node_type") != "group" or not (meta.get("consolidated_metadata") or root in create):
            continue
        prefix = f"{root}/" if root else ""
        nodes = {
            parent(k).removeprefix(prefix): {**documents, **changed}[k]
            for k in documents
            if k.startswith(prefix) and k != key
        }
        changed[key] = jsontext.replaced(
            text, {("consolidated_metadata",): _consolidated(nodes, meta).replace("\n", "\n  ")}
        ).encode()
    if "" in create and NODE not in documents:
        text = write_group("", "{}")[NODE].decode()
        nodes = {parent(k): d for k, d in documents.items()}
        changed[NODE] = jsontext.replaced(
            text, {("consolidated_metadata",): _consolidated(nodes, {}).replace("\n", "\n  ")}
        ).encode()
    return changed


def _consolidated(nodes: Mapping[str, bytes], meta: Mapping[str, Any]) -> str:
    for group in implicit_groups(nodes, nodes):  # readers need an entry for every group
        nodes = {**nodes, group: write_group("", "{}")[NODE]}
    inline = meta.get("consolidated_metadata")
    old = inline.get("metadata") if isinstance(inline, dict) else None
    old = old if isinstance(old, dict) else {}
    order = [path for path in old if path in nodes] + sorted(path for path in nodes if path not in old)
    entries = jsontext.joined({path: jsontext.text_of(nodes[path], path) for path in order}, indent=2)
    return jsontext.joined({"kind": '"inline"', "must_understand": "false", "metadata": entries}, indent=2)
