"""Codec chains: one form for v2 and v3, when bytes may be copied, and how to encode and decode.

A chain turns a chunk into bytes in this order, in either format::

    array --transpose--> array --serializer (byte order, or variable-length strings)--> buffer
    --stages--> bytes

v2 ``order: F`` is a reversing transpose. v2 byte order is that of the v3 ``bytes`` codec. v2
filters and the v2 compressor are stages. So are the bytes-to-bytes codecs of v3, and its array
filters from numcodecs, whose bytes are the same.

Any other list of codecs is *foreign*: zapz copies its chunks between equal configurations, and only
zarr-python's own pipeline decodes them.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from zapz.errors import ChunkError, UnsupportedError
from zapz.format import compressors
from zapz.format.buffers import Buffer, octets
from zapz.format.codec_table import CODECS, facts, is_filter
from zapz.format.jsontext import JSON, dumps

Endian = Literal["little", "big"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """One buffer-to-buffer stage."""

    id: str
    """numcodecs id, or the v3 name of a codec that zapz does not know."""
    config: Mapping[str, JSON] = field(hash=False)
    """Its configuration as written, without added defaults."""

    @property
    def canonical(self) -> str:
        """Text that is equal for two codecs if each can decode the other's streams."""
        known = facts(self.id)
        config = {**known.defaults, **self.config}
        if known.self_describing and all(config.get(name) == value for name, value in known.described_with.items()):
            return self.id
        for name in ("dtype", "astype", "encode_dtype", "decode_dtype"):
            if isinstance(config.get(name), str):
                with contextlib.suppress(TypeError):  # a type unknown to NumPy equals only itself
                    config[name] = np.dtype(config[name]).str
        return self.id + dumps(dict(sorted(config.items())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shards:
    """The ``sharding_indexed`` codec (Zarr v3 codec specification)."""

    inner_shape: tuple[int, ...]
    """Shape of an inner chunk, in cells; it divides the shard's shape."""
    inner: CodecChain
    """Codec chain of an inner chunk."""
    index_endian: Endian
    """Byte order of the index."""
    index_crc32c: bool
    """Whether a CRC32C follows the index."""
    index_location: Literal["start", "end"]
    """Position of the index in the shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecChain:
    """The steps that turn one chunk into bytes."""

    order: tuple[int, ...] | None = None
    """Axes of the stored array, in terms of the chunk's axes (v3 ``transpose``). None if they are
    the same."""
    serializer: str = "bytes"
    """``bytes``, or the id of the codec that turns variable-length items into bytes."""
    serializer_config: str = "{}"
    """Its configuration, as JSON text."""
    endian: Endian | None = "little"
    """Byte order of stored numbers. None where byte order does not apply (one byte, opaque
    structures)."""
    stages: tuple[Codec, ...] = ()
    """Buffer-to-buffer codecs, in the order in which they encode."""
    shards: Shards | None = None
    """Set if the chunk is a shard. No other field of this chain is used then."""
    foreign: str | None = None
    """Canonical text of a chain that only zarr-python's own pipeline can decode; None for all
    others."""

    @property
    def canonical(self) -> str:
        """Text that is equal for two chains that decode the same bytes to the same cells."""
        if self.foreign is not None:
            return f"foreign {self.foreign}"
        if self.shards is not None:
            s = self.shards
            return f"shards {s.inner_shape} {s.index_endian} {s.index_crc32c} {s.index_location} [{s.inner.canonical}]"
        return f"{self.order} {self.serializer}{self.serializer_config} {self.endian} {' '.join(stage.canonical for stage in self.stages)}"

    @property
    def strict(self) -> str:
        """Like ``canonical``, but the parameters of compressors count too (for ``recompress``)."""
        if self.shards is not None:
            return f"{self.canonical} {self.shards.inner.strict}"
        return f"{self.canonical} {[(s.id, sorted(s.config.items(), key=str)) for s in self.stages]}"

    @property
    def unknown(self) -> str | None:
        """Name of a codec that zapz cannot decode itself, or None."""
        if self.foreign is not None:
            return "foreign"
        chain = self.shards.inner if self.shards is not None else self
        return next((stage.id for stage in chain.stages if stage.id not in CODECS), None) or chain.foreign

    def for_dtype(self, dtype: np.dtype[Any], serializer: str) -> CodecChain:
        """Return the chain of one unit for cells of another data type.

        Filters are left out, because they depend on the data type.
        """
        stages = () if self.foreign is not None else tuple(s for s in self.stages if not is_filter(s.id))
        endian = endian_of(dtype, self.endian or "little") if serializer == "bytes" else None
        return CodecChain(order=self.order, serializer=serializer, endian=endian, stages=stages)

    @property
    def lossy(self) -> bool:
        """Whether encoding may change values."""
        chain = self.shards.inner if self.shards is not None else self
        return any(facts(stage.id).is_lossy or _is_float_delta(stage) for stage in chain.stages)


def normal(chain: CodecChain) -> str:
    """Return a chain as text in which omitted defaults are filled in.

    Two chains with the same effective configuration have the same text.
    """
    unit = chain.shards.inner if chain.shards is not None else chain
    if unit.foreign is not None:
        return unit.foreign
    stages = []
    for stage in unit.stages:
        config = dict(stage.config)
        if stage.id in CODECS:
            config = dict(compressors.numcodec(stage.id, dumps(dict(sorted(config.items())))).get_config())
        stages.append({"id": stage.id, **{k: v for k, v in sorted(config.items()) if k not in {"id", "typesize"}}})
    return dumps([unit.order, unit.serializer, unit.endian, stages])


def _is_float_delta(stage: Codec) -> bool:
    """Return whether a stage stores differences of floats, whose sums are rounded."""
    names = (stage.config.get("dtype"), stage.config.get("astype"))
    return stage.id == "delta" and any(isinstance(n, str) and n.lstrip("<>=|")[:1] in {"f", "c"} for n in names)


def same_bytes(a: CodecChain, b: CodecChain) -> bool:
    """Return whether ``b`` decodes bytes that ``a`` wrote to the same cells.

    Chunk shapes and data types must be equal.
    """
    return a.canonical == b.canonical


def endian_of(dtype: np.dtype[Any], endian: Endian) -> Endian | None:
    """Return ``endian``, or None for types without byte order: their chains compare equal."""
    return None if dtype.itemsize == 1 or dtype.kind in "SVO" or dtype.kind == "b" else endian


def stored_dtype(chain: CodecChain, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return ``dtype`` in the byte order that the chain stores."""
    if chain.endian is None:
        return dtype
    return dtype.newbyteorder("<" if chain.endian == "little" else ">")


def decode(
    chain: CodecChain,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    data: Buffer,
    out: np.ndarray[Any, Any] | None = None,
) -> np.ndarray[Any, Any]:
    """Decode one chunk to an array of ``shape`` in native byte order.

    Args:
        chain: Codec chain of the chunk; neither sharded nor foreign.
        dtype: Data type, in native byte order.
        shape: Chunk shape, in cells.
        data: The stored bytes.
        out: C-contiguous array of the same shape and type. It is decoded into if this saves a copy.

    Returns:
        Array of ``shape``; ``out`` itself where it was used. It may be read-only.

    Raises:
        ChunkError: The bytes do not decode to exactly ``shape`` cells.
        UnsupportedError: zapz cannot run one of the codecs.
    """
    cells = math.prod(shape)
    plain = chain.serializer == "bytes"
    exact = cells * dtype.itemsize if plain else None
    direct = out if out is not None and _is_direct(chain, dtype) else None
    buffer = data
    for position in range(len(chain.stages) - 1, -1, -1):
        stage = chain.stages[position]
        _allowed(stage)
        sized = exact is not None and all(facts(s.id).keeps_length for s in chain.stages[:position])
        limit = (exact if sized else 16 * exact + 4096) if exact is not None else max(1 << 28, 4096 * cells)
        into = direct if position == 0 else None
        buffer = compressors.decode_stage(stage.id, stage.config, buffer, limit=limit, exact=bool(sized), out=into)
        if into is not None and buffer is into:
            return direct if direct is not None else out  # type: ignore[return-value]
    if not plain:
        return _shaped(_variable(chain, cells, buffer), chain.order, shape)
    array = _numbers(buffer, stored_dtype(chain, dtype), cells)
    array = _shaped(array, chain.order, shape)
    return array if array.dtype == dtype and array.dtype.isnative else array.astype(dtype)


def _is_direct(chain: CodecChain, dtype: np.dtype[Any]) -> bool:
    return (
        bool(chain.stages)
        and facts(chain.stages[0].id).into
        and chain.order is None
        and stored_dtype(chain, dtype).isnative
        and chain.serializer == "bytes"
    )


def _shaped(array: np.ndarray[Any, Any], order: tuple[int, ...] | None, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    if order is None:
        return array.reshape(shape)
    return array.reshape([shape[i] for i in order]).transpose(np.argsort(order))


def _numbers(buffer: Buffer, dtype: np.dtype[Any], cells: int) -> np.ndarray[Any, Any]:
    image = octets(buffer)
    if image.nbytes != cells * dtype.itemsize:
        raise ChunkError(
            "chunk has the wrong length", expected=f"{cells * dtype.itemsize} decoded bytes", found=f"{image.nbytes}"
        )
    return np.frombuffer(image, dtype=dtype)


def _variable(chain: CodecChain, cells: int, buffer: Buffer) -> np.ndarray[Any, Any]:
    compressors.check_items(chain.serializer, chain.serializer_config, buffer, cells)
    try:
        items = np.asarray(compressors.numcodec(chain.serializer, chain.serializer_config).decode(buffer), dtype=object)
    except Exception as error:  # numcodecs passes on any exception of its C code
        raise ChunkError("chunk cannot be decoded", expected=chain.serializer, found=str(error)) from error
    if items.size != cells:
        raise ChunkError("chunk has the wrong length", expected=f"{cells} items", found=f"{items.size}")
    return items.reshape(-1)


def encode(chain: CodecChain, dtype: np.dtype[Any], cells: np.ndarray[Any, Any]) -> Buffer:
    """Encode one full chunk.

    Args:
        chain: Codec chain of the chunk; neither sharded nor foreign.
        dtype: Data type, in native byte order.
        cells: The cells, in the shape of the chunk.

    Raises:
        ChunkError: A codec cannot encode the values.
        UnsupportedError: zapz cannot run one of the codecs.
    """
    array = cells if chain.order is None else cells.transpose(chain.order)
    if chain.serializer == "bytes":
        stored = stored_dtype(chain, dtype)
        buffer: Buffer = np.ascontiguousarray(array, dtype=stored).reshape(-1)
    else:
        try:
            buffer = compressors.numcodec(chain.serializer, chain.serializer_config).encode(
                np.ascontiguousarray(array, dtype=object).reshape(-1)
            )
        except Exception as error:  # numcodecs passes on any exception of its C code
            raise ChunkError("values cannot be encoded", expected=chain.serializer, found=str(error)) from error
    for stage in chain.stages:
        _allowed(stage)
        buffer = compressors.encode_stage(stage.id, stage.config, buffer)
    return buffer


def require_known(chain: CodecChain) -> None:
    """Check that zapz can run all codecs of a chain.

    Raises:
        UnsupportedError: It cannot.
    """
    for stage in chain.stages:
        _allowed(stage)


def _allowed(stage: Codec) -> None:
    if stage.id not in CODECS:
        raise UnsupportedError(
            "zapz cannot run this codec",
            found=stage.id,
            hint="Its chunks can only be copied. Use the same codecs, chunks and CF encoding in slice and target.",
        )


def inspect(chain: CodecChain, dtype: np.dtype[Any], cells: int, data: Buffer) -> None:
    """Check a chunk that will be copied, without decoding it.

    A raw chunk must have exactly its length. Blosc, zstd and gzip streams state their length or
    decoded size. A CRC32C is verified.

    Args:
        chain: Codec chain of the chunk.
        dtype: Data type.
        cells: Number of cells of a full chunk.
        data: The stored bytes.

    Raises:
        ChunkError: The chunk is empty, truncated or oversized, as far as this can be seen.
    """
    view = octets(data)
    if not view.nbytes:
        raise ChunkError("chunk file is empty", hint="The slice is damaged or still being written.")
    if chain.foreign is not None or chain.shards is not None:
        return
    stages = list(chain.stages)
    if stages and stages[-1].id == "crc32c" and stages[-1].config.get("location", "end") == "end":
        view = octets(compressors.decode_stage("crc32c", stages.pop().config, view, limit=view.nbytes, exact=False))
    resized = chain.serializer != "bytes" or any(not facts(s.id).keeps_length for s in stages[:-1])
    expected = None if resized else cells * dtype.itemsize
    if stages:
        compressors.inspect_stage(stages[-1].id, view, expected)
    elif expected is not None and view.nbytes != expected:
        raise ChunkError("chunk has the wrong length", expected=f"{expected} bytes", found=f"{view.nbytes}")
