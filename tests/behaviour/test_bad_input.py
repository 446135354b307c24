"""Bad input, through the command line: the exit code and message of the contract, no traceback, no leftover, the
target byte for byte as it was."""

from __future__ import annotations

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import cubes
from kit.command_line import Said, cli
from kit.faulty_runs import SOURCE
from kit.trees import differ, tree

PATIENCE = 20
"""Seconds after which a command counts as hanging."""


@pytest.fixture(scope="module", params=[2, 3])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[int, Path]:
    """Give a format and a folder with a target and good slices (plain, compressed, sharded) that could follow it."""
    place = tmp_path_factory.mktemp(f"made{request.param}")
    common: dict[str, Any] = {"zarr_format": request.param, "shape": (10, 8), "chunks": (3, 5, 8), "consolidated": True}
    cubes.make_slice(place / "first.zarr", **common)
    assert cli("append", place / "target.zarr", place / "first.zarr").code == 0
    cubes.make_slice(place / "plain.zarr", start=3, **common)
    return request.param, place


class Case:
    """A fresh target, and a fresh slice to be damaged."""

    def __init__(self, made: tuple[int, Path], place: Path) -> None:
        self.zarr_format, source = made
        self.target, self.slice = place / "cube.zarr", place / "part.zarr"
        shutil.copytree(source / "target.zarr", self.target)
        shutil.copytree(source / "plain.zarr", self.slice)
        self.old = tree(self.target)

    def document(self, name: str, *, of: Path | None = None) -> Path:
        """Return the path of an array's (or the root's) document."""
        return (of or self.slice) / name / ("zarr.json" if self.zarr_format == 3 else ".zarray" if name else ".zgroup")

    def change(self, name: str, edit: Callable[[dict[str, Any]], object], *, of: Path | None = None) -> None:
        """Change an array's document, and drop consolidated metadata, which would contradict it."""
        path = self.document(name, of=of)
        meta = json.loads(path.read_text())
        edit(meta)
        path.write_text(json.dumps(meta))
        if self.zarr_format == 2:
            ((of or self.slice) / ".zmetadata").unlink(missing_ok=True)
        else:
            root = (of or self.slice) / "zarr.json"
            meta = json.loads(root.read_text())
            meta.pop("consolidated_metadata", None)
            root.write_text(json.dumps(meta))

    def chunks(self, name: str = "data") -> list[Path]:
        """Return the chunk files of the slice's array."""
        return sorted(p for p in (self.slice / name).rglob("*") if p.is_file() and p.name[0].isdigit())

    def refused(self, *codes: int, naming: str = "", arguments: tuple[object, ...] = ()) -> Said:
        """Append, and check exit code, message and target; try a new target as well, of which nothing may remain."""
        new = self.target.with_name("new.zarr")
        said = guarded("append", self.target, self.slice, *arguments)
        assert said.code in codes, said
        assert said.err.startswith("zapz: ")
        assert "Traceback" not in said.err
        assert naming in said.err, said.err
        assert tree(self.target) == self.old, differ(tree(self.target), self.old)
        again = guarded("append", new, self.slice, *arguments)
        assert "Traceback" not in again.err, again.err
        if again.code:
            assert tree(new) == {}, again
        else:
            shutil.rmtree(new)
        return said


