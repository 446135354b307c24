"""One buffer-to-buffer stage: decode within a bound, encode, and look at a compressed stream from outside.

zlib, gzip, bz2 and lzma go through the standard library's decompressors, because those can be told a largest length; Blosc, zstd and
LZ4 say it in their header, which is checked before anything is allocated.
"""

from __future__ import annotations

import bz2
import json
import lzma
import math
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from zapz.errors import ChunkError, UnsupportedError
from zapz.format.jsontext import dumps, parse_object

Buffer = bytes | bytearray | memoryview | np.ndarray[Any, Any]

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "shuffle": {"elementsize": 4},
    "crc32": {"location": "start"},
    "adler32": {"location": "start"},
    "jenkins_lookup3": {"initval": 0, "prefix": None},
    "crc32c": {"location": "end"},
    "lzma": {"format": 1, "check": -1, "preset": None, "filters": None},
}
"""Defaults of numcodecs, so that a configuration that spells them out equals one that does not."""

_ZSTD_MAGIC = 0xFD2FB528
_BLOSC_HEADER = 16
_ZSTD_BLOCK_RLE = 1
_ZSTD_BLOCK = 1 << 17
_UNSAID = 1 << 24
"""A zstd frame that does not say what it holds may hold this much in any case, in bytes."""


@lru_cache(maxsize=128)
def numcodec(identifier: str, config: str) -> Any:
    """Return the numcodecs codec with this id and configuration (JSON text), made once."""
    from numcodecs.registry import get_codec  # imported where used: it costs more than copying a slice does

    return get_codec({**parse_object(config, "codec configuration"), "id": identifier})


def _codec(identifier: str, config: Mapping[str, Any]) -> Any:
    try:
        return numcodec(identifier, dumps(dict(config)))
    except Exception as error:  # codecs validate their configuration with every kind of exception
        raise ChunkError("codec cannot be made", found=f"{identifier} {dict(config)}: {error}") from error


def decode(
    identifier: str,
    config: Mapping[str, Any],
    data: Buffer,
    *,
    limit: int,
    exact: bool,
    out: np.ndarray[Any, Any] | None = None,
) -> Buffer:
    """Undo one stage.

    Args:
        identifier: numcodecs id.
        config: Its configuration.
        data: Encoded bytes.
        limit: Most bytes that the result may have.
        exact: Whether it must have exactly ``limit`` bytes.
        out: Decode into this array if the codec can.

    Raises:
        ChunkError: The bytes are not a stream of this codec, or hold more or less than they may.
    """
    if identifier in _DECODERS:
        result: Buffer = _bounded(identifier, config, data, limit)
    else:
        if identifier in {"blosc", "zstd", "lz4"}:
            inspect(identifier, data, limit if exact else None)
            if (size := declared(identifier, data)) is not None and size > limit:
                raise ChunkError("chunk claims to hold too much", expected=f"at most {limit} bytes", found=f"{size}")
        codec = _codec(identifier, config)
        try:
            if identifier == "zstd" and _zstd_end(octets(data)) != octets(data).nbytes:
                raise ChunkError("chunk does not decode", expected="one zstd frame", found="bytes behind it")
            if identifier == "zstd" and out is None and exact:
                out = np.empty(limit, np.uint8)  # a frame need not say how much it holds: so it cannot hold more
            if out is not None and exact and identifier in {"blosc", "zstd"}:
                codec.decode(data, out)
                return out
            result = codec.decode(data)
        except Exception as error:  # numcodecs raises whatever its C code does
            raise ChunkError(
                "chunk does not decode", expected=identifier, found=str(error) or type(error).__name__
            ) from error
    if exact and octets(result).nbytes != limit:
        raise ChunkError(
            "chunk has the wrong length", expected=f"{limit} decoded bytes", found=f"{octets(result).nbytes}"
        )
    return result


def encode(identifier: str, config: Mapping[str, Any], data: Buffer) -> Buffer:
    """Apply one stage.

    Raises:
        ChunkError: The codec refuses the data.
    """
    if identifier == "zlib":
        return zlib.compress(octets(data), int(config.get("level", 1)))
    if identifier == "gzip":
        packer = zlib.compressobj(int(config.get("level", 1)), zlib.DEFLATED, 31)
        return packer.compress(octets(data)) + packer.flush()
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # what does not survive is found by decoding it again
            result: Buffer = _codec(identifier, config).encode(data)
    except ChunkError:
        raise
    except Exception as error:  # numcodecs raises whatever its C code does
        raise ChunkError(
            "values do not encode", expected=identifier, found=str(error) or type(error).__name__
        ) from error
    return result


