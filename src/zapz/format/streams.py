"""Compressed streams: the sizes that they state, and decompression with a size limit."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from zapz.errors import ChunkError
from zapz.format.buffers import Buffer, octets

_ZSTD_MAGIC = 0xFD2FB528
_BLOSC_HEADER = 16
_ZSTD_BLOCK_RLE = 1
_ZSTD_BLOCK = 1 << 17
_UNSAID = 1 << 24
"""Size limit in bytes below which a zstd frame need not state its decoded size."""

Decompressor = Callable[[Mapping[str, Any]], Any]
"""Creates a decompressor of the standard library from a codec's configuration."""


def zlib_decompressor(_: Mapping[str, Any]) -> Any:
    """Return a decompressor for zlib streams."""
    return zlib.decompressobj()


def gzip_decompressor(_: Mapping[str, Any]) -> Any:
    """Return a decompressor for gzip streams."""
    return zlib.decompressobj(wbits=31)


def bz2_decompressor(_: Mapping[str, Any]) -> Any:
    """Return a decompressor for bzip2 streams."""
    return bz2.BZ2Decompressor()


def lzma_decompressor(config: Mapping[str, Any]) -> Any:
    """Return a decompressor for LZMA streams, or for raw ones if the configuration says so."""
    form = config.get("format", lzma.FORMAT_XZ)
    if form == lzma.FORMAT_RAW:
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=config.get("filters"))
    return lzma.LZMADecompressor(form)


def compress_zlib(config: Mapping[str, Any], data: Buffer) -> Buffer:
    """Compress to a zlib stream."""
    return zlib.compress(octets(data), int(config.get("level", 1)))


def compress_gzip(config: Mapping[str, Any], data: Buffer) -> Buffer:
    """Compress to a gzip stream."""
    packer = zlib.compressobj(int(config.get("level", 1)), zlib.DEFLATED, 31)
    return packer.compress(octets(data)) + packer.flush()


def bounded(
    identifier: str, make: Decompressor, config: Mapping[str, Any], data: Buffer, limit: int, *, several: bool
) -> bytes:
    """Decompress a stream with a decompressor of the standard library.

    Args:
        identifier: numcodecs id, for messages.
        make: Creates the decompressor.
        config: The codec's configuration.
        data: The stream.
        limit: Maximum size of the result, in bytes.
        several: Whether another stream may follow.

    Raises:
        ChunkError: The data are not such a stream, are truncated, or decode to more than ``limit``.
    """
    rest: Any = octets(data)
    parts: list[bytes] = []
    length = 0
    try:
        while True:
            decoder = make(config)
            part = decoder.decompress(rest, limit - length + 1)
            length += len(part)
            parts.append(part)
            if length > limit:
                raise ChunkError(
                    "chunk decodes to too many bytes", expected=f"at most {limit} decoded bytes", found="more"
                )
            if not decoder.eof:
                raise ChunkError(
                    "chunk is truncated",
                    expected=f"a complete {identifier} stream",
                    found=f"{octets(data).nbytes} bytes",
                )
            rest = decoder.unused_data
            if not rest or not several or (identifier == "gzip" and not rest.strip(b"\0")):
                break
    except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:
        raise ChunkError("chunk cannot be decoded", expected=f"a {identifier} stream", found=str(error)) from error
    return parts[0] if len(parts) == 1 else b"".join(parts)


def declared_blosc(view: memoryview) -> int | None:
    """Return the decoded size that a Blosc stream states, in bytes; None if it is too short."""
    return int(struct.unpack_from("<I", view, 4)[0]) if view.nbytes >= _BLOSC_HEADER else None


def declared_zstd(view: memoryview) -> int | None:
    """Return the decoded size of a zstd frame, stated or at most, in bytes; None if small anyway.

    Raises:
        ChunkError: The data are not a zstd frame.
    """
    size = _zstd_frame(view)[0]
    return size if size is not None or _most(view) <= _UNSAID else _most(view)


def declared_lz4(view: memoryview) -> int | None:
    """Return the decoded size that numcodecs' LZ4 states in its first 4 bytes, or None."""
    return int(struct.unpack_from("<I", view, 0)[0]) if view.nbytes > 4 else None  # noqa: PLR2004 - the length


def inspect_blosc(view: memoryview, expected: int | None) -> None:
    """Check the sizes that a Blosc stream states.

    Raises:
        ChunkError: As in ``compressors.inspect_stage``.
    """
    if view.nbytes < _BLOSC_HEADER:
        raise ChunkError("chunk is truncated", expected="a Blosc header of 16 bytes", found=f"{view.nbytes} bytes")
    size, _, stored = struct.unpack_from("<III", view, 4)
    if stored != view.nbytes:
        raise ChunkError(
            "chunk length differs from its Blosc header", expected=f"{stored} bytes", found=f"{view.nbytes}"
        )
    if expected is not None and size != expected:
        raise ChunkError("chunk has the wrong decoded size", expected=f"{expected}", found=f"{size} (Blosc header)")


