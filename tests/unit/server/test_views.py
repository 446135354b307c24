"""A dataset in its own format and in the other one, read by zarr-python through the core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.cubes import consolidate, make_slice, read, same, values_of, write_array, write_group
from kit.serving import Core, CoreStore, StatusError

FORMATS = [2, 3]


def core_of(path: Path, **more: Any) -> Core:
    return Core({"cube": str(path)}, **more)


@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("consolidated", [False, True])
def test_all_formats_read_alike(tmp_path: Path, zarr_format: int, consolidated: bool) -> None:
    expected = make_slice(
        tmp_path / "cube", zarr_format=zarr_format, chunks=(2, 3, 4), nested=True, consolidated=consolidated
    )
    core = core_of(tmp_path / "cube")
    for prefix in ("/cube", "/cube.v2", "/cube.v3"):
        same(core.read(prefix), expected)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_own_format_is_what_is_stored(tmp_path: Path, zarr_format: int) -> None:
    make_slice(tmp_path / "cube", zarr_format=zarr_format, chunks=(2, 3, 4), consolidated=True)
    core = core_of(tmp_path / "cube")
    for path in sorted(p for p in (tmp_path / "cube").rglob("*") if p.is_file()):
        key = path.relative_to(tmp_path / "cube").as_posix()
        answer = core.ask(f"/cube/{key}")
        assert answer.status == 200, key
        if path.name in {".zarray", ".zattrs", ".zgroup"} or (
            path.name == "zarr.json" and path.parent != tmp_path / "cube"
        ):
            assert answer.json == json.loads(path.read_bytes()), key
        else:
            assert answer.body == path.read_bytes(), key


DTYPES = [
    "|b1",
    "<i1",
    "<i2",
    ">i2",
    "<i4",
    "<i8",
    "<u1",
    "<u2",
    "<u4",
    "<u8",
    "<f2",
    "<f4",
    ">f4",
    "<f8",
    "<c8",
    "<c16",
    "|S5",
    "<U4",
    ">U4",
    "<M8[s]",
    "<m8[ms]",
    "O",
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("zarr_format", FORMATS)
@pytest.mark.parametrize("order", ["C", "F"])
def test_dtypes_in_both_formats(tmp_path: Path, dtype: str, zarr_format: int, order: str) -> None:
    from numcodecs import Zstd

    values = values_of((5, 7), dtype)
    options: dict[str, Any] = {"filters": "auto"} if dtype == "O" and order == "C" else {}
    if dtype == "O" and order == "F":
        pytest.skip("zarr-python writes objects in C order")
    compressors = Zstd(level=1) if zarr_format == 2 else None
    write_group(tmp_path / "cube", zarr_format=zarr_format)
    write_array(
        tmp_path / "cube",
        "a",
        values,
        zarr_format=zarr_format,
        chunks=(2, 3),
        order=order,
        compressors=compressors,
        dims=["y", "x"],
        **options,
    )
    expected = read(tmp_path / "cube")
    core = core_of(tmp_path / "cube")
    for prefix in ("/cube", "/cube.v2", "/cube.v3"):
        same(core.read(prefix), expected)


@pytest.mark.parametrize("fill", [0, 7])
@pytest.mark.parametrize("zarr_format", FORMATS)
def test_missing_chunks_keep_their_value(tmp_path: Path, zarr_format: int, fill: int) -> None:
    values = np.full((4, 6), fill, np.int16)
    values[0, 0] = 3
    write_group(tmp_path / "cube", zarr_format=zarr_format)
    write_array(tmp_path / "cube", "a", values, zarr_format=zarr_format, chunks=(2, 3), fill=fill, write_empty=False)
    core = core_of(tmp_path / "cube")
    expected = read(tmp_path / "cube")
    for prefix in ("/cube", "/cube.v2", "/cube.v3"):
        same(core.read(prefix), expected)
    key = "a/1.1" if zarr_format == 2 else "a/c/1/1"
    assert core.ask(f"/cube/{key}").status == 404


def test_shards_in_v2_are_inner_chunks(tmp_path: Path) -> None:
    values = values_of((6, 8), "<f4")
    values[2:4, 4:] = 0
    write_group(tmp_path / "cube", zarr_format=3)
    write_array(tmp_path / "cube", "a", values, zarr_format=3, chunks=(2, 2), shards=(4, 4), write_empty=False)
    core = core_of(tmp_path / "cube")
    same(core.read("/cube.v2"), {"a": values})
    same(core.read("/cube"), {"a": values})
    assert core.ask("/cube.v2/a/.zarray").json["chunks"] == [2, 2]
    shard = (tmp_path / "cube" / "a" / "c" / "0" / "0").read_bytes()
    first = core.ask("/cube.v2/a/0.0")
    assert first.body == values[:2, :2].tobytes()
    assert first.body in shard
    assert core.ask("/cube.v2/a/0.0", headers={"range": "bytes=4-7"}).body == first.body[4:8]
    assert core.ask("/cube.v2/a/0.1").headers["etag"] != first.headers["etag"]


@pytest.mark.parametrize("byte", [-1, -30])
def test_damaged_shard_is_no_fill(tmp_path: Path, byte: int) -> None:
    write_group(tmp_path / "cube", zarr_format=3)
    write_array(tmp_path / "cube", "a", values_of((4, 4), "<f4"), zarr_format=3, chunks=(2, 2), shards=(4, 4))
    shard = tmp_path / "cube" / "a" / "c" / "0" / "0"
    data = bytearray(shard.read_bytes())
    data[byte] ^= 1
    shard.write_bytes(data)
    core = core_of(tmp_path / "cube")
    assert core.ask("/cube.v2/a/0.0").status == 500
    with pytest.raises(StatusError):
        core.read("/cube.v2", ["a"])


def test_what_v2_cannot_describe_is_refused(tmp_path: Path) -> None:
    write_group(tmp_path / "cube", zarr_format=3)
    write_array(tmp_path / "cube", "good", values_of((4,), "<f4"), zarr_format=3)
    write_array(tmp_path / "cube", "bad", values_of((2, 3, 4), "<f4"), zarr_format=3)
    document = tmp_path / "cube" / "bad" / "zarr.json"
    meta = json.loads(document.read_text())
    meta["codecs"] = [{"name": "transpose", "configuration": {"order": [1, 0, 2]}}, *meta["codecs"]]
    document.write_text(json.dumps(meta))
    core = core_of(tmp_path / "cube")
    for key in ("bad/.zarray", "bad/0.0.0", "bad/.zattrs"):
        answer = core.ask(f"/cube.v2/{key}")
        assert (answer.status, answer.json["error"]["code"]) == (501, "unsupported"), key
    assert core.ask("/cube.v2/good/.zarray").status == 200
    assert core.ask("/cube/bad/zarr.json").status == 200
    assert "bad/.zarray" not in core.ask("/cube.v2/.zmetadata").json["metadata"]
    page = core.ask("/cube.v2/").body.decode()
    assert "not in this format: bad" in page


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_markers_move_between_formats(tmp_path: Path, zarr_format: int) -> None:
    attrs = {"_FillValue": -1} if zarr_format == 3 else {}
    write_group(tmp_path / "cube", zarr_format=zarr_format)
    write_array(tmp_path / "cube", "a", np.array([1, -1, 3], np.int16), zarr_format=zarr_format, fill=-1, attrs=attrs)
    core = core_of(tmp_path / "cube")
    assert core.ask("/cube.v2/a/.zarray").json["fill_value"] == -1
    assert core.ask("/cube.v3/a/zarr.json").json["attributes"]["_FillValue"] == -1


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_root_array(tmp_path: Path, zarr_format: int) -> None:
    import zarr

    values = values_of((4, 5), "<i4")
    write_array(tmp_path / "cube", "", values, zarr_format=zarr_format, chunks=(2, 2))
    core = core_of(tmp_path / "cube")
    for prefix in ("/cube", "/cube.v2", "/cube.v3"):
        assert np.array_equal(zarr.open_array(CoreStore(core, prefix), mode="r")[...], values)
    assert core.ask("/cube/").status == 200
    assert "warning" not in core.ask("/cube/").headers


def test_zip(tmp_path: Path) -> None:
    import zipfile

    expected = make_slice(tmp_path / "cube", zarr_format=3, chunks=(2, 3, 4), consolidated=True)
    with zipfile.ZipFile(tmp_path / "cube.zip", "w") as file:
        for path in (tmp_path / "cube").rglob("*"):
            if path.is_file():
                file.write(path, path.relative_to(tmp_path / "cube").as_posix())
    core = core_of(tmp_path / "cube.zip")
    same(core.read("/cube"), expected)
    same(core.read("/cube.v2"), expected)


@pytest.mark.parametrize("zarr_format", FORMATS)
def test_without_consolidated_metadata(tmp_path: Path, zarr_format: int) -> None:
    make_slice(tmp_path / "cube", zarr_format=zarr_format)
    core = core_of(tmp_path / "cube")
    root = "zarr.json" if zarr_format == 3 else ".zmetadata"
    answer = core.ask(f"/cube/{root}")
    assert answer.status == 200
    assert "no consolidated metadata" in answer.headers["warning"]
    assert "no consolidated metadata" in core.ask("/cube/").body.decode()
    consolidate(tmp_path / "cube", zarr_format=zarr_format)
    assert "warning" not in core_of(tmp_path / "cube").ask(f"/cube/{root}").headers