def guarded(*arguments: object) -> Said:
    """Run the command line in this process; what hangs is a failure."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"still running after {PATIENCE} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        return cli(*arguments)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture
def case(made: tuple[int, Path], tmp_path: Path) -> Case:
    """Give a case."""
    return Case(made, tmp_path)


def test_good_slice(case: Case) -> None:
    """What every test below damages is appended otherwise."""
    assert cli("append", case.target, case.slice).code == 0


# -- no slice --------------------------------------------------------------------------------------------------------


def test_slice_not_there(case: Case) -> None:
    """Exit code 6 that names it."""
    shutil.rmtree(case.slice)
    case.refused(6, naming=str(case.slice))


def test_long_names(case: Case) -> None:
    """Longer than the file system allows."""
    name = case.target.parent / ("x" * 300)
    for said in (
        guarded("append", case.target, name),
        guarded("append", name, case.slice),
        guarded("recover", name),
        guarded("info", name),
    ):
        assert said.code == 6, said
        assert "Traceback" not in said.err
    assert tree(case.target) == case.old


def test_circle_of_links(case: Case) -> None:
    """A link to itself, as slice and as target."""
    name = case.target.with_name("loop.zarr")
    name.symlink_to(name)
    for said in (guarded("append", case.target, name), guarded("append", name, case.slice)):
        assert said.code in {4, 6}, said
        assert "Traceback" not in said.err
    assert tree(case.target) == case.old


@pytest.mark.parametrize("what", ["empty", "text", "file", "pipe", "zip", "icechunk", "old v3"])
def test_no_zarr(what: str, case: Case) -> None:
    """Exit code 4 (a wrong path is not a Zarr either)."""
    shutil.rmtree(case.slice)
    if what == "file":
        case.slice.write_bytes(b"hello")
    elif what == "zip":
        case.slice = case.slice.with_suffix(".zip")
        case.slice.write_bytes(b"PK\x03\x04 and then nothing")
    elif what == "pipe":
        os.mkfifo(case.slice)
    else:
        case.slice.mkdir()
        if what == "text":
            (case.slice / "README").write_text("hello")
        for name in {"icechunk": ("snapshots", "manifests", "refs"), "old v3": ("meta", "data")}.get(what, ()):
            (case.slice / name).mkdir()
    case.refused(*((4, 6) if what in {"zip", "pipe"} else (4,)), naming=str(case.slice))


@pytest.mark.parametrize("what", ["document", "group document", "folder"])
def test_half_a_store(what: str, case: Case) -> None:
    """Consolidated metadata name an array whose own document, or folder, is gone; or only chunks are left."""
    if what == "document":
        case.document("data").unlink()
        case.refused(4, naming="data")
    elif what == "folder":
        shutil.rmtree(case.slice / "data")
        case.refused(4, naming="data")
    else:
        for path in case.slice.rglob("*"):
            if path.is_file() and path.name in {".zgroup", ".zarray", ".zmetadata", "zarr.json", ".zattrs"}:
                path.unlink()
        case.refused(4, naming=str(case.slice))


# -- broken metadata -------------------------------------------------------------------------------------------------

BROKEN = {
    "empty": b"",
    "half": b'{"zarr_format": 2, "sha',
    "list": b"[1, 2]",
    "number": b"7",
    "null": b"null",
    "binary": bytes(range(256)),
    "utf-16": '{"zarr_format": 2}'.encode("utf-16"),
    "twice": b'{"zarr_format": 2, "zarr_format": 3}',
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 50_000,
    "long number": b'{"zarr_format": ' + b"9" * 5000 + b"}",
    "surrogate": b'{"zarr_format": "\\ud800", "node_type": "\\ud800"}',
    "nothing": b"{}",
    "infinite": b'{"zarr_format": Infinity}',
}


@pytest.mark.parametrize("where", ["", "data", "time"])
@pytest.mark.parametrize("kind", list(BROKEN))
def test_broken_json(kind: str, where: str, case: Case) -> None:
    """Exit code 4 that names the document."""
    case.document(where).write_bytes(BROKEN[kind])
    case.refused(4, naming=case.document(where).name)


@pytest.mark.parametrize("kind", ["empty", "half", "list", "binary", "deep"])
def test_broken_json_of_the_target(kind: str, case: Case) -> None:
    """The same in the target, and in its consolidated metadata and attributes."""
    documents = [case.document("data", of=case.target), case.document("", of=case.target)]
    if case.zarr_format == 2:
        documents += [case.target / ".zmetadata", case.target / "data/.zattrs", case.target / ".zattrs"]
    for path in documents:
        good = path.read_bytes()
        path.write_bytes(BROKEN[kind])
        was = tree(case.target)
        said = guarded("append", case.target, case.slice)
        assert said.code == 4, (path, said)
        assert str(case.target) in said.err
        assert tree(case.target) == was
        for command in ("info", "recover"):
            said = guarded(command, case.target)
            assert said.code in {0, 4}, said
            assert "Traceback" not in said.err
        path.write_bytes(good)


SHAPES: list[Any] = [
    None,
    "3",
    3,
    [3],
    [3, 10],
    [3, 10, 8, 1],
    [-3, 10, 8],
    [3.5, 10, 8],
    ["3", 10, 8],
    [True, 10, 8],
    [None, 10, 8],
    [[3], 10, 8],
    {"a": 3},
    [1 << 70, 10, 8],
    [3, 10, -8],
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_of_nonsense(shape: Any, case: Case) -> None:
    """No shape, wrong types, wrong numbers: exit code 4, or 3 where it is a shape, but another one."""
    case.change("data", lambda meta: meta.update(shape=shape))
    case.refused(3, 4, naming="data")


@pytest.mark.parametrize(
    "chunks",
    [None, 3, [], [0, 5, 8], [-1, 5, 8], [3.5, 5, 8], ["3", 5, 8], [3, 5], [True, 5, 8], [1 << 70, 5, 8]],
    ids=str,
)
def test_chunks_of_nonsense(chunks: Any, case: Case) -> None:
    """The same for chunk shapes."""

    def edit(meta: dict[str, Any]) -> None:
        if case.zarr_format == 2:
            meta["chunks"] = chunks
        else:
            meta["chunk_grid"]["configuration"]["chunk_shape"] = chunks

    case.change("data", edit)
    case.refused(4, 5, naming="data")


@pytest.mark.parametrize("axes", ["time", "space", "all", "labels"])
def test_shape_of_two_to_the_62(axes: str, case: Case) -> None:
    """Neither memory nor time without end: refused, in the slice and in the target."""
    big = 1 << 62
    shape = {"time": [big, 10, 8], "space": [3, big, 8], "all": [big, big, big], "labels": [big, 10, 8]}[axes]
    was = case.document("data").read_bytes(), case.document("time").read_bytes()
    for of in (case.slice, case.target):
        case.change("data", lambda meta: meta.update(shape=shape), of=of)
        if axes == "labels":
            case.change("time", lambda meta: meta.update(shape=[big]), of=of)
        if of == case.target:
            case.old = tree(case.target)
            case.document("data").write_bytes(was[0])
            case.document("time").write_bytes(was[1])
        case.refused(3, 4, 5, 6, naming=str(of))


@pytest.mark.parametrize("axis", ["chunk", "fill"])
def test_chunk_of_two_to_the_62(axis: str, case: Case) -> None:
    """A chunk that claims to be larger than any memory, with and without a chunk file."""

    def edit(meta: dict[str, Any]) -> None:
        if case.zarr_format == 2:
            meta["chunks"] = [3, 1 << 62, 8]
        else:
            meta["chunk_grid"]["configuration"]["chunk_shape"] = [3, 1 << 62, 8]

    case.change("data", edit)
    if axis == "fill":
        for path in case.chunks():
            path.unlink()
    case.refused(4, 5, naming="data")


DTYPES: list[Any] = [
    None,
    3,
    "",
    "<f3",
    "<Q9",
    "float7",
    "|O",
    "<U99999999999",
    "object",
    {"name": "numpy.datetime64", "configuration": {}},
    [["a", "<i4"]],
    [["a", "<i4"], ["a", "<i4"]],
    "<f4,<f4",
    "complex1",
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes_of_nonsense(dtype: Any, case: Case) -> None:
    """Exit code 4, or 3 where it is a type, but another one."""
    case.change("data", lambda meta: meta.update({"dtype" if case.zarr_format == 2 else "data_type": dtype}))
    case.refused(3, 4, 5, naming="data")


@pytest.mark.parametrize("fill", ["seven", [1], {"a": 1}, "0xzz", "NaN!", "AAAA=", True], ids=str)
def test_fill_values_of_nonsense(fill: Any, case: Case) -> None:
    """Exit code 4."""
    case.change("data", lambda meta: meta.update(fill_value=fill))
    case.refused(3, 4, naming="data")


CODECS: list[Any] = [
    {"id": "pickle", "name": "pickle"},
    {"id": "pickle", "name": "numcodecs.pickle", "configuration": {"protocol": 5}},
    {"id": "no such codec", "name": "no such codec"},
    {"id": "../evil", "name": "os.system"},
    {"id": 7, "name": 7},
    {"id": None},
    "zstd",
    7,
    [],
    {"id": "blosc", "name": "blosc", "cname": "evil", "configuration": {"cname": "evil"}},
    {"id": "zlib", "name": "numcodecs.zlib", "level": "high", "configuration": {"level": "high"}},
    {
        "id": "fixedscaleoffset",
        "name": "numcodecs.fixedscaleoffset",
        "scale": 0,
        "offset": 0,
        "dtype": "<f4",
        "configuration": {"scale": 0, "offset": 0, "dtype": "<f4"},
    },
    {
        "id": "astype",
        "name": "numcodecs.astype",
        "encode_dtype": "O",
        "decode_dtype": "O",
        "configuration": {"encode_dtype": "O", "decode_dtype": "O"},
    },
    {"id": "delta", "name": "numcodecs.delta", "dtype": "|O", "configuration": {"dtype": "|O"}},
    {"id": "sharding_indexed", "name": "sharding_indexed", "configuration": {}},
    {"id": "transpose", "name": "transpose", "configuration": {"order": [0, 0, 0]}},
]


@pytest.mark.parametrize("codec", CODECS, ids=lambda c: str(c)[:50])
@pytest.mark.parametrize("where", ["data", "time"])
def test_codecs_that_are_not_allowed(where: str, codec: Any, case: Case) -> None:
    """Pickle, unknown ones, wrong parameters: refused, in the cube and in the labels, which must be decoded; nothing
    is run."""

    def edit(meta: dict[str, Any]) -> None:
        if case.zarr_format == 2:
            meta["compressor"] = codec
        else:
            meta["codecs"] = (
                [meta["codecs"][0], codec]
                if not (isinstance(codec, dict) and codec.get("name") == "transpose")
                else [codec, *meta["codecs"]]
            )

    case.change(where, edit)
    case.refused(4, 5, naming=where)


def test_pickle_runs_nothing(case: Case, tmp_path: Path) -> None:
    """An object array filtered by pickle, whose chunk would make a file if it were unpickled."""
    mark = tmp_path / "run"
    evil = b"cos\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR."
    for name in ("data", "time"):

        def edit(meta: dict[str, Any]) -> None:
            if case.zarr_format == 2:
                meta |= {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 0}], "fill_value": None}
            else:
                meta["codecs"] = [{"name": "numcodecs.pickle", "configuration": {"protocol": 0}}]

        case.change(name, edit)
        for path in case.chunks(name):
            path.write_bytes(evil)
    case.refused(3, 4)
    assert not mark.exists()


@pytest.mark.parametrize(
    "name", ["../evil", "..", "a/../../evil", "/etc/evil", "a\\b", "a//b", ".", "\0", "a\0"], ids=repr
)
def test_names_that_lead_out(name: str, case: Case) -> None:
    """In consolidated metadata: exit code 4; nothing is read or written elsewhere."""
    evil = case.target.parent / "evil"
    shutil.copytree(case.slice / "data", evil)
    was = tree(evil)
    document = json.loads(case.document("data").read_text())
    if case.zarr_format == 2:
        meta = json.loads((case.slice / ".zmetadata").read_text())
        meta["metadata"][f"{name}/.zarray"] = document
        (case.slice / ".zmetadata").write_text(json.dumps(meta))
    else:
        meta = json.loads((case.slice / "zarr.json").read_text())
        meta["consolidated_metadata"]["metadata"][name] = document
        (case.slice / "zarr.json").write_text(json.dumps(meta))
    case.refused(4)
    assert tree(evil) == was


@pytest.mark.parametrize(
    "dims",
    [None, [], ["time"], ["time", "y", 7], ["time", "time", "x"], ["a", "b", "c"], "time", [None, None, None]],
    ids=str,
)
def test_dimension_names_of_nonsense(dims: Any, case: Case) -> None:
    """Exit code 3 or 4."""
    if case.zarr_format == 2:
        (case.slice / "data/.zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": dims}))
        (case.slice / ".zmetadata").unlink()
    else:
        case.change("data", lambda meta: meta.update(dimension_names=dims))
    case.refused(3, 4, naming="data")


@pytest.mark.parametrize(
    "units",
    [
        "",
        7,
        "fortnights since 2020",
        "days since",
        "days since yesterday",
        "days since 2020-13-45",
        "days since 99999999999-01-01",
        "days",
        None,
    ],
    ids=str,
)
def test_units_of_nonsense(units: Any, case: Case) -> None:
    """Labels whose units cannot be read: refused, or taken for other units; never a traceback."""
    if case.zarr_format == 2:
        (case.slice / "time/.zattrs").write_text(json.dumps({"_ARRAY_DIMENSIONS": ["time"], "units": units}))
        (case.slice / ".zmetadata").unlink()
    else:
        case.change("time", lambda meta: meta.update(attributes={"units": units}))
    case.refused(3, 4, naming="time")


@pytest.mark.parametrize("value", ["inf", "nan", 0, "zero", [1], {"a": 1}, None, 1e400], ids=str)
@pytest.mark.parametrize("name", ["scale_factor", "add_offset", "_FillValue", "missing_value"])
def test_packing_of_nonsense(name: str, value: Any, case: Case) -> None:
    """Packing attributes that are no numbers: refused or harmless; never a traceback."""
    attributes = {name: value} | ({"_ARRAY_DIMENSIONS": ["time", "y", "x"]} if case.zarr_format == 2 else {})
    if case.zarr_format == 2:
        (case.slice / "data/.zattrs").write_text(json.dumps(attributes))
        (case.slice / ".zmetadata").unlink()
    else:
        case.change("data", lambda meta: meta.update(attributes=attributes))
    said = guarded("append", case.target, case.slice)
    assert said.code in {0, 3, 4}, said
    assert "Traceback" not in said.err
    if said.code:
        assert tree(case.target) == case.old


# -- damaged chunks --------------------------------------------------------------------------------------------------

COMPRESSORS = ["raw", "blosc", "zstd", "gzip", "zlib", "lz4", "sharded", "sharded first"]


def compressed(name: str) -> tuple[int, dict[str, Any]]:
    """Return a format and what ``make_slice`` needs to write chunks so."""
    import numcodecs
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    return {
        "raw": (2, {}),
        "blosc": (3, {"compressors": BloscCodec(cname="lz4")}),
        "zstd": (3, {"compressors": ZstdCodec(level=1, checksum=True)}),
        "gzip": (3, {"compressors": GzipCodec(level=1)}),
        "zlib": (2, {"compressors": numcodecs.Zlib(1)}),
        "lz4": (2, {"compressors": numcodecs.LZ4()}),
        "sharded": (3, {"chunks": (1, 5, 8), "shards": (3, 10, 8)}),
        "sharded first": (3, {"chunks": (1, 5, 8), "shards": (3, 10, 8), "index_location": "start"}),
    }[name]


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a folder with ``target.zarr`` and ``plain.zarr``, a slice that could follow, by the name of a compressor."""
    places: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in places:
            place = places[name] = tmp_path_factory.mktemp("packed")
            zarr_format, options = compressed(name)
            options = {"zarr_format": zarr_format, "shape": (10, 8), "chunks": (3, 5, 8), **options}
            for number, part in enumerate(("first", "plain")):
                cubes.make_slice(place / f"{part}.zarr", start=3 * number, **options)
            assert cli("append", place / "target.zarr", place / "first.zarr").code == 0
        return places[name]

    return get