def octets(data: Buffer) -> memoryview:
    """Return data of any kind as a flat view of bytes, without copying what is contiguous."""
    if isinstance(data, np.ndarray):
        flat: Any = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        return memoryview(flat)
    return memoryview(data).cast("B")


def _lzma_decompressor(config: Mapping[str, Any]) -> lzma.LZMADecompressor:
    form = config.get("format", lzma.FORMAT_XZ)
    if form == lzma.FORMAT_RAW:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=config.get("filters"))
    return lzma.LZMADecompressor(form)


_DECODERS: Mapping[str, Any] = {
    "zlib": lambda _: zlib.decompressobj(),
    "gzip": lambda _: zlib.decompressobj(wbits=31),
    "bz2": lambda _: bz2.BZ2Decompressor(),
    "lzma": _lzma_decompressor,
}
_MULTIPLE = frozenset({"gzip", "bz2", "lzma"})


def _bounded(identifier: str, config: Mapping[str, Any], data: Buffer, limit: int) -> bytes:
    rest: Any = octets(data)
    parts: list[bytes] = []
    length = 0
    try:
        while True:
            decoder = _DECODERS[identifier](config)
            part = decoder.decompress(rest, limit - length + 1)
            length += len(part)
            parts.append(part)
            if length > limit:
                raise ChunkError("chunk holds too much", expected=f"at most {limit} decoded bytes", found="more")
            if not decoder.eof:
                raise ChunkError(
                    "chunk is truncated",
                    expected=f"a complete {identifier} stream",
                    found=f"{octets(data).nbytes} bytes",
                )
            rest = decoder.unused_data
            if not rest or identifier not in _MULTIPLE or (identifier == "gzip" and not rest.strip(b"\0")):
                break
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
        raise ChunkError("chunk does not decode", expected=f"a {identifier} stream", found=str(error)) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check_items(serializer: str, config: str, data: Buffer, cells: int) -> None:
    """Check how many items a chunk of variable-length items says it holds, before anything is allocated for them.

    Raises:
        ChunkError: It is not ``cells``.
    """
    view = octets(data)
    try:
        if serializer in {"vlen-utf8", "vlen-bytes"}:
            found = struct.unpack_from("<I", view, 0)[0]
        elif serializer == "json2":
            found = _items(json.loads(bytes(view).decode(parse_object(config, "json2").get("encoding", "utf-8"))))
        else:
            import msgpack

            found = _items(msgpack.unpackb(bytes(view)))
    except (struct.error, ValueError, LookupError, TypeError, RecursionError) as error:
        raise ChunkError("chunk does not decode", expected=serializer, found=str(error)) from error
    except ImportError as error:
        raise UnsupportedError(
            "codec needs a package that is not installed", found=serializer, hint="Install msgpack."
        ) from error
    if found != cells:
        raise ChunkError("chunk has the wrong length", expected=f"{cells} items", found=f"{found}")


def _items(document: Any) -> int:
    """Return the number of items of numcodecs' JSON and MsgPack layouts: the last member is the shape."""
    shape = document[-1]
    if not isinstance(shape, list) or not all(isinstance(n, int) for n in shape):
        raise TypeError("no shape")
    return math.prod(shape)


def declared(identifier: str, data: Buffer) -> int | None:
    """Return how many bytes a Blosc, zstd, LZ4 or gzip stream says it holds; None if it does not say."""
    view = octets(data)
    if identifier == "blosc" and view.nbytes >= _BLOSC_HEADER:
        return int(struct.unpack_from("<I", view, 4)[0])
    if identifier == "zstd":
        size = _zstd_frame(view)[0]
        return size if size is not None or _most(view) <= _UNSAID else _most(view)
    if identifier == "lz4" and view.nbytes > 4:  # noqa: PLR2004 - numcodecs' LZ4 begins with the length, 4 bytes
        return int(struct.unpack_from("<I", view, 0)[0])
    return None


def inspect(identifier: str, data: Buffer, expected: int | None) -> None:
    """Check what a compressed stream says about itself, undecoded.

    Raises:
        ChunkError: Its lengths contradict the file's length or the chunk's.
    """
    view = octets(data)
    if not view.nbytes:
        raise ChunkError("chunk file is empty", hint="The dataset is damaged or still being written.")
    check = _INSPECTORS.get(identifier)
    if check is not None:
        check(view, expected)


def _inspect_blosc(view: memoryview, expected: int | None) -> None:
    if view.nbytes < _BLOSC_HEADER:
        raise ChunkError("chunk is truncated", expected="a Blosc header of 16 bytes", found=f"{view.nbytes} bytes")
    size, _, stored = struct.unpack_from("<III", view, 4)
    if stored != view.nbytes:
        raise ChunkError(
            "chunk is not as long as its Blosc header says", expected=f"{stored} bytes", found=f"{view.nbytes}"
        )
    if expected is not None and size != expected:
        raise ChunkError(
            "chunk holds the wrong number of bytes", expected=f"{expected}", found=f"{size} (Blosc header)"
        )


