"""Run zarr's own codec pipeline on a chunk, for v3 codecs that zapz does not run itself.

Only this module does so. It uses zarr's public interface only: an array of one chunk in memory,
whose single key is the chunk.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from zapz.errors import ChunkError, UnsupportedError
from zapz.format.buffers import Buffer


class ZarrChunk:
    """Decoder and encoder of single chunks, with the codecs that an array's ``zarr.json`` names."""

    def __init__(self, document: bytes, path: str) -> None:
        meta = json.loads(document)
        grid = meta["chunk_grid"]
        chunks = list(grid["configuration"]["chunk_shape"])
        meta |= {
            "shape": chunks,
            "chunk_key_encoding": {"name": "v2", "configuration": {"separator": "."}},
            "attributes": {},
        }
        meta.pop("consolidated_metadata", None)
        self._document = json.dumps(meta).encode()
        self._key = ".".join("0" for _ in chunks) or "0"
        self._path = path

    def _open(self, chunk: bytes | None) -> tuple[Any, Any]:
        import zarr  # imported where used: it costs half a second
        from zarr.core.buffer.cpu import Buffer as ZarrBuffer
        from zarr.storage import MemoryStore

        content = {"zarr.json": ZarrBuffer.from_bytes(self._document)}
        if chunk is not None:
            content[self._key] = ZarrBuffer.from_bytes(chunk)
        store = MemoryStore(content)
        try:
            return zarr.open_array(store, mode="r+", zarr_format=3, config={"write_empty_chunks": True}), content
        except Exception as error:  # zarr passes on any error of its codecs
            raise self._unknown(error) from error

    def _unknown(self, error: Exception) -> UnsupportedError:
        """Return the error for a codec that is not installed."""
        return UnsupportedError(
            "codec is not available",
            where=self._path,
            found=str(error),
            hint="Install the package that provides this codec.",
        )

    def require_codecs(self) -> None:
        """Check that zarr knows all codecs.

        Raises:
            UnsupportedError: It does not.
        """
        self._open(None)

    def decode(self, data: Buffer) -> np.ndarray[Any, Any]:
        """Decode one chunk to an array of full chunk shape.

        Raises:
            ChunkError: It does not decode.
            UnsupportedError: zarr does not know a codec either.
        """
        array, _ = self._open(bytes(data))
        try:
            return np.asarray(array[...])
        except Exception as error:  # zarr passes on any error of its codecs
            if _is_not_installed(error):
                raise self._unknown(error) from error
            raise ChunkError("chunk does not decode", expected="bytes of zarr's codecs", found=str(error)) from error

    def encode(self, cells: np.ndarray[Any, Any]) -> bytes:
        """Encode one chunk.

        Args:
            cells: Array of full chunk shape.

        Raises:
            ChunkError: A codec refuses the values.
            UnsupportedError: zarr does not know a codec either.
        """
        array, content = self._open(None)
        try:
            array[...] = cells
            return bytes(content[self._key].to_bytes())
        except Exception as error:  # zarr passes on any error of its codecs
            if _is_not_installed(error):
                raise self._unknown(error) from error
            raise ChunkError("values do not encode", expected="values for zarr's codecs", found=str(error)) from error


def _is_not_installed(error: Exception) -> bool:
    """Return whether numcodecs lacks a codec; zarr loads some codecs only when they are used."""
    return type(error).__name__ == "UnknownCodecError"