def names_chunk(said: Said, root: Path, path: Path) -> bool:
    """Whether a message names a chunk: by its file, or for shards by the inner chunk."""
    return str(path.relative_to(root)) in said.err or f"{path.relative_to(root).parts[0]}/inner chunk" in said.err


TELLS_LITTLE = {("zlib", "cut"), ("zlib", "longer"), ("lz4", "cut"), ("lz4", "longer"), ("zstd", "longer")}
"""What only decoding finds, because the stream does not say how long it is itself; bytes behind a whole stream do no
harm."""


@pytest.mark.parametrize("how", ["cut", "empty", "one byte", "longer", "zeros", "text"])
@pytest.mark.parametrize("name", COMPRESSORS)
def test_damaged_chunk(name: str, how: str, packed: Callable[[str], Path], tmp_path: Path) -> None:
    """Truncated, empty, with more behind it, or something else altogether: exit code 5 that names the chunk, copied
    or decoded."""
    case = Case((compressed(name)[0], packed(name)), tmp_path)
    path = case.chunks()[-1]
    good = path.read_bytes()
    data = {
        "cut": good[:-5],
        "empty": b"",
        "one byte": good[:1],
        "longer": good + b"behind",
        "zeros": bytes(len(good)),
        "text": b"hello, world " * 9,
    }[how]
    path.write_bytes(data)
    (tmp_path / "c.toml").write_text("verify = true\n")
    said = guarded(
        "append",
        case.target,
        case.slice,
        "--quiet",
        *(["-c", tmp_path / "c.toml"] if (name, how) in TELLS_LITTLE else []),
    )
    if (name, how) == ("raw", "zeros"):
        assert said.code == 0
        return
    if said.code == 0 and how == "longer" and (name == "sharded first" or (name, how) in TELLS_LITTLE):
        return
    assert said.code == 5, said
    assert names_chunk(said, case.slice, path), said.err
    assert "Traceback" not in said.err
    assert tree(case.target) == case.old


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
@pytest.mark.parametrize("name", COMPRESSORS)
def test_damaged_labels(name: str, how: str, packed: Callable[[str], Path], tmp_path: Path) -> None:
    """The chunk of the labels, which is always decoded."""
    case = Case((compressed(name)[0], packed(name)), tmp_path)
    path = case.chunks("time")[-1]
    path.write_bytes({"cut": path.read_bytes()[:-5], "empty": b"", "text": b"hello, world " * 9}[how])
    said = case.refused(5)
    assert "time" in said.err


