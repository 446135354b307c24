"""One buffer-to-buffer stage: decode within a bound, encode, and look at a compressed stream from outside.

zlib, gzip, bz2 and lzma go through the standard library's decompressors, because those can be told
a largest length; Blosc, zstd and LZ4 say it in their header, which is checked before anything is
allocated.
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
    """Return the numcodecs codec with this id and configuration (JSON text), made once."""
    from numcodecs.registry import get_codec  # imported where used: it costs more than copying a slice does

    return get_codec({**parse_object(config, "codec configuration"), "id": identifier})


def _codec(identifier: str, config: Mapping[str, Any]) -> Any:
    try:
        return numcodec(identifier, dumps(dict(config)))
    except Exception as error:  # codecs validate their configuration with every kind of exception
        raise ChunkError("codec cannot be made", found=f"{identifier} {dict(config)}: {error}") from error


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
        limit: Most bytes that the result may have.
        exact: Whether it must have exactly ``limit`` bytes.
        out: Decode into this array if the codec can.

    Raises:
        ChunkError: The bytes are not a stream of this codec, or hold more or less than they may.
    """
    known = facts(identifier)
    if known.decompressor is not None:
        result: Buffer = bounded(identifier, known.decompressor, config, data, limit, several=known.several)
    else:
        if known.declared is not None:
            inspect_stage(identifier, data, limit if exact else None)
            if (size := known.declared(octets(data))) is not None and size > limit:
                raise ChunkError("chunk claims to hold too much", expected=f"at most {limit} bytes", found=f"{size}")
        codec = _codec(identifier, config)
        try:
            if identifier == "zstd" and zstd_end(octets(data)) != octets(data).nbytes:
                raise ChunkError("chunk does not decode", expected="one zstd frame", found="bytes behind it")
            if identifier == "zstd" and out is None and exact:
                out = np.empty(limit, np.uint8)  # a frame need not say how much it holds: so it cannot hold more
            if out is not None and exact and known.into:
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


def encode_stage(identifier: str, config: Mapping[str, Any], data: Buffer) -> Buffer:
    """Apply one stage.

    Raises:
        ChunkError: The codec refuses the data.
    """
    if (compress := facts(identifier).compress) is not None:
        return compress(config, data)
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


def inspect_stage(identifier: str, data: Buffer, expected: int | None) -> None:
    """Check what a compressed stream says about itself, undecoded.

    Raises:
        ChunkError: Its lengths contradict the file's length or the chunk's.
    """
    view = octets(data)
    if not view.nbytes:
        raise ChunkError("chunk file is empty", hint="The dataset is damaged or still being written.")
    if (check := facts(identifier).inspect) is not None:
        check(view, expected)
