"""Parse configured encodings: data types, codec chains of either form, fill values.

``compressor`` and ``filters`` have the form of Zarr v2 (numcodecs configurations), ``codecs`` that
of Zarr v3 (named configurations). Both forms are read for both formats. Whether the target's format
can express the chain is checked when it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zapz.config.array_encoding import UNSET, ArrayEncoding
from zapz.errors import ConfigError, MetadataError, UnsupportedError, ZapzError
from zapz.format import codecs, dtypes, v3_codecs
from zapz.format.codec_table import CODECS, is_filter
from zapz.format.codecs import Codec, CodecChain
from zapz.format.metadata import FillValue

VARIABLE_TEXTS = {"string": "vlen-utf8", "bytes": "vlen-bytes"}
"""Serializers of the configurable data types of variable length."""


def dtype_of(text: str, where: str) -> tuple[np.dtype[Any], str]:
    """Return a configured data type, and the serializer that its items need.

    Raises:
        ConfigError: The data type is unknown.
    """
    if text in VARIABLE_TEXTS:
        return np.dtype(object), VARIABLE_TEXTS[text]
    try:
        dtype = np.dtype(text)
    except TypeError as error:
        hint = 'For example: "int16", "float32", "bool", "string", "U8", "datetime64[s]".'
        raise ConfigError("unknown data type", where=where, found=repr(text), hint=hint) from error
    if dtype.kind not in "biufcUSmM" or not dtype.itemsize:
        expected = "a number, bool, text of fixed or variable length, datetime64 or timedelta64"
        raise ConfigError("unknown data type", where=where, expected=expected, found=repr(text))
    return dtype.newbyteorder("="), "bytes"


def fill_of(value: Any, dtype: np.dtype[Any], serializer: str, where: str) -> FillValue:
    """Return a configured fill value as one of the data type; undefined for None.

    Raises:
        ConfigError: The value is not valid for the data type.
    """
    limits = np.iinfo(dtype) if dtype.kind in "iu" else None
    found, what = repr(value), "the fill value does not fit the data type"
    if limits is not None and isinstance(value, int | float) and not limits.min <= value <= limits.max:
        expected = f"{limits.min} to {limits.max} ({dtype})"
        raise ConfigError(what, where=where, expected=expected, found=found)
    if value is not None and dtype.kind in "USO":
        return FillValue.of(_text(value, dtype, serializer, where))
    try:
        with np.errstate(over="ignore"):
            fill = dtypes.read_fill(value, dtype, where, serializer)
    except (MetadataError, OverflowError) as error:
        hint = "Use a value of the stored data type."
        raise ConfigError(what, where=where, expected=f"a {dtype}", found=found, hint=hint) from error
    parts = value if isinstance(value, list | tuple) else [value]
    if (
        dtype.kind in "fc"
        and fill.value is not None
        and np.isinf(fill.value)
        and all(isinstance(part, int | float) for part in parts)
    ):
        raise ConfigError(what, where=where, expected=f"a finite {dtype}", found=found)
    return fill


def _text(value: Any, dtype: np.dtype[Any], serializer: str, where: str) -> Any:
    """Return text as a fill value: as UTF-8 bytes if bytes are stored."""
    stored: Any = value
    if dtype.kind == "S" or serializer == "vlen-bytes":
        try:
            stored = value.encode() if isinstance(value, str) else value
        except UnicodeEncodeError as error:
            what = "the fill value does not fit the data type"
            raise ConfigError(what, where=where, expected="text that UTF-8 can encode", found=repr(value)) from error
    length = dtype.itemsize // (4 if dtype.kind == "U" else 1)
    if not isinstance(value, str | bytes) or (dtype.kind in "US" and len(stored) > length):
        expected = (
            f"text of at most {length} {'bytes' if dtype.kind == 'S' else 'characters'}"
            if dtype.kind in "US"
            else "text"
        )
        raise ConfigError(
            "the fill value does not fit the data type", where=where, expected=expected, found=repr(value)
        )
    return stored if dtype.kind == "O" else np.asarray(stored, dtype)[()]


def chain_of(
    encoding: ArrayEncoding, base: CodecChain, dtype: np.dtype[Any], serializer: str, chunks: Sequence[int], where: str
) -> CodecChain:
    """Return the codec chain of one unit for a configured encoding.

    Args:
        encoding: May have ``compressor`` and ``filters``, or ``codecs``; what is not set is taken
            from the base.
        base: The present chain of the unit; its stages must already fit ``dtype``.
        dtype: Data type, in native byte order.
        serializer: Codec that turns items into bytes.
        chunks: Shape of the unit, in cells.
        where: Path of the settings, for messages.

    Raises:
        ConfigError: A codec is unknown, or does not work with its configuration.
    """
    if encoding.codecs is not UNSET:
        chain = _named(encoding.codecs, dtype, serializer, chunks, f"{where}.codecs")
    else:
        packed = _compresses(base.stages)
        filters = base.stages[:-1] if packed else base.stages
        compressor = base.stages[-1:] if packed else ()
        if encoding.filters is not UNSET:
            filters = tuple(_stage(c, f"{where}.filters") for c in encoding.filters or ())
            if filters and filters[0].id == serializer != "bytes":
                filters = filters[1:]  # in v2, the serializer of strings is the first filter
        if encoding.compressor is not UNSET:
            compressor = () if encoding.compressor is None else (_stage(encoding.compressor, f"{where}.compressor"),)
        chain = replace(base, serializer=serializer, stages=(*filters, *compressor), foreign=None, shards=None)
    for stage in chain.stages:
        _check_filter(stage, dtype, where)
    if chain.strict != base.strict:
        _try(chain, dtype, chunks, where)
    return chain


def _check_filter(stage: Codec, dtype: np.dtype[Any], where: str) -> None:
    """Refuse a filter configured for another data type: other readers rely on its configuration."""
    name = "decode_dtype" if stage.id == "astype" else "dtype"
    given = stage.config.get(name)
    if is_filter(stage.id) and isinstance(given, str) and np.dtype(given).newbyteorder("=") != dtype:
        raise ConfigError(
            "filter is configured for another data type",
            where=f"{where}.filters, {stage.id}",
            expected=f"{name} {dtype}",
            found=given,
            hint="Configure it for the stored data type.",
        )


def _compresses(stages: Sequence[Codec]) -> bool:
    """Return whether the last stage is a compressor in the sense of v2."""
    return bool(stages) and not is_filter(stages[-1].id)


def _stage(config: Mapping[str, Any], where: str) -> Codec:
    codec = Codec(id=config["id"], config={key: value for key, value in config.items() if key != "id"})
    if codec.id not in CODECS:
        raise ConfigError("unknown codec", where=where, expected=", ".join(sorted(CODECS)), found=repr(codec.id))
    return codec


def _named(
    configured: Sequence[Any], dtype: np.dtype[Any], serializer: str, chunks: Sequence[int], where: str
) -> CodecChain:
    try:
        named = [v3_codecs.named(codec, where) for codec in configured]
        if all(name not in {"bytes", "vlen-utf8", "vlen-bytes", "sharding_indexed"} for name, _ in named):
            kinds = [v3_codecs.is_array_filter(name) or name == "transpose" for name, _ in named]
            place = kinds.index(False) if False in kinds else len(kinds)
            named.insert(place, (serializer, {}))  # the array-to-bytes codec may be left out
        chain = v3_codecs.read_chain(named, dtype, serializer, tuple(chunks), where)
    except MetadataError as error:
        raise ConfigError(error.what, where=where, expected=error.expected, found=error.found) from error
    if chain.shards is not None:
        hint = "Set the shape of a shard in `shards`, and the codecs of its inner chunks here."
        raise ConfigError("sharding is not configured as a codec", where=where, hint=hint)
    if chain.foreign is not None:
        expected = "codecs of Zarr v3 or numcodecs that zapz can run, array filters first"
        raise ConfigError("unknown codec", where=where, expected=expected, found=", ".join(name for name, _ in named))
    return chain


def _try(chain: CodecChain, dtype: np.dtype[Any], chunks: Sequence[int], where: str) -> None:
    """Encode and decode a few cells, to find invalid parameters before anything is written."""
    shape = tuple(min(n, 2) for n in chunks)
    cells = np.full(
        shape, "abc" if chain.serializer == "vlen-utf8" else b"abc" if dtype.kind == "O" else 0, dtype=dtype
    )
    try:
        again = codecs.decode(chain, dtype, shape, codecs.encode(chain, dtype, cells))
        if again.shape != shape:
            raise UnsupportedError("codecs change the shape", expected=str(shape), found=str(again.shape))
    except (ZapzError, ValueError, TypeError, KeyError, RuntimeError) as error:
        found = f"{', '.join(stage.id for stage in chain.stages)}: {error}"
        raise ConfigError(
            "codec does not work with this configuration", where=where, found=found, hint="Correct its parameters."
        ) from error