@pytest.mark.parametrize("how", ["cut", "empty", "text"])
@pytest.mark.parametrize("name", ["raw", "blosc", "sharded"])
def test_damaged_boundary_chunk_of_the_target(
    name: str, how: str, packed: Callable[[str], Path], tmp_path: Path
) -> None:
    """A chunk of the target that must be read to be extended: exit code 5 that names the target's chunk; it stays as
    it is."""
    zarr_format, options = compressed(name)
    options = {"zarr_format": zarr_format, "shape": (10, 8), "chunks": (4, 5, 8), **options}
    if name == "sharded":
        options["shards"] = (4, 10, 8)
    target, part = tmp_path / "cube.zarr", tmp_path / "part.zarr"
    cubes.make_slice(tmp_path / "first.zarr", steps=3, **options)
    cubes.make_slice(part, start=3, steps=3, **options)
    assert cli("append", target, tmp_path / "first.zarr").code == 0
    path = max(p for p in (target / "data").rglob("*") if p.is_file() and p.name[0].isdigit())
    path.write_bytes({"cut": path.read_bytes()[:-5], "empty": b"", "text": b"hello, world " * 9}[how])
    was = tree(target)
    said = guarded("append", target, part)
    assert said.code == 5, said
    assert names_chunk(said, target, path), said.err
    assert "Traceback" not in said.err
    assert tree(target) == was


