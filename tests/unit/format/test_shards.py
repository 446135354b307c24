"""Shards: inner chunks stay as bytes, old ones at their offsets; a damaged index is refused and nothing changes."""

from __future__ import annotations

import json
import shutil
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import cubes
from kit.cubes import read
from kit.small_cubes import DAYS

import zapz
from zapz.errors import ChunkError
from zapz.format import shards
from zapz.format.codecs import CodecChain, Shards
from zapz.format.shards import MISSING, ShardIndex

LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
CRC = {"name": "crc32c"}
INDEX_CODECS = {"crc": [LITTLE, CRC], "plain": [LITTLE], "big": [BIG, CRC]}
FAST = {"durability": "process", "workers": 1, "label_units": "keep"}


def made(location: str = "end", *, crc: bool = True, endian: str = "little") -> Shards:
    return Shards(inner_shape=(1,), inner=CodecChain(), index_endian=endian, index_crc32c=crc, index_location=location)  # type: ignore[arg-type]


KINDS = [
    made(location, crc=crc, endian=endian)
    for location in ("start", "end")
    for crc in (True, False)
    for endian in ("little", "big")
]


def parsed(path: Path, config: Shards, count: int) -> dict[int, tuple[int, int]]:
    data = path.read_bytes()
    start, length = shards.index_range(config, count, len(data))
    index = shards.parse_index(config, count, data[start : start + length], len(data))
    return {n: place for n in range(count) if (place := index.range(n)) is not None}


# -- the index alone ---------------------------------------------------------------------------------------------------------


@st.composite
def indices_of_shards(draw: st.DrawFn) -> tuple[Shards, ShardIndex, int]:
    config = draw(st.sampled_from(KINDS))
    count = draw(st.integers(1, 12))
    index = shards.empty(count)
    position = shards.index_bytes(config, count) if config.index_location == "start" else 0
    for number in draw(st.permutations(range(count))):
        if draw(st.booleans()):
            length = draw(st.integers(1, 50))
            index.entries[number] = (position, length)
            position += length + draw(st.integers(0, 3))
    return config, index, position + (shards.index_bytes(config, count) if config.index_location == "end" else 0)


@settings(deadline=None, max_examples=100)
@given(indices_of_shards())
def test_an_index_is_read_as_it_was_built(case: tuple[Shards, ShardIndex, int]) -> None:
    config, index, size = case
    count = len(index.entries)
    data = shards.build(config, index)
    assert len(data) == shards.index_bytes(config, count)
    again = shards.parse_index(config, count, data, size)
    np.testing.assert_array_equal(again.entries, index.entries)
    assert again.live_bytes == sum(r[1] for n in range(count) if (r := index.range(n)))


@settings(deadline=None, max_examples=150)
@given(indices_of_shards(), st.data())
def test_a_flipped_bit_under_a_checksum_is_found_and_elsewhere_points_inside(
    case: tuple[Shards, ShardIndex, int], data: st.DataObject
) -> None:
    config, index, size = case
    count = len(index.entries)
    good = shards.build(config, index)
    place, bit = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 7))
    bad = good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :]
    if config.index_crc32c:
        with pytest.raises(ChunkError):
            shards.parse_index(config, count, bad, size)
        return
    try:
        found = shards.parse_index(config, count, bad, size)
    except ChunkError:
        return
    head = shards.index_bytes(config, count)
    for number in range(count):
        if (place_of := found.range(number)) is not None:
            offset, length = place_of
            assert (head if config.index_location == "start" else 0) <= offset
            assert offset + length <= (size if config.index_location == "start" else size - head)


@pytest.mark.parametrize("config", KINDS, ids=lambda k: f"{k.index_location}-{k.index_crc32c}-{k.index_endian}")
@pytest.mark.parametrize(
    "entry", [(2**64 - 2, 1), (0, 2**64 - 2), (2**63, 2**63), (100, 1), (0, 101), (MISSING, 1), (0, MISSING), (40, 0)]
)
def test_an_entry_that_cannot_be_is_refused(config: Shards, entry: tuple[int, int]) -> None:
    index = shards.empty(2)
    head = shards.index_bytes(config, 2)
    size = 100 + head if config.index_location == "end" else 100
    index.entries[1] = entry
    with pytest.raises(ChunkError):
        shards.parse_index(config, 2, shards.build(config, index), size)


@pytest.mark.parametrize("config", KINDS, ids=lambda k: f"{k.index_location}-{k.index_crc32c}-{k.index_endian}")
def test_a_shard_shorter_than_its_index_is_refused(config: Shards) -> None:
    for size in range(shards.index_bytes(config, 3)):
        with pytest.raises(ChunkError):
            shards.index_range(config, 3, size)


