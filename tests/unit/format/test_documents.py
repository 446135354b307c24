"""Documents: one value changes, every other character stays; what is broken is refused."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kit import cubes

import zapz
from zapz.errors import MetadataError, UnsupportedError
from zapz.format import documents, jsontext, v2, v3

FAST = {"durability": "process", "workers": 1}
ODD_NUMBERS = [
    "1e400",
    "-1e400",
    "1.10",
    "1E+2",
    "-0",
    "-0.0",
    "NaN",
    "Infinity",
    "-Infinity",
    str(2**70),
    "0.1000000000000000055511151231257827",
    "1e-400",
    "12345678901234567890.0",
]
ODD_TEXTS = [
    '"\\u00e9"',
    '"é"',
    '"\\ud83d\\ude00"',
    '"😀"',
    '"\\/"',
    '"\\ud800"',
    '"\\u0000"',
    '"a\\tb"',
    '"{[,:]}"',
    '"\\""',
    '"\\\\"',
    '"\u2028"',
]

KEYS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=5) | st.sampled_from(
    ["shape", "chunks", "attributes", "metadata", "é", "a/b", '"', "\\"]
)
SPACES = st.sampled_from(["", " ", "\n", "\t", "\r\n  "])


@st.composite
def json_texts(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.sampled_from(["number", "text", "word", "object", "array"] if depth else ["number", "text", "word"]))
    if kind == "number":
        return draw(st.sampled_from(ODD_NUMBERS) | st.integers().map(str) | st.floats().map(json.dumps))
    if kind == "text":
        return draw(
            st.sampled_from(ODD_TEXTS) | st.text(st.characters(blacklist_categories=["Cs"]), max_size=4).map(json.dumps)
        )
    if kind == "word":
        return draw(st.sampled_from(["true", "false", "null"]))
    if kind == "array":
        return (
            "["
            + ",".join(
                draw(SPACES) + draw(json_texts(depth - 1)) + draw(SPACES) for _ in range(draw(st.integers(0, 3)))
            )
            + "]"
        )
    return object_text(
        draw, {key: draw(json_texts(depth - 1)) for key in draw(st.lists(KEYS, max_size=3, unique=True))}
    )


def object_text(draw: st.DrawFn, parts: dict[str, str]) -> str:
    members = [
        f"{draw(SPACES)}{json.dumps(key, ensure_ascii=draw(st.booleans()))}{draw(SPACES)}:{draw(SPACES)}{text}{draw(SPACES)}"
        for key, text in parts.items()
    ]
    return "{" + ",".join(members) + (draw(SPACES) if not members else "") + "}"


@st.composite
def objects_with(draw: st.DrawFn, needed: dict[str, str]) -> tuple[str, list[str]]:
    """An object that holds the needed members among others, in any order, and the order of its keys."""
    others = {
        key: draw(json_texts())
        for key in draw(st.lists(KEYS.filter(lambda k: k not in needed), max_size=4, unique=True))
    }
    order = draw(st.permutations([*needed, *others]))
    return draw(SPACES) + object_text(draw, {key: {**others, **needed}[key] for key in order}) + draw(SPACES), order


def values_text(text: str) -> dict[str, str]:
    return {m.key: text[m.start : m.end] for m in jsontext.members(text)}


# -- patching ----------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=150)
@given(objects_with({"shape": "[3, 4]"}), st.lists(st.integers(0, 2**64), max_size=3))
def test_a_new_shape_changes_nothing_else_in_v2(case: tuple[str, list[str]], shape: list[int]) -> None:
    text, _ = case
    new = v2.regrid({"a/.zarray": text.encode()}, "a", tuple(shape))["a/.zarray"].decode()
    assert json.loads(new)["shape"] == shape
    at = next(m for m in jsontext.members(text) if m.key == "shape")
    assert new == text[: at.start] + json.dumps(shape) + text[at.end :]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_new_shape_and_chunk_shape_change_nothing_else_in_v3(data: st.DataObject) -> None:
    configuration, _ = data.draw(objects_with({"chunk_shape": "[2 ,2]"}))
    grid, _ = data.draw(objects_with({"name": '"regular"', "configuration": configuration}))
    text, order = data.draw(objects_with({"shape": "[ 3,4 ]", "chunk_grid": grid}))
    new = v3.regrid({"zarr.json": text.encode()}, "", (5, 4), (7, 2))["zarr.json"].decode()
    before, after = values_text(text), values_text(new)
    assert list(after) == order
    assert {k: v for k, v in after.items() if k not in {"shape", "chunk_grid"}} == {
        k: v for k, v in before.items() if k not in {"shape", "chunk_grid"}
    }
    assert after["shape"] == "[5, 4]"
    assert (
        after["chunk_grid"] == before["chunk_grid"].replace("[2 ,2]", "[7, 2]", 1)
        or before["chunk_grid"].count("[2 ,2]") > 1
    )
    assert json.loads(after["chunk_grid"])["configuration"]["chunk_shape"] == [7, 2]


@settings(deadline=None, max_examples=100)
@given(objects_with({}), KEYS, json_texts())
def test_a_member_that_was_missing_is_added_at_the_end(case: tuple[str, list[str]], key: str, value: str) -> None:
    text, order = case
    new = jsontext.replaced(text, {(key,): value})
    before, after = values_text(text), values_text(new)
    jsontext.parse(new, "here")
    assert after[key] == value
    assert list(after) == (order if key in order else [*order, key])
    assert {k: v for k, v in after.items() if k != key} == {k: v for k, v in before.items() if k != key}


@settings(deadline=None, max_examples=100)
@given(objects_with({"gone": "[1, {}]"}), st.sampled_from(["gone", "not there"]))
def test_a_member_is_left_out(case: tuple[str, list[str]], key: str) -> None:
    text, order = case
    new = jsontext.without(text, key)
    jsontext.parse(new, "here")
    kept = {k: v for k, v in values_text(text).items() if k != key}
    assert values_text(new) == kept
    assert list(values_text(new)) == [k for k in order if k != key]


@settings(deadline=None, max_examples=100)
@given(json_texts(depth=3))
def test_members_are_found_as_a_parser_finds_them(value: str) -> None:
    text = f'{{"x": {value}, "y": 1}}'
    found = values_text(text)
    assert found == {"x": value, "y": "1"}
    if value.startswith("{"):
        assert list(values_text(value)) == list(json.loads(value))


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_consolidated_metadata_of_v2_is_the_text_of_the_documents(data: st.DataObject) -> None:
    nodes = {
        f"{path}/{name}" if path else name: data.draw(objects_with({}))[0]
        for path in ("", "a", "g/b")
        for name in data.draw(st.sets(st.sampled_from([".zarray", ".zgroup", ".zattrs"])))
    }
    stale = dict.fromkeys(data.draw(st.lists(st.sampled_from([*nodes, "gone/.zarray"]), unique=True)), "{}")
    old, order = data.draw(objects_with({"metadata": object_text(data.draw, stale), "zarr_consolidated_format": "1"}))
    new = v2.consolidate({**{k: v.encode() for k, v in nodes.items()}, ".zmetadata": old.encode()}, create=("",))[
        ".zmetadata"
    ].decode()
    parts, before = values_text(new), values_text(old)
    assert list(parts) == order
    assert {k: compact(v) for k, v in parts.items() if k != "metadata"} == {
        k: compact(v) for k, v in before.items() if k != "metadata"
    }
    entries = values_text(parts["metadata"])
    implied = {"g/.zgroup"} if {"g/b/.zarray", "g/b/.zgroup"} & set(nodes) else set()  # readers want every group
    assert set(entries) == set(nodes) | implied
    assert [k for k in entries if k in stale] == [k for k in stale if k in nodes]
    assert all(compact(entries[k]) == compact(v) for k, v in nodes.items())


def compact(text: str) -> str:
    """Leave out white space between tokens; every other character stays."""
    return re.sub(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+', lambda found: found[1] or "", text)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_consolidated_metadata_of_v3_is_the_text_of_the_documents(data: st.DataObject) -> None:
    attributes = data.draw(objects_with({}))[0]
    group, _ = data.draw(
        objects_with(
            {"zarr_format": "3", "node_type": '"group"', "attributes": attributes, "consolidated_metadata": "null"}
        )
    )
    array, _ = data.draw(objects_with({"zarr_format": "3", "node_type": '"array"', "attributes": attributes}))
    found = {
        "zarr.json": group.encode(),
        "a/zarr.json": array.encode(),
        "g/zarr.json": group.encode(),
        "g/b/zarr.json": array.encode(),
    }
    new = v3.consolidate(found, create=("",))
    assert set(new) == {"zarr.json"}
    text = new["zarr.json"].decode()
    before, after = values_text(group), values_text(text)
    assert list(after) == list(before)
    assert {k: v for k, v in after.items() if k != "consolidated_metadata"} == {
        k: v for k, v in before.items() if k != "consolidated_metadata"
    }
    entries = values_text(values_text(after["consolidated_metadata"])["metadata"])
    assert {k: compact(v) for k, v in entries.items()} == {
        "a": compact(array),
        "g": compact(group),
        "g/b": compact(array),
    }


# -- end to end --------------------------------------------------------------------------------------------------------------


def entries_of(root: Path, zarr_format: int) -> dict[str, Any]:
    if zarr_format == 2:
        return dict(json.loads((root / ".zmetadata").read_text())["metadata"])
    return dict(json.loads((root / "zarr.json").read_text())["consolidated_metadata"]["metadata"])


def on_disk(root: Path, zarr_format: int) -> dict[str, Any]:
    if zarr_format == 2:
        return {
            p.relative_to(root).as_posix(): json.loads(p.read_text())
            for p in root.rglob(".z*")
            if p.is_file() and p.name != ".zmetadata"
        }
    return {
        p.parent.relative_to(root).as_posix(): json.loads(p.read_text())
        for p in root.rglob("zarr.json")
        if p.parent != root
    }


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("consolidated", [True, False])
@pytest.mark.parametrize("creates", [True, False])
def test_after_an_append_consolidated_metadata_equal_the_documents(
    tmp_path: Path, zarr_format: int, consolidated: bool, creates: bool
) -> None:
    values = [
        cubes.make_slice(
            tmp_path / f"{n}",
            zarr_format=zarr_format,
            start=3 * n,
            consolidated=consolidated,
            nested=True,
            chunks=(2, 2, 3),
        )
        for n in range(3)
    ]
    if consolidated and not creates:  # staler than the documents
        document = tmp_path / "0" / (".zmetadata" if zarr_format == 2 else "zarr.json")
        text = document.read_text()
        document.write_text(text.replace('"days since 2020-01-01"', '"days since 1999-01-01"'))
    target = tmp_path / ("t" if creates else "0")
    zapz.append(target, [tmp_path / f"{n}" for n in range(0 if creates else 1, 3)], **FAST)
    assert entries_of(target, zarr_format) == on_disk(target, zarr_format)
    expected = cubes.joined(values, cubes.axes_of(nested=True))
    cubes.same(cubes.read(target, consolidated=True), expected)
    cubes.same(cubes.read(target), expected)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from([2, 3]))
def test_odd_attributes_survive_appending_to_a_target(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, zarr_format: int
) -> None:
    root = tmp_path_factory.mktemp("odd")
    cubes.make_slice(root / "t", zarr_format=zarr_format, static=False, shape=())
    cubes.make_slice(root / "s", zarr_format=zarr_format, static=False, shape=(), start=3)
    special = {
        "_ARRAY_DIMENSIONS",
        "_FillValue",
        "missing_value",
        "scale_factor",
        "add_offset",
        "units",
        "calendar",
        "_Unsigned",
    }
    text, _ = data.draw(
        objects_with({"_ARRAY_DIMENSIONS": '["time"]'} if zarr_format == 2 else {"odd": "-0"}).filter(
            lambda c: not special & set(c[1]) - {"_ARRAY_DIMENSIONS"}
        )
    )
    if zarr_format == 2:
        document = root / "t" / "data" / ".zattrs"
        document.write_text(text, newline="", encoding="utf-8")
    else:
        document = root / "t" / "data" / "zarr.json"
        document.write_text(
            jsontext.replaced(document.read_text(), {("attributes",): text.strip()}), newline="", encoding="utf-8"
        )
    zapz.append(root / "t", root / "s", **FAST)
    new = document.read_bytes().decode()
    assert (new if zarr_format == 2 else values_text(new)["attributes"]) == (text if zarr_format == 2 else text.strip())
    consolidated = (root / "t" / (".zmetadata" if zarr_format == 2 else "zarr.json")).read_text(encoding="utf-8")
    jsontext.parse(consolidated, "consolidated")
    assert compact(text) in compact(consolidated)


@pytest.mark.parametrize("source", [2, 3])
@pytest.mark.parametrize("wanted", [2, 3])
@pytest.mark.parametrize("number", [*ODD_NUMBERS, *ODD_TEXTS])
def test_odd_attributes_survive_the_making_of_a_target(tmp_path: Path, source: int, wanted: int, number: str) -> None:
    cubes.make_slice(tmp_path / "s", zarr_format=source, static=False, shape=())
    if source == 2:
        (tmp_path / "s" / "data" / ".zattrs").write_text(
            f'{{"odd": {number}, "_ARRAY_DIMENSIONS": ["time"]}}', encoding="utf-8"
        )
        (tmp_path / "s" / ".zattrs").write_text(f'{{"odd": {number}}}', encoding="utf-8")
    else:
        for document in (tmp_path / "s" / "data" / "zarr.json", tmp_path / "s" / "zarr.json"):
            document.write_text(
                jsontext.replaced(document.read_text(), {("attributes",): f'{{"odd": {number}}}'}), encoding="utf-8"
            )
    zapz.append(tmp_path / "t", tmp_path / "s", zarr_format=wanted, **FAST)
    for node in ("data", ""):
        file = tmp_path / "t" / node / (".zattrs" if wanted == 2 else "zarr.json")
        text = file.read_text(encoding="utf-8")
        text = text if wanted == 2 else values_text(text)["attributes"]
        assert values_text(text)["odd"] == number


@pytest.mark.parametrize("wanted", [2, 3])
@pytest.mark.parametrize("key", ["\\ud800", "\\u00e9", "\\u0000", "a\\/b", '\\"'])
def test_odd_names_of_attributes_survive_the_making_of_a_target(tmp_path: Path, wanted: int, key: str) -> None:
    cubes.make_slice(tmp_path / "s", zarr_format=2, static=False, shape=())
    (tmp_path / "s" / "data" / ".zattrs").write_text(f'{{"{key}": 1, "_ARRAY_DIMENSIONS": ["time"]}}')
    zapz.append(tmp_path / "t", tmp_path / "s", zarr_format=wanted, **FAST)
    text = (tmp_path / "t" / "data" / (".zattrs" if wanted == 2 else "zarr.json")).read_text(encoding="utf-8")
    attributes = json.loads(text) if wanted == 2 else json.loads(text)["attributes"]
    assert json.loads(f'"{key}"') in attributes


@pytest.mark.parametrize("mode", ["replace", "update"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_group_attributes_are_updated_as_text(tmp_path: Path, mode: str, zarr_format: int) -> None:
    for name, text in (("t", '{"a": 1.10, "b": 1e400}'), ("s", f'{{"b": {2**70}, "\\ud800": NaN}}')):
        cubes.make_slice(
            tmp_path / name, zarr_format=zarr_format, static=False, shape=(), start=0 if name == "t" else 3
        )
        if zarr_format == 2:
            (tmp_path / name / ".zattrs").write_text(text)
        else:
            document = tmp_path / name / "zarr.json"
            document.write_text(jsontext.replaced(document.read_text(), {("attributes",): text}))
    zapz.append(tmp_path / "t", tmp_path / "s", attrs_update_mode=mode, **FAST)
    text = (tmp_path / "t" / (".zattrs" if zarr_format == 2 else "zarr.json")).read_text(encoding="utf-8")
    found = values_text(text if zarr_format == 2 else values_text(text)["attributes"])
    assert found == {**({"a": "1.10"} if mode == "update" else {}), "b": str(2**70), "\ud800": "NaN"}


# -- what is refused ---------------------------------------------------------------------------------------------------------

BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda d: d[: len(d) // 2],
    "not UTF-8": lambda d: d.replace(b"{", b'{"x": "\xff", ', 1),
    "UTF-16": lambda d: d.decode().encode("utf-16"),
    "no object": lambda _: b"[]",
    "null": lambda _: b"null",
    "trailing comma": lambda d: d.rstrip().removesuffix(b"}") + b",}",
    "trailing text": lambda d: d + b"x",
    "two objects": lambda d: d + d,
    "single quotes": lambda d: d.replace(b'"', b"'"),
    "comment": lambda d: b"/* */" + d,
    "a key twice": lambda d: d.replace(b"{", b'{"zarr_format": 2, "zarr_format": 3, ', 1),
    "a key twice, one escaped": lambda d: d.replace(b"{", b'{"x": 1, "\\u0078": 2, ', 1),
    "a key twice, deep": lambda d: d.replace(b"{", b'{"x": {"must_understand": false, "y": [{"z": 1, "z": 1}]}, ', 1),
    "deep lists": lambda _: b"[" * 100000,
    "deep lists, closed": lambda d: d.replace(b"{", b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b", ", 1),
    "deep objects": lambda _: b'{"a":' * 100000,
    "control character": lambda d: d.replace(b"{", b'{"x\n": 1, ', 1),
    "a long integer": lambda d: d.replace(b"{", b'{"x": ' + b"1" * 5000 + b", ", 1),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("who", ["t", "s"])
def test_a_broken_document_is_refused_and_nothing_touched(tmp_path: Path, how: str, zarr_format: int, who: str) -> None:
    cubes.make_slice(tmp_path / "t", zarr_format=zarr_format, static=False, shape=())
    cubes.make_slice(tmp_path / "s", zarr_format=zarr_format, static=False, shape=(), start=3)
    for document in [tmp_path / who / "data" / n for n in (".zarray", ".zattrs", "zarr.json")]:
        if not document.exists():
            continue
        good = document.read_bytes()
        document.write_bytes(BROKEN[how](good))
        before = cubes.files(tmp_path / "t")
        with pytest.raises(MetadataError) as caught:
            zapz.append(tmp_path / "t", tmp_path / "s", **FAST)
        assert caught.value.exit_code == 4
        assert str(tmp_path / who) in str(caught.value)
        assert cubes.files(tmp_path / "t") == before
        document.write_bytes(good)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60) | json_texts().map(str.encode))
def test_any_bytes_are_metadata_or_refused(document: bytes) -> None:
    for key in (".zarray", ".zgroup", ".zattrs", "zarr.json", ".zmetadata"):
        try:
            documents.read({key: document})
        except (MetadataError, UnsupportedError):
            continue


V2_ARRAY: dict[str, Any] = {
    "zarr_format": 2,
    "shape": [3],
    "chunks": [2],
    "dtype": "<f4",
    "compressor": {"id": "zlib", "level": 1},
    "fill_value": 0,
    "order": "C",
    "filters": None,
    "dimension_separator": ".",
}
V3_ARRAY: dict[str, Any] = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": [3],
    "data_type": "float32",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
    "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    "attributes": {},
    "dimension_names": ["time"],
    "storage_transformers": [],
}


def _configured(name: str, **configuration: Any) -> dict[str, Any]:
    return {"name": name, "configuration": configuration}


STRANGE: list[Any] = [
    -1,
    0,
    1,
    1.5,
    True,
    None,
    float("nan"),
    float("inf"),
    2**70,
    "x",
    "",
    "<M8",
    ">f8",
    "|O",
    "V0",
    "<f4,<i2",
    "(2,)f4",
    [],
    {},
    [-1],
    [0],
    [1.0],
    [True],
    [1, 2],
    [None],
    [[]],
    [["a", "<i4"]],
    [["a"]],
    [["a", "O"]],
    [["a", "<i4", [2]]],
    {"name": "bytes"},
    {"name": {}},
    {"name": []},
    {"a": {}},
    ["bytes", "crc32c"],
    ["bytes", "gzip"],
    ["x"],
    [{"name": "gzip"}],
    [_configured("bytes", endian=5)],
    [_configured("bytes", endian=[])],
    [_configured("transpose", order=[5]), "bytes"],
    [_configured("transpose", order=5), "bytes"],
    [_configured("transpose", order=["a"]), "bytes"],
    [_configured("sharding_indexed")],
    [_configured("sharding_indexed", chunk_shape=[2], codecs=[])],
    [_configured("sharding_indexed", chunk_shape=[2], codecs=["bytes"], index_codecs=[])],
    [_configured("sharding_indexed", chunk_shape=[2], codecs=["bytes"], index_codecs=5)],
    [_configured("sharding_indexed", chunk_shape=[2], codecs=["bytes"], index_location=[])],
    ["bytes", _configured("blosc", cname="lz4", clevel=5, shuffle="x")],
    ["bytes", _configured("blosc", cname="lz4", clevel=5, shuffle=[])],
    {"id": 1},
    [{"id": "delta"}],
    {"id": "zlib", "level": {}},
    {"name": "numpy.datetime64"},
    _configured("numpy.datetime64", unit="zz", scale_factor=0),
    {"name": "numpy.datetime64", "configuration": 5},
    _configured("regular", chunk_shape=5),
    {"name": "regular", "configuration": []},
    _configured("default", separator=[]),
    _configured("struct", fields=[5]),
    _configured("struct", fields=[{"name": "a", "data_type": "string"}]),
    "r99999999999999999999",
    "0x7fc00000000",
    "0xzz",
]


@pytest.mark.parametrize("field", [*(f"2 {f}" for f in V2_ARRAY), *(f"3 {f}" for f in V3_ARRAY)])
def test_any_value_in_any_field_is_understood_or_refused(field: str) -> None:
    zarr_format, name = int(field[0]), field[2:]
    for value in STRANGE:
        meta = {**(V2_ARRAY if zarr_format == 2 else V3_ARRAY), name: value}
        try:
            found = documents.read({"a/.zarray" if zarr_format == 2 else "a/zarr.json": json.dumps(meta).encode()})
        except (MetadataError, UnsupportedError):
            continue
        assert set(found.arrays) <= {"a"}


@pytest.mark.parametrize(
    "value", [5, [], "x", {}, True, {"metadata": 5}, {"metadata": []}, {"metadata": None}, {"metadata": {"a": 5}}]
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_strange_consolidated_metadata_are_mended_or_refused(tmp_path: Path, value: Any, zarr_format: int) -> None:
    for name, start in (("t", 0), ("s", 3)):
        cubes.make_slice(tmp_path / name, zarr_format=zarr_format, static=False, shape=(), start=start)
    if zarr_format == 2:
        (tmp_path / "t" / ".zmetadata").write_text(json.dumps(value))
    else:
        document = tmp_path / "t" / "zarr.json"
        document.write_text(json.dumps({**json.loads(document.read_text()), "consolidated_metadata": value}))
    before = cubes.files(tmp_path / "t")
    try:
        zapz.append(tmp_path / "t", tmp_path / "s", **FAST)
    except (MetadataError, UnsupportedError):
        assert cubes.files(tmp_path / "t") == before
    else:
        assert entries_of(tmp_path / "t", zarr_format) == on_disk(tmp_path / "t", zarr_format)


@pytest.mark.parametrize(
    "text",
    ['"' + '\\"' * 20000 + "[" * 300, '{"a": "' + "x" * 1000000 + '", "b": ' + "[" * 300, '"' * 30001 + "[" * 300],
)
def test_a_broken_document_is_refused_soon(text: str) -> None:
    started = time.process_time()
    with pytest.raises(MetadataError):
        jsontext.parse(text, "here")
    assert time.process_time() - started < 1


BAD_NAMES = ["../x", "..", "a/../b", "/x", "a//b", "./x", "a\\b", "a\0b", "a/..", "\\", "x/."]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("kind", ["array", "group"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_name_that_could_leave_the_dataset_is_refused(name: str, kind: str, zarr_format: int) -> None:
    if zarr_format == 2:
        array = b'{"zarr_format": 2, "shape": [], "chunks": [], "dtype": "<f4", "compressor": null, "fill_value": 0, "order": "C", "filters": null}'
        found = {f"{name}/.zarray": array} if kind == "array" else {f"{name}/.zgroup": b'{"zarr_format": 2}'}
    else:
        array = json.dumps(
            {
                "zarr_format": 3,
                "node_type": "array",
                "shape": [],
                "data_type": "float32",
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": []}},
                "chunk_key_encoding": {"name": "default"},
                "fill_value": 0,
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            }
        ).encode()
        found = {f"{name}/zarr.json": array if kind == "array" else b'{"zarr_format": 3, "node_type": "group"}'}
    with pytest.raises(MetadataError):
        documents.read(found)


@pytest.mark.parametrize("name", ["../x", "/x", "a\\b", "a/../../b"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_that_name_a_place_outside_are_refused(
    tmp_path: Path, name: str, zarr_format: int
) -> None:
    cubes.make_slice(tmp_path / "s", zarr_format=zarr_format, consolidated=True)
    document = tmp_path / "s" / (".zmetadata" if zarr_format == 2 else "zarr.json")
    meta = json.loads(document.read_text())
    place = meta if zarr_format == 2 else meta["consolidated_metadata"]
    place["metadata"] = {
        key.replace("data", name) if key.startswith("data") else key: value for key, value in place["metadata"].items()
    }
    document.write_text(json.dumps(meta))
    with pytest.raises(MetadataError):
        zapz.append(tmp_path / "t", tmp_path / "s", **FAST)
    assert not (tmp_path / "t").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s"]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_folder_whose_name_is_not_text_is_refused(tmp_path: Path, zarr_format: int) -> None:
    cubes.make_slice(tmp_path / "s", zarr_format=zarr_format, static=False)
    (tmp_path / "s" / "data").rename(tmp_path / "s" / b"d\xff".decode("utf-8", "surrogateescape"))
    with pytest.raises(zapz.ZapzError):
        zapz.append(tmp_path / "t", tmp_path / "s", **FAST)
    assert not (tmp_path / "t").exists()


def test_a_backslash_in_the_name_of_a_folder_is_refused(tmp_path: Path) -> None:
    cubes.make_slice(tmp_path / "s", zarr_format=2, static=False)
    (tmp_path / "s" / "data").rename(tmp_path / "s" / "da\\ta")
    with pytest.raises(MetadataError):
        zapz.append(tmp_path / "t", tmp_path / "s", **FAST)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_documents_of_both_formats_in_the_root_are_named(tmp_path: Path, zarr_format: int) -> None:
    """Consolidated metadata name documents of one format; those are not taken for missing."""
    cubes.make_slice(tmp_path / "s", zarr_format=zarr_format, consolidated=True)
    name, text = (
        ("zarr.json", '{"zarr_format": 3, "node_type": "group"}')
        if zarr_format == 2
        else (".zgroup", '{"zarr_format": 2}')
    )
    (tmp_path / "s" / name).write_text(text)
    with pytest.raises(zapz.UnsupportedError, match="v2 and v3 metadata in the same dataset"):
        zapz.append(tmp_path / "t", tmp_path / "s", **FAST)


@pytest.mark.parametrize(
    ("text", "reason"), [('{"a": "b\n"}', "invalid control character"), ('{"a": "b', "unterminated string starting")]
)
def test_where_json_is_broken_reads_well(text: str, reason: str) -> None:
    with pytest.raises(zapz.MetadataError) as caught:
        jsontext.parse(text, "here")
    assert caught.value.found.startswith(f"{reason} at line 1, column ")