@pytest.mark.parametrize("name", ["blosc", "zstd", "gzip", "zlib", "lz4"])
@pytest.mark.parametrize("verify", [False, True])
def test_flipped_bits(name: str, verify: bool, packed: Callable[[str], Path], tmp_path: Path) -> None:
    """Any flipped bit of a chunk is refused with exit code 5 or goes unnoticed by the format; with ``verify`` what
    does not decode is always found."""
    import numcodecs

    case = Case((compressed(name)[0], packed(name)), tmp_path)
    path = case.chunks()[0]
    good = path.read_bytes()
    decode = {
        "blosc": numcodecs.Blosc(),
        "zstd": numcodecs.Zstd(),
        "gzip": numcodecs.GZip(),
        "zlib": numcodecs.Zlib(),
        "lz4": numcodecs.LZ4(),
    }[name].decode
    config = tmp_path / "c.toml"
    config.write_text(f"verify = {'true' if verify else 'false'}\n")
    rng = np.random.default_rng(1)
    bits = [*range(0, 96, 5), *rng.integers(96, 8 * len(good), size=12).tolist()]
    for bit in bits:
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        said = guarded("append", case.target, case.slice, "-c", config, "--quiet")
        assert said.code in {0, 5}, (bit, said)
        assert "Traceback" not in said.err
        if said.code == 5:
            assert tree(case.target) == case.old
            continue
        if verify:
            try:
                decodes = len(memoryview(decode(bytes(data))).cast("B")) == 3 * 5 * 8 * 4
            except Exception:  # noqa: BLE001 - codecs raise what they like
                decodes = False
            assert decodes, f"bit {bit} was not noticed"
        shutil.rmtree(case.target)
        shutil.copytree(packed(name) / "target.zarr", case.target)