def _zstd_frame(view: memoryview) -> tuple[int | None, int, bool]:
    """Read the header of a zstd frame (RFC 8878, section 3.1.1).

    Returns:
        The decoded size in bytes if stated, the offset of the first block, and whether a checksum
        ends the frame.
    """
    if view.nbytes < 6 or struct.unpack_from("<I", view, 0)[0] != _ZSTD_MAGIC:  # noqa: PLR2004 - magic, descriptor, one more
        raise ChunkError("chunk cannot be decoded", expected="a zstd frame", found=f"bytes {bytes(view[:4]).hex()}…")
    descriptor = view[4]
    single = bool(descriptor & 0x20)
    position = 5 + (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3]
    width = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    if view.nbytes < position + width:
        raise ChunkError("chunk is truncated", expected="a zstd frame header", found=f"{view.nbytes} bytes")
    size = int.from_bytes(view[position : position + width], "little") + (256 if width == 2 else 0) if width else None  # noqa: PLR2004 - two-byte sizes start at 256
    return size, position + width, bool(descriptor & 4)


def _most(view: memoryview) -> int:
    """Return the maximum decoded size of a zstd frame: 128 KiB per block (RFC 8878)."""
    position, most, last = _zstd_frame(view)[1], 0, False
    while not last and position + 3 <= view.nbytes:
        header = int.from_bytes(view[position : position + 3], "little")
        last, kind, size = bool(header & 1), (header >> 1) & 3, header >> 3
        most += _ZSTD_BLOCK if kind > _ZSTD_BLOCK_RLE else size
        position += 3 + (1 if kind == _ZSTD_BLOCK_RLE else size)
    return most


def inspect_zstd(view: memoryview, expected: int | None) -> None:
    """Check the sizes that a zstd stream states.

    Raises:
        ChunkError: As in ``compressors.inspect_stage``.
    """
    size = _zstd_frame(view)[0]
    end = zstd_end(view)
    if end == view.nbytes and expected is not None and size is not None and size != expected:
        raise ChunkError("chunk has the wrong decoded size", expected=f"{expected}", found=f"{size} (zstd frame)")


def zstd_end(view: memoryview) -> int:
    """Return where the first zstd frame ends, from its block lengths (RFC 8878, 3.1.1.2).

    Raises:
        ChunkError: The frame is not complete.
    """
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


def inspect_gzip(view: memoryview, expected: int | None) -> None:
    """Check the size that a gzip stream states.

    Raises:
        ChunkError: As in ``compressors.inspect_stage``.
    """
    if view.nbytes < 18 or bytes(view[:2]) != b"\x1f\x8b":  # noqa: PLR2004 - RFC 1952: header 10, trailer 8
        raise ChunkError("chunk cannot be decoded", expected="a gzip stream", found=f"bytes {bytes(view[:4]).hex()}…")
    if expected is not None and struct.unpack_from("<I", view, view.nbytes - 4)[0] != expected & 0xFFFFFFFF:
        found = len(
            bounded("gzip", gzip_decompressor, {}, view, expected, several=True)
        )  # several members, or padding: decode to find the size
        if found != expected:
            raise ChunkError("chunk has the wrong decoded size", expected=f"{expected}", found=f"{found} (gzip)")


def inspect_lz4(view: memoryview, expected: int | None) -> None:
    """Check the size that an LZ4 stream states.

    Raises:
        ChunkError: As in ``compressors.inspect_stage``.
    """
    size = struct.unpack_from("<I", view, 0)[0] if view.nbytes > 4 else None  # noqa: PLR2004 - the length, 4 bytes
    if size is None:
        raise ChunkError("chunk cannot be decoded", expected="more than 4 bytes (LZ4)", found=f"{view.nbytes} bytes")
    if expected is not None and size != expected:
        raise ChunkError("chunk has the wrong decoded size", expected=f"{expected}", found=f"{size} (LZ4 header)")


def inspect_zlib(view: memoryview, _: int | None) -> None:
    """Check the header of a zlib stream.

    Raises:
        ChunkError: As in ``compressors.inspect_stage``.
    """
    if view.nbytes < 6 or (view[0] * 256 + view[1]) % 31 or view[0] & 15 != 8:  # noqa: PLR2004 - RFC 1950 header
        raise ChunkError("chunk cannot be decoded", expected="a zlib stream", found=f"bytes {bytes(view[:4]).hex()}…")