@pytest.mark.parametrize("config", KINDS, ids=lambda k: f"{k.index_location}-{k.index_crc32c}-{k.index_endian}")
def test_an_index_of_another_length_is_refused(config: Shards) -> None:
    data = shards.build(config, shards.empty(3))
    for wrong in (data[:-1], data[:16], b""):
        with pytest.raises(ChunkError):
            shards.parse_index(config, 3, wrong, 1000)


def test_a_shard_that_claims_many_inner_chunks_is_refused_before_anything_is_allocated(tmp_path: Path) -> None:
    """An inner chunk of one cell in a shard of 2^40: the index alone would be 16 TiB."""
    cubes.make_slice(tmp_path / "a", zarr_format=3, chunks=(1, 1, 1), shards=(2, 4, 6))
    cubes.make_slice(tmp_path / "b", zarr_format=3, chunks=(1, 1, 1), start=3)
    document = tmp_path / "a" / "data" / "zarr.json"
    meta = json.loads(document.read_text())
    meta["chunk_grid"]["configuration"]["chunk_shape"] = [2, 2**20, 2**20]
    document.write_text(json.dumps(meta))
    before = cubes.files(tmp_path / "a")
    tracemalloc.start()
    with pytest.raises(zapz.ZapzError):
        zapz.append(tmp_path / "a", tmp_path / "b", **FAST)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 << 20
    assert cubes.files(tmp_path / "a") == before


# -- appends -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("index", INDEX_CODECS)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_extending_keeps_old_inner_chunks_where_they_are_and_copies_new_ones(
    tmp_path: Path, location: str, index: str, axis: int
) -> None:
    """Shards of 12 steps, inner chunks of 2: appended 2, 2, 1, 3, 4 steps, read by zarr-python and tensorstore after each."""

    def moved(steps: int, other: tuple[int, int]) -> tuple[int, ...]:
        return (*other[:axis], steps, *other[axis:])

    options: dict[str, Any] = {
        "zarr_format": 3,
        "chunks": moved(2, (2, 3)),
        "shards": moved(12, (4, 6)),
        "axis": axis,
        "compressors": cubes.compressor("gzip", 3),
    }
    config = made(location, crc=index != "plain", endian="big" if index == "big" else "little")
    parts = [
        cubes.make_slice(tmp_path / "t", steps=2, index_location=location, index_codecs=INDEX_CODECS[index], **options)
    ]
    shard = tmp_path / "t" / "data" / "c" / "0" / "0" / "0"
    length = 2
    for steps in (2, 2, 1, 3, 2):
        source = tmp_path / f"s{length}"
        parts.append(cubes.make_slice(source, steps=steps, start=length, index_location=location, **options))
        old, held = shard.read_bytes(), parsed(shard, config, 24)
        zapz.append(tmp_path / "t", source)
        new, now = shard.read_bytes(), parsed(shard, config, 24)
        numbers = np.arange(24).reshape(moved(6, (2, 2)))
        for number, (offset, size) in held.items():
            step = int(np.argwhere(numbers == number)[0][axis])
            if 2 * (step + 1) <= length:
                if length + steps < 12:  # as the shard fills up, dead bytes are left out
                    assert now[number] == (offset, size), "an old inner chunk moved"
                assert new[now[number][0] : sum(now[number])] == old[offset : offset + size]
        if length % 2 == 0:
            theirs = parsed(source / "data" / "c" / "0" / "0" / "0", made(location), 24)
            bytes_ = (source / "data" / "c" / "0" / "0" / "0").read_bytes()
            for number, (offset, size) in theirs.items():
                at = list(np.argwhere(numbers == number)[0])
                at[axis] += length // 2
                here = now[int(numbers[tuple(at)])]
                assert new[here[0] : sum(here)] == bytes_[offset : offset + size], "an inner chunk was encoded anew"
        length += steps
        expected = cubes.joined(parts, cubes.axes_of(axis))
        cubes.same(cubes.read(tmp_path / "t"), expected)
        np.testing.assert_array_equal(cubes.read_tensorstore(tmp_path / "t" / "data", zarr_format=3), expected["data"])


def test_dead_bytes_are_used_again_and_old_inner_chunks_stay(tmp_path: Path) -> None:
    """Inner chunks that are rewritten again and again leave gaps, which later ones fill; none that is kept moves."""
    options: dict[str, Any] = {"zarr_format": 3, "chunks": (4, 2, 3), "shards": (8, 4, 6)}
    parts = [cubes.make_slice(tmp_path / "t", steps=1, **options)]
    shard = tmp_path / "t" / "data" / "c" / "0" / "0" / "0"
    before = parsed(shard, made(), 8)
    for start in range(1, 8):
        parts.append(cubes.make_slice(tmp_path / f"{start}", steps=1, start=start, **options))
        zapz.append(tmp_path / "t", tmp_path / f"{start}", **FAST)
        held = parsed(shard, made(), 8)
        if start > 4:
            assert {number: held[number] for number in range(4)} == {number: before[number] for number in range(4)}
        before = held
    live = sum(size for _, size in held.values())
    assert shard.stat().st_size - shards.index_bytes(made(), 8) <= 2 * live
    cubes.same(cubes.read(tmp_path / "t"), cubes.joined(parts, cubes.axes_of()))