@pytest.mark.parametrize("name", ["sharded", "sharded first"])
def test_flipped_shard_index(name: str, packed: Callable[[str], Path], tmp_path: Path) -> None:
    """Any flipped bit of a shard's index or of its checksum: exit code 5."""
    case = Case((3, packed(name)), tmp_path)
    path = case.chunks()[0]
    good = path.read_bytes()
    size = 6 * 16 + 4
    start = len(good) - size if name == "sharded" else 0
    for bit in range(8 * start, 8 * (start + size), 23):
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        said = guarded("append", case.target, case.slice)
        assert said.code == 5, (bit, said)
        assert names_chunk(said, case.slice, path), said.err
        assert tree(case.target) == case.old


@pytest.mark.parametrize(
    "entry",
    [(1 << 63, 100), (0, 1 << 63), ((1 << 64) - 1, 5), (10**6, 100), (0, 10**6), ((1 << 64) - 100, 200), (0, 0)],
    ids=str,
)
def test_shard_index_that_points_elsewhere(
    entry: tuple[int, int], packed: Callable[[str], Path], tmp_path: Path
) -> None:
    """With a right checksum, but ranges outside of the file, or empty inner chunks: exit code 5."""
    import numcodecs

    case = Case((3, packed("sharded")), tmp_path)
    path = case.chunks()[0]
    good = path.read_bytes()
    index = bytearray(good[-100:-4])
    index[:16] = struct.pack("<QQ", *entry)
    summed = bytes(memoryview(numcodecs.checksum32.CRC32C(location="end").encode(bytes(index))).cast("B"))
    path.write_bytes(good[:-100] + summed)
    said = case.refused(5)
    assert names_chunk(said, case.slice, path), said.err


