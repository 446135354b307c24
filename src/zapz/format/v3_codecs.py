"""Codec lists of Zarr v3, to and from codec chains.

Sources: Zarr v3 codec specifications; zarr-extensions for ``numcodecs.*``.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from zapz.errors import MetadataError, UnsupportedError
from zapz.format import jsontext
from zapz.format.codec_table import facts
from zapz.format.codecs import Codec, CodecChain, Shards, endian_of
from zapz.format.fields import lengths

_SHUFFLE = {"noshuffle": 0, "shuffle": 1, "bitshuffle": 2}


_NUMCODECS = "numcodecs."
Named = tuple[str, Mapping[str, Any]]


def named(value: Any, where: str) -> Named:
    """Read a named configuration: an object with ``name`` and ``configuration``, or just a name.

    A name alone is allowed since specification 3.1.

    Raises:
        MetadataError: The value is neither.
    """
    if isinstance(value, str):
        return value, {}
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("name"), str)
        or not isinstance(value.get("configuration", {}), dict)
    ):
        raise MetadataError("not a named configuration", where=where, expected="a name", found=repr(value)[:80])
    return value["name"], value.get("configuration", {})


def only(config: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """Return a configuration after a check that it has no fields but these.

    An unknown field could change the meaning of the others.

    Raises:
        ValueError: It has other fields.
    """
    others = sorted(config.keys() - set(names))
    if others:
        raise ValueError(f"unknown field {others[0]!r}")
    return config


def read_chain(
    codecs: list[Named], dtype: np.dtype[Any], serializer: str, chunks: tuple[int, ...], where: str
) -> CodecChain:
    """Read a list of codecs; a list of unknown form becomes a foreign chain, for zarr-python.

    Raises:
        MetadataError: The configuration of a known codec is invalid.
    """
    foreign = CodecChain(foreign=jsontext.dumps([[n, dict(sorted(c.items()))] for n, c in codecs]), endian=None)
    try:
        if not codecs:
            raise ValueError("no codecs")
        if codecs[0][0] == "sharding_indexed":
            return _sharded(codecs, dtype, serializer, chunks, where) or foreign
        return _plain(codecs, dtype, serializer, len(chunks)) or foreign
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, MetadataError):
            raise
        raise MetadataError("invalid codec configuration", where=where, found=f"{codecs!r} ({error})"[:200]) from error


def _plain(codecs: list[Named], dtype: np.dtype[Any], serializer: str, ndim: int) -> CodecChain | None:
    order: tuple[int, ...] | None = None
    filters: list[Codec] = []
    rest = list(codecs)
    while rest and (rest[0][0] == "transpose" or is_array_filter(rest[0][0])):
        identifier, config = rest.pop(0)
        if identifier == "transpose":
            if filters:
                return None
            order = _transposed(order, only(config, "order")["order"], ndim)
        else:
            filters.append(_array_filter(identifier, config))
    if not rest:
        return None
    identifier, config = rest.pop(0)
    if identifier not in {"bytes", "vlen-utf8", "vlen-bytes"} or (identifier == "bytes") != (serializer == "bytes"):
        return None
    only(config, *(["endian"] if identifier == "bytes" else []))
    endian = endian_of(dtype, config.get("endian", "little")) if identifier == "bytes" else None
    little = sys.byteorder == "little" and config.get("endian", "little") == "little"
    if config.get("endian", "little") not in {"little", "big"} or (
        (filters or dtype.fields is not None) and not little
    ):
        return None
    stages = [_bytes_codec(n, c) for n, c in rest]
    if any(s is None for s in stages):
        return None
    return CodecChain(
        order=order, serializer=identifier, endian=endian, stages=(*filters, *(s for s in stages if s is not None))
    )


def is_array_filter(identifier: str) -> bool:
    """Return whether a codec is an array-to-array filter of numcodecs."""
    return identifier.startswith(_NUMCODECS) and facts(identifier.removeprefix(_NUMCODECS)).is_array_filter


def _array_filter(identifier: str, config: Mapping[str, Any]) -> Codec:
    return Codec(id=identifier.removeprefix(_NUMCODECS), config={k: v for k, v in config.items() if k != "id"})


def stage_of(identifier: str, config: Mapping[str, Any]) -> Codec | None:
    """Return a codec as a stage of a chain; None if zapz does not know it as a stage.

    Raises:
        KeyError, TypeError, ValueError: Its configuration is invalid.
    """
    return _array_filter(identifier, config) if is_array_filter(identifier) else _bytes_codec(identifier, config)


def _transposed(before: tuple[int, ...] | None, value: Any, ndim: int) -> tuple[int, ...] | None:
    identity = tuple(range(ndim))
    step = identity if value == "C" else identity[::-1] if value == "F" else tuple(value)
    if sorted(step) != list(identity):
        raise ValueError(f"transpose order {value!r}")
    order = tuple((before or identity)[i] for i in step)
    return None if order == identity else order


def _bytes_codec(identifier: str, config: Mapping[str, Any]) -> Codec | None:
    fields = facts(identifier).v3_fields
    if fields is not None:
        only(config, *fields)
    if identifier == "blosc":
        shuffle = config.get("shuffle", "noshuffle")
        known = {
            "cname": config["cname"],
            "clevel": config["clevel"],
            "shuffle": _SHUFFLE[shuffle] if isinstance(shuffle, str) else shuffle,
            "blocksize": config.get("blocksize", 0),
        }
        return Codec(id="blosc", config=known)
    if fields is not None:
        return Codec(id=identifier, config=dict(config))
    short = identifier.removeprefix(_NUMCODECS)
    if identifier.startswith(_NUMCODECS) and facts(short).in_v3:
        return Codec(id=short, config={k: v for k, v in config.items() if k != "id"})
    return None


def _sharded(
    codecs: list[Named], dtype: np.dtype[Any], serializer: str, chunks: tuple[int, ...], where: str
) -> CodecChain | None:
    if len(codecs) != 1:
        return None
    config = only(codecs[0][1], "chunk_shape", "codecs", "index_codecs", "index_location")
    inner_shape = lengths(config["chunk_shape"], "inner chunk_shape", where, least=1)
    if len(inner_shape) != len(chunks) or any(c % i for c, i in zip(chunks, inner_shape, strict=True)):
        raise MetadataError(
            "inner chunks do not divide the shard",
            where=where,
            expected=f"a divisor of {chunks}",
            found=f"{inner_shape}",
        )
    inner = read_chain([named(c, where) for c in config["codecs"]], dtype, serializer, inner_shape, where)
    index = [
        named(c, where)
        for c in config.get("index_codecs", [{"name": "bytes", "configuration": {"endian": "little"}}, "crc32c"])
    ]
    for name, fields in index:
        if name in {"bytes", "crc32c"}:
            only(fields, *(["endian"] if name == "bytes" else []))
    plain_index = [n for n, _ in index] in (["bytes"], ["bytes", "crc32c"])
    location = config.get("index_location", "end")
    endian = index[0][1].get("endian", "little") if index else "little"
    if (
        inner.foreign is not None
        or inner.shards is not None
        or not plain_index
        or location not in {"start", "end"}
        or endian not in {"little", "big"}
    ):
        return None
    shards = Shards(
        inner_shape=inner_shape,
        inner=inner,
        index_endian="little" if endian == "little" else "big",
        index_crc32c=len(index) > 1,
        index_location=location,
    )
    return CodecChain(endian=None, shards=shards)


def write_chain(chain: CodecChain) -> list[dict[str, Any]]:
    """Return the v3 ``codecs`` of a chain.

    Raises:
        UnsupportedError: v3 does not define a codec of the chain.
    """
    if chain.foreign is not None:
        return [{"name": n, "configuration": c} for n, c in jsontext.parse(chain.foreign, "codecs")]
    if chain.shards is not None:
        s = chain.shards
        index: list[dict[str, Any]] = [{"name": "bytes", "configuration": {"endian": s.index_endian}}]
        index += [{"name": "crc32c"}] if s.index_crc32c else []
        config = {
            "chunk_shape": list(s.inner_shape),
            "codecs": write_chain(s.inner),
            "index_codecs": index,
            "index_location": s.index_location,
        }
        return [{"name": "sharding_indexed", "configuration": config}]
    result: list[dict[str, Any]] = []
    if chain.order is not None:
        result.append({"name": "transpose", "configuration": {"order": list(chain.order)}})
    result += [_numcodec(s) for s in chain.stages if facts(s.id).is_array_filter]
    if chain.serializer == "bytes":
        result.append(
            {"name": "bytes", "configuration": {"endian": chain.endian}} if chain.endian else {"name": "bytes"}
        )
    elif chain.serializer in {"vlen-utf8", "vlen-bytes"}:
        result.append({"name": chain.serializer})
    else:
        raise UnsupportedError("Zarr v3 does not define this codec", found=chain.serializer)
    return result + [_write_stage(s) for s in chain.stages if not facts(s.id).is_array_filter]


def _numcodec(stage: Codec) -> dict[str, Any]:
    return {"name": _NUMCODECS + stage.id, "configuration": dict(stage.config)}


def _write_stage(stage: Codec) -> dict[str, Any]:
    if stage.id == "blosc":
        c = {"cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0, **stage.config}
        shuffle = next((name for name, number in _SHUFFLE.items() if number == c["shuffle"]), "shuffle")
        return {"name": "blosc", "configuration": {"typesize": c.get("typesize", 1), **c, "shuffle": shuffle}}
    if stage.id == "zstd":
        return {
            "name": "zstd",
            "configuration": {"level": stage.config.get("level", 0), "checksum": stage.config.get("checksum", False)},
        }
    if stage.id == "gzip":
        return {"name": "gzip", "configuration": {"level": stage.config.get("level", 1)}}
    if stage.id == "crc32c":
        return {"name": "crc32c"}
    if not facts(stage.id).in_v3:
        raise UnsupportedError("Zarr v3 does not define this codec", found=stage.id)
    return _numcodec(stage)