def test_a_slice_of_raw_chunks_becomes_inner_chunks_as_bytes(tmp_path: Path) -> None:
    a = cubes.make_slice(tmp_path / "t", zarr_format=3, chunks=(1, 2, 3), shards=(5, 4, 6), steps=2)
    b = cubes.make_slice(tmp_path / "b", zarr_format=2, chunks=(1, 2, 3), steps=2, start=2, fill=None)
    zapz.append(tmp_path / "t", tmp_path / "b", **FAST)
    shard = tmp_path / "t" / "data" / "c" / "0" / "0" / "0"
    held, data = parsed(shard, made(), 20), shard.read_bytes()
    for t in range(2):
        for y in range(2):
            for x in range(2):
                offset, size = held[(t + 2) * 4 + y * 2 + x]
                assert data[offset : offset + size] == (tmp_path / "b" / "data" / f"{t}.{y}.{x}").read_bytes()
    cubes.same(cubes.read(tmp_path / "t"), cubes.joined([a, b], cubes.axes_of()))


def test_missing_inner_chunks_stay_missing_or_hold_the_fill_value_of_the_slice(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "zarr_format": 3,
        "chunks": (1, 2, 3),
        "shards": (4, 4, 6),
        "write_empty": False,
        "static": False,
    }
    data = np.zeros((2, 4, 6), "f4")
    data[0, 0, 0] = 5
    a = cubes.make_slice(tmp_path / "t", steps=2, fill=0, data=data, **options)
    b = cubes.make_slice(tmp_path / "b", steps=1, start=2, fill=0, data=data[:1], **options)
    c = cubes.make_slice(tmp_path / "c", steps=1, start=3, fill=9, data=np.full((1, 4, 6), 9, "f4"), **options)
    zapz.append(tmp_path / "t", tmp_path / "b", **FAST)
    shard = tmp_path / "t" / "data" / "c" / "0" / "0" / "0"
    assert sorted(parsed(shard, made(), 16)) == [0, 8]
    zapz.append(tmp_path / "t", tmp_path / "c", **FAST)
    assert sorted(parsed(shard, made(), 16)) == [0, 8, 12, 13, 14, 15]
    cubes.same(cubes.read(tmp_path / "t"), cubes.joined([a, b, c], cubes.axes_of()))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_shards_of_any_shape_with_stale_slots_read_as_the_concatenation(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, parts, start = Path(folder), [], 0
        alike = data.draw(st.booleans())
        for number in range(3):
            if number == 0 or not alike:
                chunks = tuple(data.draw(st.integers(1, 3)) for _ in range(2))
                shape = tuple(c * data.draw(st.integers(1, 4)) for c in chunks)
                options = {
                    "chunks": chunks,
                    "shards": shape,
                    "index_location": data.draw(st.sampled_from(["start", "end"])),
                    "order": data.draw(st.sampled_from("CF")),
                }
            steps, extra = data.draw(st.integers(1, 7)), data.draw(st.integers(0, 6))
            index = INDEX_CODECS[data.draw(st.sampled_from(sorted(INDEX_CODECS)))]
            values = cubes.make_slice(
                root / f"{number}",
                zarr_format=3,
                shape=(5,),
                start=start,
                steps=steps + extra,
                compressors=cubes.compressor("zstd", 3),
                static=False,
                index_codecs=index,
                **options,
            )
            cubes.shrink(root / f"{number}", steps)
            parts.append({name: value[:steps] for name, value in values.items()})
            start += steps
        target = root / "0" if data.draw(st.booleans()) else root / "t"
        zapz.append(target, [root / f"{n}" for n in range(3) if root / f"{n}" != target], **FAST)
        expected = cubes.joined(parts, cubes.axes_of())
        cubes.same(cubes.read(target), expected)
        np.testing.assert_array_equal(cubes.read_tensorstore(target / "data", zarr_format=3), expected["data"])


# -- damage ------------------------------------------------------------------------------------------------------------------


def damaged(data: bytes, how: str, location: str) -> bytes:
    head = 16 * 8 + 4
    place = 0 if location == "start" else len(data) - head
    if how == "flip":
        return data[: place + 9] + bytes([data[place + 9] ^ 1]) + data[place + 10 :]
    if how == "truncated":
        return data[: len(data) // 2]
    if how == "short":
        return data[:20]
    if how == "empty":
        return b""
    config = made(location)
    index = shards.parse_index(config, 8, data[place : place + head], len(data))
    for number in range(8):
        if index.range(number) is not None:
            index.entries[number] = {"outside": (len(data), 5), "long": (head, 2**40), "wraps": (2**64 - 8, 16)}[how]
    return data[:place] + shards.build(config, index) + data[place + head :]


@pytest.mark.parametrize("how", ["flip", "truncated", "short", "empty", "outside", "long", "wraps"])
@pytest.mark.parametrize("location", ["start", "end"])
@pytest.mark.parametrize("who", ["target", "slice", "slice, copied whole"])
def test_a_damaged_shard_is_refused_and_the_target_untouched(tmp_path: Path, how: str, location: str, who: str) -> None:
    whole = who == "slice, copied whole"
    options: dict[str, Any] = {"zarr_format": 3, "chunks": (1, 2, 6), "shards": (4, 4, 6), "index_location": location}
    cubes.make_slice(tmp_path / "t", steps=4 if whole else 2, **options)
    cubes.make_slice(tmp_path / "s", steps=2, start=4 if whole else 2, **options)
    shard = tmp_path / ("t" if who == "target" else "s") / "data" / "c" / "0" / "0" / "0"
    shard.write_bytes(damaged(shard.read_bytes(), how, location))
    before = cubes.files(tmp_path / "t")
    with pytest.raises(ChunkError) as caught:
        zapz.append(tmp_path / "t", tmp_path / "s")
    assert caught.value.exit_code == 5
    assert str(tmp_path / ("t" if who == "target" else "s")) in str(caught.value)
    assert cubes.files(tmp_path / "t") == before


def test_a_missing_shard_of_the_target_is_the_fill_value(tmp_path: Path) -> None:
    options: dict[str, Any] = {"zarr_format": 3, "chunks": (1, 2, 6), "shards": (4, 4, 6), "fill": 3}
    a = cubes.make_slice(tmp_path / "t", steps=2, **options)
    b = cubes.make_slice(tmp_path / "s", steps=2, start=2, **options)
    shutil.rmtree(tmp_path / "t" / "data" / "c")
    a["data"][...] = 3
    zapz.append(tmp_path / "t", tmp_path / "s")
    cubes.same(cubes.read(tmp_path / "t"), cubes.joined([a, b], cubes.axes_of()))


def test_the_checksum_is_the_one_of_the_specification() -> None:
    """CRC32C of 32 zero bytes (RFC 3720, B.4), little-endian behind the index."""
    data = shards.build(made(), ShardIndex(entries=np.zeros((2, 2), np.uint64)))
    assert data == bytes(32) + struct.pack("<I", 0x8A9136AA)


@pytest.mark.parametrize(("mine", "theirs"), [(0.0, np.nan), (5.0, 7.0), (np.nan, 0.0), (5.0, 5.0)])
@pytest.mark.parametrize("steps", [4, 3], ids=["at a shard", "within a shard"])
def test_inner_chunks_that_a_shard_lacks_keep_their_values(
    tmp_path: Path, steps: int, mine: float, theirs: float
) -> None:
    """They read as the fill value of the array that they lie in. Bytes that are equal are no equal cells then."""
    values = np.random.default_rng(1).random((4, 20))
    values[1] = mine
    for name, start, count, fill, data in (("t", 0, steps, theirs, 1 - values[:steps]), ("s", steps, 4, mine, values)):
        root = zarr.open_group(tmp_path / name, mode="w", zarr_format=3)
        root.create_array("time", data=np.arange(start, start + count), dimension_names=["time"]).attrs.update(DAYS)
        layout: Any = {"chunks": (1, 20), "shards": (4, 20), "dimension_names": ["time", "x"], "fill_value": fill}
        root.create_array("v", shape=data.shape, dtype="f8", **layout)[...] = data
    zapz.append(tmp_path / "t", tmp_path / "s")
    expected = np.concatenate([1 - values[:steps], values])
    np.testing.assert_array_equal(read(tmp_path / "t")["v"], expected)
    assert zapz.append(tmp_path / "t", tmp_path / "s", verify=True).slices[0].outcome == "already"
    # The same bytes in the target say something else, if its fill value is another.
    if steps == 4 and not np.array_equal(mine, theirs, equal_nan=True):
        (tmp_path / "t/v/c/1/0").write_bytes((tmp_path / "s/v/c/0/0").read_bytes())
        with pytest.raises(zapz.SliceError, match="v"):
            zapz.append(tmp_path / "t", tmp_path / "s", verify=True)