@pytest.mark.parametrize("claim", [0, 1, 479, 481, 1 << 31])
@pytest.mark.parametrize("where", ["data", "time"])
@pytest.mark.parametrize("name", ["zlib", "zstd", "gzip", "lz4", "blosc"])
def test_chunk_that_decodes_to_another_length(
    name: str, where: str, claim: int, packed: Callable[[str], Path], tmp_path: Path
) -> None:
    """A well-formed chunk of too little or too much (a bomb of 2 GiB too): exit code 5, by what it says of itself or
    by decoding."""
    import numcodecs

    case = Case((compressed(name)[0], packed(name)), tmp_path)
    codec = {
        "blosc": numcodecs.Blosc(),
        "zstd": numcodecs.Zstd(),
        "gzip": numcodecs.GZip(),
        "zlib": numcodecs.Zlib(),
        "lz4": numcodecs.LZ4(),
    }[name]
    path = case.chunks(where)[0]
    if claim == 1 << 31 and name in {"zlib", "gzip"}:
        if where == "data":
            pytest.skip("nothing in the stream says so, and a copied chunk is not decoded")
        import zlib

        packer = zlib.compressobj(9, zlib.DEFLATED, 31 if name == "gzip" else 15)
        block = bytes(1 << 20)
        path.write_bytes(b"".join(packer.compress(block) for _ in range(64)) + packer.flush())
    elif claim == 1 << 31:
        data = bytearray(bytes(memoryview(codec.encode(bytes(480))).cast("B")))
        at = {"lz4": 0, "blosc": 4}.get(name)
        if at is None:
            pytest.skip("its frame is made by the library alone")
        data[at : at + 4] = struct.pack("<I", (1 << 31) - 100)
        path.write_bytes(data)
    else:
        path.write_bytes(bytes(memoryview(codec.encode(bytes(claim))).cast("B")))
    arguments: tuple[object, ...] = ()
    if name == "zlib":  # says nothing of its length
        (tmp_path / "c.toml").write_text("verify = true\n")
        arguments = ("-c", tmp_path / "c.toml")
    said = case.refused(5, arguments=arguments)
    assert where in said.err


