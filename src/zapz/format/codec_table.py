"""Facts about codecs: one row per codec, by numcodecs id, and the only place that holds them.

To add a codec, add a row. zapz copies chunks of a codec without a row where both sides use it with
the same configuration, and never decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from zapz.format import streams
from zapz.format.buffers import Buffer
from zapz.format.streams import Decompressor

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class CodecFacts(NamedTuple):
    """Facts about one codec."""

    is_serializer: bool = False
    """Whether it turns items of variable length into bytes."""
    is_filter: bool = False
    """Whether it only prepares data for a compressor; v2 lists such codecs as filters."""
    is_array_filter: bool = False
    """Whether v3 lists it among the array-to-array codecs (``numcodecs.*``)."""
    is_lossy: bool = False
    """Whether encoding may change values. Re-encoding existing cells with it is then checked."""
    moves: Callable[[Mapping[str, Any]], tuple[float, float]] | None = None
    """Returns how far encoding with a configuration may move a value: (absolute, relative)."""
    keeps_length: bool = False
    """Whether its output has the length of its input."""
    self_describing: bool = False
    """Whether its stream carries all that a decoder needs, so that two streams are interchangeable
    whatever their other parameters."""
    described_with: Mapping[str, Any] = _NOTHING
    """Settings that this requires."""
    defaults: Mapping[str, Any] = _NOTHING
    """Defaults of numcodecs: a configuration that leaves them out equals one that states them."""
    v3_fields: tuple[str, ...] | None = None
    """Names of its configuration fields in v3. None if v3 does not define the codec, or only under
    its numcodecs name."""
    in_v3: bool = False
    """Whether v3 lists it by its numcodecs name (``numcodecs.*``) among the bytes-to-bytes
    codecs."""
    into: bool = False
    """Whether numcodecs can decode it into an existing array."""
    declared: Callable[[memoryview], int | None] | None = None
    """Returns the number of decoded bytes that a stream states."""
    inspect: Callable[[memoryview, int | None], None] | None = None
    """Checks what a stream states about itself, without decoding it."""
    decompressor: Decompressor | None = None
    """Creates a decompressor of the standard library, which accepts a maximum output length."""
    several: bool = False
    """Whether a chunk may hold several of its streams, one after another."""
    compress: Callable[[Mapping[str, Any], Buffer], Buffer] | None = None
    """Compresses without numcodecs."""


def _scaled(config: Mapping[str, Any]) -> tuple[float, float]:
    return 0.5 / abs(float(config["scale"])), 0.0


def _quantized(config: Mapping[str, Any]) -> tuple[float, float]:
    return 0.5 * 10.0 ** -int(config["digits"]), 0.0


def _rounded(config: Mapping[str, Any]) -> tuple[float, float]:
    return 0.0, 2.0 ** -int(config["keepbits"])


CODECS: Mapping[str, CodecFacts] = {
    # compressors
    "blosc": CodecFacts(
        self_describing=True,
        v3_fields=("cname", "clevel", "shuffle", "blocksize", "typesize"),
        in_v3=True,
        into=True,
        declared=streams.declared_blosc,
        inspect=streams.inspect_blosc,
    ),
    "zstd": CodecFacts(
        self_describing=True,
        v3_fields=("level", "checksum"),
        in_v3=True,
        into=True,
        declared=streams.declared_zstd,
        inspect=streams.inspect_zstd,
    ),
    "gzip": CodecFacts(
        self_describing=True,
        v3_fields=("level",),
        in_v3=True,
        inspect=streams.inspect_gzip,
        decompressor=streams.gzip_decompressor,
        several=True,
        compress=streams.compress_gzip,
    ),
    "zlib": CodecFacts(
        self_describing=True,
        in_v3=True,
        inspect=streams.inspect_zlib,
        decompressor=streams.zlib_decompressor,
        compress=streams.compress_zlib,
    ),
    "lz4": CodecFacts(self_describing=True, in_v3=True, declared=streams.declared_lz4, inspect=streams.inspect_lz4),
    "bz2": CodecFacts(self_describing=True, in_v3=True, decompressor=streams.bz2_decompressor, several=True),
    "lzma": CodecFacts(
        self_describing=True,
        described_with={"format": 1, "filters": None},
        defaults={"format": 1, "check": -1, "preset": None, "filters": None},
        in_v3=True,
        decompressor=streams.lzma_decompressor,
        several=True,
    ),
    # filters
    "shuffle": CodecFacts(is_filter=True, keeps_length=True, defaults={"elementsize": 4}, in_v3=True),
    "delta": CodecFacts(is_filter=True, is_array_filter=True),
    "fixedscaleoffset": CodecFacts(is_filter=True, is_array_filter=True, is_lossy=True, moves=_scaled),
    "quantize": CodecFacts(is_filter=True, is_array_filter=True, is_lossy=True, moves=_quantized),
    "bitround": CodecFacts(is_filter=True, is_array_filter=True, is_lossy=True, moves=_rounded, keeps_length=True),
    "astype": CodecFacts(is_filter=True, is_array_filter=True, is_lossy=True),
    "packbits": CodecFacts(is_filter=True, is_array_filter=True),
    # checksums
    "crc32": CodecFacts(defaults={"location": "start"}, in_v3=True),
    "crc32c": CodecFacts(defaults={"location": "end"}, v3_fields=(), in_v3=True),
    "adler32": CodecFacts(defaults={"location": "start"}, in_v3=True),
    "fletcher32": CodecFacts(in_v3=True),
    "jenkins_lookup3": CodecFacts(defaults={"initval": 0, "prefix": None}, in_v3=True),
    "base64": CodecFacts(),
    # serializers; any other codec for objects could run code (pickle)
    "vlen-utf8": CodecFacts(is_serializer=True),
    "vlen-bytes": CodecFacts(is_serializer=True),
    "json2": CodecFacts(is_serializer=True),
    "msgpack2": CodecFacts(is_serializer=True),
}
"""Codecs, by numcodecs id, that zapz decodes and encodes. Chunks of other codecs are only
copied."""
_UNKNOWN = CodecFacts()


def facts(identifier: str) -> CodecFacts:
    """Return the facts about a codec; the defaults of ``CodecFacts`` for an unknown one."""
    return CODECS.get(identifier, _UNKNOWN)


def is_filter(identifier: str) -> bool:
    """Return whether a codec only prepares data for a compressor."""
    return facts(identifier).is_filter


def is_serializer(identifier: str) -> bool:
    """Return whether a codec turns items of variable length into bytes."""
    return facts(identifier).is_serializer
