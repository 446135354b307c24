"""One buffer-to-buffer stage: decode it within a limit, encode it, and inspect its stream.

zlib, gzip, bz2 and lzma use the decompressors of the standard library, because these accept a
maximum output length. Blosc, zstd and LZ4 state the decoded size in their header, which is checked
before anything is allocated.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from zapz.errors import ChunkError, UnsupportedError
from zapz.format.buffers import Buffer, octets
from zapz.format.codec_table import facts
from zapz.format.jsontext import dumps, parse_object
from zapz.format.streams import bounded, zstd_end


@lru_cache(maxsize=128)
def numcodec(identifier: str, config: str) -> Any:
    """Return the numcodecs codec with this id and configuration (JSON text), created once."""
    from numcodecs.registry import get_codec  # imported here: the import takes longer than copying a slice

    return get_codec({**parse_object(config, "codec configuration"), "id": identifier})


def _codec(identifier: str, config: Mapping[str, Any]) -> Any:
    try:
        return numcodec(identifier, dumps(dict(config)))
    except Exception as error:  # codecs report invalid configurations with any exception
        raise ChunkError("invalid codec configuration", found=f"{identifier} {dict(config)}: {error}") from error


def decode_stage(
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
        limit: Maximum size of the result, in bytes.
        exact: Whether the result must have exactly ``limit`` bytes.
        out: Array to decode into if the codec can.

    Returns:
        The decoded bytes; ``out`` itself where it was used.

    Raises:
        ChunkError: The bytes are not a stream of this codec, or decode to a wrong number of bytes.
    """
    known = facts(identifier)
    if known.decompressor is not None:
        result: Buffer = bounded(identifier, known.decompressor, config, data, limit, several=known.several)
    else:
        if known.declared is not None:
            inspect_stage(identifier, data, limit if exact else None)
            if (size := known.declared(octets(data))) is not None and size > limit:
                raise ChunkError(
                    "stated size of the decoded chunk is too large", expected=f"at most {limit} bytes", found=f"{size}"
                )
        codec = _codec(identifier, config)
        try:
            if identifier == "zstd" and zstd_end(octets(data)) != octets(data).nbytes:
                raise ChunkError("chunk cannot be decoded", expected="one zstd frame", found="more bytes after it")
            if identifier == "zstd" and out is None and exact:
                out = np.empty(limit, np.uint8)  # limits the output of a frame that does not state its size
            if out is not None and exact and known.into:
                codec.decode(data, out)
                return out
            result = codec.decode(data)
        except Exception as error:  # numcodecs passes on any exception of its C code
            raise ChunkError(
                "chunk cannot be decoded", expected=identifier, found=str(error) or type(error).__name__
            ) from error
    if exact and octets(result).nbytes != limit:
        raise ChunkError(
            "chunk has the wrong length", expected=f"{limit} decoded bytes", found=f"{octets(result).nbytes}"
        )
    return result


def encode_stage(identifier: str, config: Mapping[str, Any], data: Buffer) -> Buffer:
    """Apply one stage.

    Raises:
        ChunkError: The codec cannot encode the data.
    """
    if (compress := facts(identifier).compress) is not None:
        return compress(config, data)
    try:
        with np.errstate(invalid="ignore", over="ignore"):  # lost values are found by decoding them again
            result: Buffer = _codec(identifier, config).encode(data)
    except ChunkError:
        raise
    except Exception as error:  # numcodecs passes on any exception of its C code
        raise ChunkError(
            "values cannot be encoded", expected=identifier, found=str(error) or type(error).__name__
        ) from error
    return result


def check_items(serializer: str, config: str, data: Buffer, cells: int) -> None:
    """Check the stated number of variable-length items before anything is allocated for them.

    Args:
        serializer: numcodecs id of the serializer.
        config: Its configuration, as JSON text.
        data: The serialized items.
        cells: Expected number of items.

    Raises:
        ChunkError: The number is not ``cells``, or cannot be read.
        UnsupportedError: The serializer needs a package that is not installed.
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
        raise ChunkError("chunk cannot be decoded", expected=serializer, found=str(error)) from error
    except ImportError as error:
        raise UnsupportedError(
            "a package for this codec is not installed", found=serializer, hint="Install msgpack."
        ) from error
    if found != cells:
        raise ChunkError("chunk has the wrong length", expected=f"{cells} items", found=f"{found}")


def _items(document: Any) -> int:
    """Return the number of items in a JSON or MsgPack document of numcodecs (shape last)."""
    shape = document[-1]
    if not isinstance(shape, list) or not all(isinstance(n, int) for n in shape):
        raise TypeError("no shape")
    return math.prod(shape)


def inspect_stage(identifier: str, data: Buffer, expected: int | None) -> None:
    """Check what a compressed stream states about itself, without decoding it.

    Args:
        identifier: numcodecs id.
        data: The stream.
        expected: Expected size of the decoded data, in bytes; None if unknown.

    Raises:
        ChunkError: The stated sizes contradict the length of the stream, or ``expected``.
    """
    view = octets(data)
    if not view.nbytes:
        raise ChunkError("chunk file is empty", hint="The dataset is damaged or still being written.")
    if (check := facts(identifier).inspect) is not None:
        check(view, expected)
