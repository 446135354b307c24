"""What zapz knows about each codec: one row per codec, by numcodecs id, and nothing about it anywhere else.

A new codec is one more row. What no row knows is copied where both sides agree on it, and never
decoded.
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
    """What is known about one codec."""

    is_serializer: bool = False
    """Whether it turns items of variable length into bytes."""
    is_filter: bool = False
    """Whether it only prepares for a compressor: what v2 lists as a filter."""
    is_array_filter: bool = False
    """Whether v3 has it among the codecs that take and give arrays (``numcodecs.*``)."""
    is_lossy: bool = False
    """Whether encoding may change values: re-encoding old cells with it is checked."""
    moves: Callable[[Mapping[str, Any]], tuple[float, float]] | None = None
    """How far encoding may move a value, by its configuration: absolutely, and relatively."""
    keeps_length: bool = False
    """Whether what it gives is as long as what it got."""
    self_describing: bool = False
    """Whether its stream carries what a decoder needs, so that streams are equal whatever the other
    parameters were."""
    described_with: Mapping[str, Any] = _NOTHING
    """Settings that it must have for that."""
    defaults: Mapping[str, Any] = _NOTHING
    """Defaults of numcodecs, so that a configuration that spells them out equals one that does not."""
    v3_fields: tuple[str, ...] | None = None
    """Fields of its configuration in v3's own words; None if v3 does not have it, or by numcodecs'
    name only."""
    in_v3: bool = False
    """Whether v3 has it by numcodecs' name (``numcodecs.*``), among the codecs of bytes."""
    into: bool = False
    """Whether numcodecs decodes it into an array that is given."""
    declared: Callable[[memoryview], int | None] | None = None
    """Returns how many bytes a stream says it holds."""
    inspect: Callable[[memoryview, int | None], None] | None = None
    """Checks what a stream says about itself, undecoded."""
    decompressor: Decompressor | None = None
    """Makes the standard library's decompressor, which can be told a largest length."""
    several: bool = False
    """Whether its streams may follow one another."""
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
    # serializers; anything else on objects could run code (pickle)
    "vlen-utf8": CodecFacts(is_serializer=True),
    "vlen-bytes": CodecFacts(is_serializer=True),
    "json2": CodecFacts(is_serializer=True),
    "msgpack2": CodecFacts(is_serializer=True),
}
"""Codecs, by numcodecs id, that zapz decodes and encodes. An unknown one is only ever copied."""
_UNKNOWN = CodecFacts()


def facts(identifier: str) -> CodecFacts:
    """Return what is known about a codec; nothing about an unknown one."""
    return CODECS.get(identifier, _UNKNOWN)


def is_filter(identifier: str) -> bool:
    """Return whether a codec only prepares for a compressor."""
    return facts(identifier).is_filter


def is_serializer(identifier: str) -> bool:
    """Return whether a codec turns items of variable length into bytes."""
    return facts(identifier).is_serializer