def _zstd_frame(view: memoryview) -> tuple[int | None, int, bool]:
    """Return content size if stated, offset of the first block, and whether a checksum ends the frame (RFC 8878, section 3.1.1)."""
    if view.nbytes < 6 or struct.unpack_from("<I", view, 0)[0] != _ZSTD_MAGIC:  # noqa: PLR2004 - magic, descriptor, one more
        raise ChunkError("chunk does not decode", expected="a zstd frame", found=f"bytes {bytes(view[:4]).hex()}…")
    descriptor = view[4]
    single = bool(descriptor & 0x20)
    position = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    if view.nbytes < position + width:
        raise ChunkError("chunk is truncated", expected="a zstd frame header", found=f"{view.nbytes} bytes")
    size = int.from_bytes(view[position : position + width], "little") + (256 if width == 2 else 0) if width else None  # noqa: PLR2004 - two-byte sizes start at 256
    return size, position + width, bool(descriptor & 4)


def _most(view: memoryview) -> int:
    """Return how much a zstd frame that does not say it can hold at most: its blocks hold at most 128 KiB each (RFC 8878)."""
    position, most, last = _zstd_frame(view)[1], 0, False
    while not last and position + 3 <= view.nbytes:
        header = int.from_bytes(view[position : position + 3], "little")
        last, kind, size = bool(header & 1), (header >> 1) & 3, header >> 3
        most += _ZSTD_BLOCK if kind > _ZSTD_BLOCK_RLE else size
        position += 3 + (1 if kind == _ZSTD_BLOCK_RLE else size)
    return most


def _inspect_zstd(view: memoryview, expected: int | None) -> None:
    size = _zstd_frame(view)[0]
    end = _zstd_end(view)
    if end == view.nbytes and expected is not None and size is not None and size != expected:
        raise ChunkError("chunk holds the wrong number of bytes", expected=f"{expected}", found=f"{size} (zstd frame)")


def _zstd_end(view: memoryview) -> int:
    """Return where the first zstd frame of a chunk ends, from the lengths of its blocks (RFC 8878, section 3.1.1.2)."""
    _, position, checksum = _zstd_frame(view)
    last = False
    while not last:
        if position + 3 > view.nbytes:
            raise ChunkError("chunk is truncated", expected="a complete zstd frame", found=f"{view.nbytes} bytes")
        header = int.from_bytes(view[position : position + 3], "little")
        last = bool(header & 1)
        position += 3 + (1 if (header >> 1) & 3 == _ZSTD_BLOCK_RLE else header >> 3)
    end = position + (4 if checksum else 0)
    if end > view.nbytes:
        raise ChunkError("chunk is truncated", expected=f"a zstd frame of {end} bytes", found=f"{view.nbytes}")
    return end


def _inspect_gzip(view: memoryview, expected: int | None) -> None:
    if view.nbytes < 18 or bytes(view[:2]) != b"\x1f\x8b":  # noqa: PLR2004 - RFC 1952: header 10, trailer 8
        raise ChunkError("chunk does not decode", expected="a gzip stream", found=f"bytes {bytes(view[:4]).hex()}…")
    if expected is not None and struct.unpack_from("<I", view, view.nbytes - 4)[0] != expected & 0xFFFFFFFF:
        found = len(_bounded("gzip", {}, view, expected))  # several members, or padding: only decoding tells
        if found != expected:
            raise ChunkError("chunk holds the wrong number of bytes", expected=f"{expected}", found=f"{found} (gzip)")


def _inspect_lz4(view: memoryview, expected: int | None) -> None:
    size = struct.unpack_from("<I", view, 0)[0] if view.nbytes > 4 else None  # noqa: PLR2004 - the length, 4 bytes
    if size is None or (expected is not None and size != expected):
        raise ChunkError("chunk holds the wrong number of bytes", expected=f"{expected}", found=f"{size} (LZ4 header)")


def _inspect_zlib(view: memoryview, _: int | None) -> None:
    if view.nbytes < 6 or (view[0] * 256 + view[1]) % 31 or view[0] & 15 != 8:  # noqa: PLR2004 - RFC 1950 header
        raise ChunkError("chunk does not decode", expected="a zlib stream", found=f"bytes {bytes(view[:4]).hex()}…")


_INSPECTORS: Mapping[str, Any] = {
    "blosc": _inspect_blosc,
    "zstd": _inspect_zstd,
    "gzip": _inspect_gzip,
    "lz4": _inspect_lz4,
    "zlib": _inspect_zlib,
}