@given(data=st.data())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_edit_of_a_document(
    data: st.DataObject, made: tuple[int, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any bytes replaced, cut out or put in, in any document of a slice: appended or refused, never a traceback,
    never half."""
    place = tmp_path_factory.mktemp("edit")
    case = Case(made, place)
    documents = sorted(
        p.relative_to(case.slice)
        for p in case.slice.rglob("*")
        if p.name in {".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json"}
    )
    path = case.slice / data.draw(st.sampled_from(documents))
    good = path.read_bytes()
    start = data.draw(st.integers(0, len(good)))
    stop = data.draw(st.integers(start, min(len(good), start + 12)))
    new = data.draw(
        st.sampled_from(
            [
                b"",
                b"null",
                b"-1",
                b"0",
                b'"',
                b"{",
                b"[]",
                b"{}",
                b"1e999",
                b"9223372036854775807",
                b"\xff",
                b'""',
                b"true",
            ]
        )
        | st.binary(max_size=6)
    )
    path.write_bytes(good[:start] + new + good[stop:])
    said = guarded("append", case.target, case.slice)
    assert said.code in {0, 3, 4, 5, 6}, (good[start:stop], new, said)
    assert "Traceback" not in said.err
    if said.code:
        assert tree(case.target) == case.old
    shutil.rmtree(place)


# -- the target ------------------------------------------------------------------------------------------------------


def test_slice_is_the_target(case: Case) -> None:
    """The same, by another name, inside of it, or around it: exit code 3; nothing is touched."""
    link = case.target.with_name("link.zarr")
    link.symlink_to(case.target)
    around = case.target.parent
    for name in (
        case.target,
        link,
        f"{case.target}/",
        case.target / "data",
        case.target.parent / "." / case.target.name,
        f"file://{case.target}",
        around,
        around / "part.zarr" / ".." / "cube.zarr",
    ):
        said = guarded("append", case.target, name)
        assert said.code == 3, (name, said)
        assert tree(case.target) == case.old
    said = guarded("append", link, case.target)
    assert said.code == 3, said
    assert tree(case.target) == case.old


@pytest.mark.parametrize("depth", ["sub", "sub/deeper"])
def test_target_inside_another_group(depth: str, case: Case) -> None:
    """Exit code 4 that names the root; the same through a link."""
    new = case.target / depth / "new.zarr"
    new.parent.mkdir(parents=True)
    link = case.target.with_name("link")
    link.symlink_to(new.parent)
    was = tree(case.target)
    for name in (new, link / "new.zarr"):
        said = guarded("append", name, case.slice)
        assert said.code == 4, said
        assert str(case.target) in said.err
        assert tree(case.target) == was


@pytest.mark.parametrize("kind", ["file", "pipe", "dangling", "below a file"])
def test_target_that_is_no_folder(kind: str, case: Case) -> None:
    """A file, a pipe, a link to nowhere: refused, and it stays."""
    new = case.target.with_name("new.zarr")
    if kind == "file":
        new.write_bytes(b"mine")
    elif kind == "pipe":
        os.mkfifo(new)
    elif kind == "dangling":
        new.symlink_to(case.target.with_name("nowhere"))
    else:
        new.write_bytes(b"mine")
        new = new / "deeper.zarr"
    said = guarded("append", new, case.slice)
    assert said.code in {4, 6}, said
    assert "Traceback" not in said.err
    assert "new.zarr" in said.err
    assert not case.target.with_name("nowhere").exists()
    if kind == "file":
        assert new.read_bytes() == b"mine"


@pytest.mark.parametrize("kind", ["lengths", "both formats", "no dimension", "array"])
def test_targets_that_are_not_supported(kind: str, case: Case) -> None:
    """Arrays of different lengths, both formats in one place, without the append dimension, an array as root:
    refused, unchanged."""
    if kind == "lengths":
        case.change("data", lambda meta: meta.update(shape=[2, 10, 8]), of=case.target)
    elif kind == "both formats":
        other = {2: ("zarr.json", b'{"zarr_format": 3, "node_type": "group"}'), 3: (".zgroup", b'{"zarr_format": 2}')}[
            case.zarr_format
        ]
        (case.target / other[0]).write_bytes(other[1])
    elif kind == "array":
        (case.target / "data").rename(case.target.with_name("array.zarr"))
        case.target = case.target.with_name("array.zarr")
    was = tree(case.target)
    said = guarded("append", case.target, case.slice, *(["-d", "level"] if kind == "no dimension" else []))
    assert said.code in {3, 4}, said
    assert str(case.target) in said.err or kind in {"no dimension", "array"}
    assert tree(case.target) == was


def test_target_errors_come_first(case: Case) -> None:
    """If both are bad, the target is named."""
    case.document("data", of=case.target).write_bytes(b"{")
    shutil.rmtree(case.slice)
    said = guarded("append", case.target, case.slice)
    assert said.code == 4
    assert str(case.target) in said.err


@pytest.mark.parametrize("command", ["recover", "info"])
def test_commands_on_bad_places(command: str, case: Case) -> None:
    """Nothing there: 6. No Zarr: 4, or nothing to recover. Never a traceback, never a trace."""
    place = case.target.parent
    (place / "file").write_bytes(b"x")
    (place / "folder").mkdir()
    (place / "folder/photo.jpg").write_bytes(b"x")
    was = tree(place)
    for name, codes in (("nothing", {6}), ("file", {4, 6}), ("folder", {4} if command == "info" else {0, 4})):
        said = guarded(command, place / name)
        assert said.code in codes, (name, said)
        assert "Traceback" not in said.err
    assert tree(place) == was


def test_json_errors(case: Case) -> None:
    """``--json`` puts the error on standard output, alone and whole; the message is on standard error all the same."""
    shutil.rmtree(case.slice)
    said = guarded("append", case.target, case.slice, "--json")
    assert said.code == 6
    error = json.loads(said.out)["error"]
    assert error["exit_code"] == 6
    assert str(case.slice) in error["message"]
    assert said.err.startswith("zapz: ")


def test_real_process(case: Case) -> None:
    """The same in a process of its own: code, message, no traceback; with ``--traceback`` there is one."""
    shutil.rmtree(case.slice)
    for more in ([], ["--traceback"]):
        done = subprocess.run(
            [sys.executable, "-m", "zapz", "append", str(case.target), str(case.slice), *more],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": SOURCE},
        )
        assert ("Traceback" in done.stderr) == bool(more)
        if not more:
            assert done.returncode == 6
    assert tree(case.target) == case.old
