"""Creating a target: what it takes over from the first slice, what settings override, and where it may lie."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cf_cubes import CROSSED, FAST, GAPS, check, cube, encoded, joined, opened, quiet, refused, with_values, write
from kit.cubes import consolidate, write_array, write_group
from kit.trees import tree

import zapz
from zapz import errors


def document(path: Path, name: str) -> dict[str, Any]:
    """One metadata document, parsed."""
    return json.loads((path / name).read_text())  # type: ignore[no-any-return]


def edit(path: Path, name: str, **changes: Any) -> None:
    """Change fields of a document."""
    (path / name).write_text(json.dumps((document(path, name) if (path / name).exists() else {}) | changes))


def group_of(path: Path, **options: Any) -> zarr.Group:
    with quiet():
        return zarr.open_group(str(path), mode="r", **options)


def attributes(path: Path, group: str = "", *, consolidated: bool = True) -> dict[str, Any]:
    """Attributes of a group, as zarr-python reads them."""
    root = group_of(path, use_consolidated=consolidated)
    return dict((root[group] if group else root).attrs)  # type: ignore[arg-type, union-attr]


def pair(here: Path, zarr_format: int, **options: Any) -> list[Path]:
    return [write(here / f"{n}.zarr", cube(2 * n), zarr_format, **options) for n in range(2)]


# --- formats --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slice_format", "setting", "made"), [(2, None, 2), (3, None, 3), (2, 2, 2), (3, 3, 3), (2, 3, 3), (3, 2, 2)]
)
def test_format(slice_format: int, setting: int | None, made: int, here: Path) -> None:
    slices = pair(here, slice_format)
    zapz.append(here / "cube", slices, zarr_format=setting, **FAST)
    assert (here / "cube" / "zarr.json").exists() == (made == 3)
    assert (here / "cube" / ".zgroup").exists() == (made == 2)
    assert not any((here / "cube").rglob(".zarray" if made == 3 else "zarr.json"))
    check(here / "cube", slices)
    third = write(here / "third.zarr", cube(4), 5 - slice_format)
    zapz.append(here / "cube", third, zarr_format=5 - made, **FAST)  # the setting is for new targets
    check(here / "cube", [*slices, third])
    assert zapz.info(here / "cube").zarr_format == made


MARKED: dict[str, Any] = {
    "nan": lambda: with_values(cube(), GAPS),
    "float marker": lambda: encoded(with_values(cube(), GAPS), _FillValue=-999.0),
    "float32 marker of 1e20": lambda: encoded(with_values(cube(), GAPS), _FillValue=np.float32(1e20), dtype="f4"),
    "integer marker": lambda: encoded(with_values(cube(), GAPS), _FillValue=-1, dtype="i2"),
    "zero marker": lambda: encoded(with_values(cube(), GAPS), _FillValue=0, dtype="u2"),
    "large marker": lambda: encoded(with_values(cube(), GAPS), _FillValue=2**63 - 1, dtype="i8"),
    "packed marker": lambda: encoded(with_values(cube(), GAPS), _FillValue=-1, dtype="i2", scale_factor=0.5, add_offset=3.0),
    "integers without a marker": lambda: encoded(with_values(cube(), np.array([[0, 1, 2], [3, 0, 5]], "i4")), _FillValue=None),
    "floats without a marker": lambda: encoded(with_values(cube(), np.array([[0, 1, 2], [3, np.nan, 5.0]])), _FillValue=None),
    "bool": lambda: cube().assign(b=("time", [True, False])),
    "text": lambda: cube().assign(b=("time", np.array(["", "é"]))),
    "objects": lambda: cube().assign(b=("time", np.array(["", "é"], object))),
    "bytes": lambda: cube().assign(b=("time", np.array([b"", b"xy"]))),
    "complex": lambda: with_values(cube(), np.array([[1j, np.nan, 0], [0, 0, 0]])),
    "time with a gap": lambda: cube().assign(b=("time", np.array(["2024-01-01", "NaT"], "M8[ns]"))),
    "timedelta with a gap": lambda: cube().assign(b=("time", np.array([86400 * 10**9, "NaT"], "m8[ns]"))),
    "big endian": lambda: encoded(with_values(cube(), GAPS), dtype=">f8"),
    "scalar": lambda: cube().assign(s=np.nan, i=7),
}  # fmt: skip


@pytest.mark.parametrize("formats", CROSSED)
@pytest.mark.parametrize("case", MARKED)
def test_translation_reads_the_same(case: str, formats: tuple[int, int], here: Path) -> None:
    slice_ = (
        write(here / "slice.zarr", MARKED[case](), formats[1], write_empty_chunks=False)
        if case != "text"
        else write(here / "slice.zarr", MARKED[case](), formats[1])
    )
    zapz.append(here / "cube", slice_, zarr_format=formats[0], **FAST)
    found, expected = opened(here / "cube"), opened(slice_)
    xr.testing.assert_equal(found, expected)
    for name in expected.variables:
        assert found[name].dtype.kind == expected[name].dtype.kind
        assert found[name].attrs == expected[name].attrs
        for key in ("_FillValue", "scale_factor", "add_offset", "units", "calendar"):
            ours, theirs = found[name].encoding.get(key), expected[name].encoding.get(key)
            if not (key == "_FillValue" and theirs is None):
                assert ours == theirs or (ours != ours and theirs != theirs), (name, key)  # noqa: PLR0124 - NaN
    assert zapz.append(here / "cube", slice_, **FAST).already == 1


def test_v2_fill_value_becomes_the_marker(here: Path) -> None:
    """For readers a v2 fill value is the missing marker; a v3 one is not."""
    slice_ = here / "slice.zarr"
    write_group(slice_, zarr_format=2)
    write_array(slice_, "v", np.array([0, 1, 7, 3]), zarr_format=2, dims=["time"], fill=7)
    zapz.append(here / "cube", slice_, zarr_format=3, **FAST)
    meta = document(here / "cube" / "v", "zarr.json")
    assert meta["attributes"]["_FillValue"] == 7
    np.testing.assert_array_equal(opened(here / "cube").v, [0, 1, np.nan, 3])
    np.testing.assert_array_equal(opened(slice_).v, [0, 1, np.nan, 3])


def test_v3_fill_value_does_not_become_a_marker(here: Path) -> None:
    slice_ = here / "slice.zarr"
    write_group(slice_, zarr_format=3)
    write_array(
        slice_, "v", np.array([0, 1, 7, 7, 7, 7]), zarr_format=3, dims=["time"], fill=7, chunks=[2], write_empty=False
    )
    assert not (slice_ / "v" / "c" / "2").exists()
    zapz.append(here / "cube", slice_, zarr_format=2, label_chunk="keep", **FAST)
    meta = document(here / "cube" / "v", ".zarray")
    assert meta["fill_value"] is None
    assert (here / "cube" / "v" / "2").exists()
    np.testing.assert_array_equal(opened(here / "cube").v, [0, 1, 7, 7, 7, 7])


# --- what is kept -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_codecs_chunks_and_attributes_are_kept(zarr_format: int, here: Path) -> None:
    import numcodecs

    compressor = (
        {"compressors": numcodecs.Blosc("zstd", 7, 2)}
        if zarr_format == 2
        else {"compressors": zarr.codecs.BloscCodec(cname="zstd", clevel=7), "shards": (4, 2)}
    )
    slice_ = write(
        here / "slice.zarr",
        cube(0, 4).assign_attrs(title="a\u2028b \U0001f600"),
        zarr_format,
        encoding={"v": {"chunks": (2, 1), **compressor}},
    )
    zapz.append(here / "cube", slice_, label_chunk="keep", **FAST)
    name = ".zarray" if zarr_format == 2 else "zarr.json"
    for variable in ("v", "mask", "x", "time"):
        assert document(here / "cube" / variable, name) == document(slice_ / variable, name)
    assert attributes(here / "cube") == attributes(slice_, consolidated=False)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_unknown_keys_and_number_texts_are_kept(zarr_format: int, here: Path) -> None:
    slices = pair(here, zarr_format)
    if zarr_format == 2:
        for slice_ in slices[:1]:
            text = (slice_ / "v" / ".zarray").read_text().strip()
            (slice_ / "v" / ".zarray").write_text(text[:-1] + ',"odd": [1e400, 1.10, 1180591620717411303424]}')
            (slice_ / "v" / ".zattrs").write_text(
                '{"_ARRAY_DIMENSIONS": ["time", "x"], "valid_min": NaN, "most": 1.10, "big": 1180591620717411303424}'
            )
            (slice_ / ".zattrs").write_text('{"version": 1.10, "none": null, "inf": -Infinity}')
    else:
        text = (slices[0] / "v" / "zarr.json").read_text().strip()
        text = text.replace(
            '"attributes": {', '"attributes": {"valid_min": NaN, "most": 1.10, "big": 1180591620717411303424,'
        )
        (slices[0] / "v" / "zarr.json").write_text(text[:-1] + ',"odd": {"must_understand": false, "n": [1.10]}}')
        (slices[0] / "zarr.json").write_text(
            '{"zarr_format": 3, "node_type": "group", "attributes": {"version": 1.10, "none": null, "inf": -Infinity}}'
        )
    zapz.append(here / "cube", slices, **FAST)
    array = (here / "cube" / "v" / (".zarray" if zarr_format == 2 else "zarr.json")).read_text()
    notes = array if zarr_format == 3 else (here / "cube" / "v" / ".zattrs").read_text()
    root = (here / "cube" / (".zattrs" if zarr_format == 2 else "zarr.json")).read_text()
    assert '"odd"' in array
    assert ("1e400" in array) == (zarr_format == 2)
    for text in ("NaN", "1.10", "1180591620717411303424"):
        assert text in notes
    for text in ('"version": 1.10', '"none": null', "-Infinity"):
        assert text in root
    consolidated = (here / "cube" / (".zmetadata" if zarr_format == 2 else "zarr.json")).read_text()
    assert "1.10" in consolidated
    check(here / "cube", slices)


@pytest.mark.parametrize("formats", CROSSED)
def test_attributes_go_over_to_the_other_format(formats: tuple[int, int], here: Path) -> None:
    first = cube().assign_attrs(title="é", numbers=[1, 2.5], nothing={}, deep={"a": [{}]})
    slice_ = write(here / "slice.zarr", first, formats[1])
    zapz.append(here / "cube", slice_, zarr_format=formats[0], **FAST)
    assert opened(here / "cube").attrs == opened(slice_).attrs
    for consolidated in (True, False):
        assert attributes(here / "cube", consolidated=consolidated) == first.attrs


@pytest.mark.parametrize("formats", CROSSED)
def test_nested_groups(formats: tuple[int, int], here: Path) -> None:
    slices = []
    for n in range(2):
        slices.append(write(here / f"{n}.zarr", cube(2 * n), formats[1]))
        write(slices[-1], cube(2 * n).assign_attrs(level=1), formats[1], group="a/b", mode="a")
        write_group(slices[-1], zarr_format=formats[1], name="a/empty", attrs={"n": 1})
    zapz.append(here / "cube", slices, zarr_format=formats[0], **FAST)
    for group in (None, "a/b"):
        for consolidated in (True, False):
            found = opened(here / "cube", group=group, consolidated=consolidated)
            xr.testing.assert_equal(found, joined(slices, group=group, consolidated=False))
    assert attributes(here / "cube", "a/b") == {"level": 1}
    assert attributes(here / "cube", "a/empty") == {"n": 1}


# --- small variables -----------------------------------------------------------------------------------------------------------


def chunks(path: Path, name: str) -> tuple[int, ...]:
    return tuple(group_of(path)[name].chunks)  # type: ignore[union-attr]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(("setting", "length"), [(None, 1024), (10, 10), (1, 2), ("keep", 2)])
def test_label_chunk(setting: Any, length: int, zarr_format: int, here: Path) -> None:
    def one(start: int) -> xr.Dataset:
        return cube(start).assign(
            edge=(("time", "e"), np.ones((2, 32))), big=(("time", "f"), np.ones((2, 33))), turned=(("e", "time"), np.ones((32, 2)))
        )  # fmt: skip

    slices = [write(here / f"{n}.zarr", one(2 * n), zarr_format) for n in range(2)]
    zapz.append(here / "cube", slices, **({} if setting is None else {"label_chunk": setting}), **FAST)
    assert chunks(here / "cube", "time") == (length,)
    assert chunks(here / "cube", "v") == (length, 3)
    assert chunks(here / "cube", "edge") == (length, 32)
    assert chunks(here / "cube", "turned") == (32, length)
    assert chunks(here / "cube", "big") == (2, 33)
    assert chunks(here / "cube", "mask") == (3,)
    check(here / "cube", slices)


def test_label_chunk_leaves_longer_chunks(here: Path) -> None:
    slice_ = here / "slice"
    write_group(slice_, zarr_format=3)
    write_array(slice_, "time", np.arange(3000), zarr_format=3, dims=["time"], chunks=[2500])
    zapz.append(here / "cube", slice_, **FAST)
    assert chunks(here / "cube", "time") == (2500,)


def test_label_chunk_of_a_target_that_is_there_changes_nothing(here: Path) -> None:
    slices = pair(here, 2)
    zapz.append(here / "cube", slices[0], label_chunk=7, **FAST)
    zapz.append(here / "cube", slices[1], label_chunk=9, **FAST)
    assert chunks(here / "cube", "time") == (7,)


# --- attributes of groups -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formats", CROSSED)
@pytest.mark.parametrize(
    ("mode", "first", "second"),
    [
        ("keep", {"a": 1, "b": 1}, {"a": 1, "b": 1}),
        ("replace", {"a": 1, "b": 1}, {"b": 2, "c": 2}),
        ("update", {"a": 1, "b": 1}, {"a": 1, "b": 2, "c": 2}),
        ("ignore", {}, {}),
    ],
)
def test_attrs_update_mode(
    mode: str, first: dict[str, Any], second: dict[str, Any], formats: tuple[int, int], here: Path
) -> None:
    slices = []
    for n, attrs in enumerate(({"a": 1, "b": 1}, {"b": 2, "c": 2})):
        slices.append(write(here / f"{n}.zarr", cube(2 * n).assign_attrs(attrs), formats[n]))
        write(slices[-1], cube(2 * n).assign_attrs(attrs), formats[n], group="g", mode="a")
    for slice_, expected in zip(slices, (first, second), strict=True):
        zapz.append(here / "cube", slice_, attrs_update_mode=mode, **FAST)
        for consolidated in (True, False):
            assert attributes(here / "cube", consolidated=consolidated) == expected
            assert attributes(here / "cube", "g", consolidated=consolidated) == expected
    xr.testing.assert_equal(opened(here / "cube"), joined(slices))


@pytest.mark.parametrize("formats", CROSSED)
@pytest.mark.parametrize("mode", ["replace", "update"])
def test_attrs_come_and_go(mode: str, formats: tuple[int, int], here: Path) -> None:
    contents: list[dict[str, Any]] = [{}, {"a": float("inf"), "é": [1]}, {}]
    expected = [{}, contents[1], {} if mode == "replace" else contents[1]]
    for n, attrs in enumerate(contents):
        slice_ = write(here / f"{n}.zarr", cube(2 * n).assign_attrs(attrs), formats[min(n, 1)])
        zapz.append(here / "cube", slice_, attrs_update_mode=mode, **FAST)
        assert attributes(here / "cube") == attributes(here / "cube", consolidated=False) == expected[n]


@pytest.mark.parametrize("mode", ["keep", "replace", "update", "ignore"])
def test_attributes_of_variables_are_never_updated(mode: str, here: Path) -> None:
    second = cube(2)
    second.v.attrs = {"long_name": "other", "more": 1}
    slices = [write(here / "a", cube()), write(here / "b", second)]
    zapz.append(here / "cube", slices, attrs_update_mode=mode, **FAST)
    assert opened(here / "cube").v.attrs == {"long_name": "a value"}


# --- consolidated metadata ---------------------------------------------------------------------------------------------------------


def consolidated_shape(path: Path, zarr_format: int) -> list[int] | None:
    if zarr_format == 2:
        return (
            document(path, ".zmetadata")["metadata"]["v/.zarray"]["shape"] if (path / ".zmetadata").exists() else None
        )  # type: ignore[no-any-return]
    inline = document(path, "zarr.json").get("consolidated_metadata")
    return inline["metadata"]["v"]["shape"] if inline else None  # type: ignore[no-any-return]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("in_slice", [False, True])
def test_consolidated(in_slice: bool, zarr_format: int, here: Path) -> None:
    slices = pair(here, zarr_format, consolidated=in_slice)
    zapz.append(here / "off", slices, consolidated=False, **FAST)
    assert consolidated_shape(here / "off", zarr_format) is None
    xr.testing.assert_equal(opened(here / "off", consolidated=False), joined(slices))
    zapz.append(here / "cube", slices, **FAST)
    assert consolidated_shape(here / "cube", zarr_format) == [4, 3]
    third = write(here / "third.zarr", cube(4), 5 - zarr_format)
    zapz.append(here / "cube", third, consolidated=False, **FAST)  # what is there must not become stale
    assert consolidated_shape(here / "cube", zarr_format) in ([6, 3], None)
    check(here / "cube", [*slices, third])
    zapz.append(here / "off", third, **FAST)  # and the default brings it back
    assert consolidated_shape(here / "off", zarr_format) == [6, 3]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_is_what_zarr_makes(zarr_format: int, here: Path) -> None:
    slices = pair(here, zarr_format)
    zapz.append(here / "cube", slices, **FAST)
    name = ".zmetadata" if zarr_format == 2 else "zarr.json"
    ours = document(here / "cube", name)
    consolidate(here / "cube", zarr_format=zarr_format)
    theirs = document(here / "cube", name)
    entries = [m["metadata"] if zarr_format == 2 else m["consolidated_metadata"]["metadata"] for m in (ours, theirs)]
    assert set(entries[0]) >= {k for k in entries[1] if k != ".zattrs"}
    for key, value in entries[0].items():
        for field in ("shape", "attributes", "fill_value"):
            assert value.get(field) == entries[1][key].get(field)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_stale_consolidated_metadata_are_mended(zarr_format: int, here: Path) -> None:
    """Another tool appended without consolidating: the array's own document counts."""
    slices = pair(here, zarr_format)
    third = write(here / "third.zarr", cube(4), zarr_format)
    zapz.append(here / "cube", slices[0], **FAST)
    before = tree(here / "cube")
    zapz.append(here / "cube", slices[1], **FAST)
    if zarr_format == 2:
        (here / "cube" / ".zmetadata").write_bytes(before[".zmetadata"] or b"")
    else:
        (here / "cube" / "zarr.json").write_bytes(before["zarr.json"] or b"")
    assert consolidated_shape(here / "cube", zarr_format) == [2, 3]
    zapz.append(here / "cube", third, **FAST)
    check(here / "cube", [*slices, third])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_stale_consolidated_metadata_of_a_slice(zarr_format: int, here: Path) -> None:
    slice_ = write(here / "s.zarr", cube(0, 3), zarr_format, consolidated=True)
    text = (slice_ / (".zmetadata" if zarr_format == 2 else "zarr.json")).read_text()
    (slice_ / (".zmetadata" if zarr_format == 2 else "zarr.json")).write_text(text.replace("a value", "stale"))
    zapz.append(here / "cube", slice_, **FAST)
    for consolidated in (True, False):
        assert opened(here / "cube", consolidated=consolidated).v.attrs["long_name"] == "a value"


# --- excluded variables, NCZarr, odd roots ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("in_slice", [False, True])
def test_excluded_variables(in_slice: bool, zarr_format: int, here: Path) -> None:
    slices = pair(here, zarr_format, consolidated=in_slice)
    zapz.append(here / "cube", slices, excluded_variables=["v", "x"], **FAST)
    assert not (here / "cube" / "v").exists()
    for consolidated in (True, False):
        assert sorted(opened(here / "cube", consolidated=consolidated).variables) == ["mask", "time"]
    xr.testing.assert_equal(opened(here / "cube"), joined(slices).drop_vars(["v", "x"]))


def test_everything_excluded(here: Path) -> None:
    slice_ = pair(here, 2)[0]
    refused(errors.DimensionError, here / "cube", slice_, "time", excluded_variables=["v", "time"], facts=False)


@pytest.mark.parametrize("attribute", ["_nczarr_group", "_NCZARR_GROUP"])
@pytest.mark.parametrize(("key", "size"), [("dimensions", 2), ("dims", 2), ("dimensions", {"size": 2, "unlimited": 1})])
@pytest.mark.parametrize("made", [2, 3])
def test_nczarr_dimension_sizes(made: int, key: str, size: Any, attribute: str, here: Path) -> None:
    """netCDF-C reads the sizes of dimensions from there: a stale one hides what was appended."""
    slices = pair(here, 2)
    for slice_ in slices:
        edit(slice_, ".zattrs", **{attribute: {key: {"time": size, "x": 3}, "arrays": ["v"], "groups": []}, "other": 1})
    report = zapz.append(here / "cube", slices, zarr_format=made, **FAST)
    warned = any("netcdf" in note.lower() or "nczarr" in note.lower() for s in report.slices for note in s.notes)
    for consolidated in (True, False):
        found = attributes(here / "cube", consolidated=consolidated)
        length = found[attribute][key]["time"]
        assert (length["size"] if isinstance(length, dict) else length) == 4 or warned
        assert found[attribute]["arrays"] == ["v"]
        assert found["other"] == 1
    check(here / "cube", slices)


@pytest.mark.parametrize("mode", ["replace", "update"])
def test_nczarr_with_other_attributes_modes(mode: str, here: Path) -> None:
    slices = pair(here, 2)
    for slice_ in slices:
        edit(slice_, ".zattrs", _nczarr_group={"dimensions": {"time": 2, "x": 3}})
    zapz.append(here / "cube", slices, attrs_update_mode=mode, **FAST)
    for consolidated in (True, False):
        assert attributes(here / "cube", consolidated=consolidated)["_nczarr_group"]["dimensions"] == {
            "time": 4,
            "x": 3,
        }


def test_v2_without_zgroup(here: Path) -> None:
    slices = pair(here, 2)
    expected = joined(slices)
    for slice_ in slices:
        (slice_ / ".zgroup").unlink()
    zapz.append(here / "cube", slices, **FAST)
    xr.testing.assert_equal(opened(here / "cube"), expected)
    (here / "cube" / ".zgroup").unlink()
    third = write(here / "third.zarr", cube(4))
    zapz.append(here / "cube", third, **FAST)
    assert zapz.info(here / "cube").dims["time"] == 6


def test_v3_without_a_group_document(here: Path) -> None:
    slices = pair(here, 3)
    expected = joined(slices)
    for slice_ in slices:
        (slice_ / "zarr.json").unlink()
    zapz.append(here / "cube", slices, **FAST)
    xr.testing.assert_equal(opened(here / "cube"), expected)


@pytest.mark.parametrize("formats", [(2, 2), (3, 3), *CROSSED])
def test_root_is_an_array(formats: tuple[int, int], here: Path) -> None:
    for n in range(2):
        write_array(
            here / f"{n}.zarr",
            "",
            np.arange(6).reshape(2, 3) + 10 * n,
            zarr_format=formats[1],
            dims=["time", "x"],
            fill=None if formats[1] == 2 else 0,
        )
    zapz.append(here / "cube", [here / "0.zarr", here / "1.zarr"], zarr_format=formats[0], **FAST)
    with quiet():
        np.testing.assert_array_equal(
            zarr.open_array(here / "cube", mode="r")[...], [[0, 1, 2], [3, 4, 5], [10, 11, 12], [13, 14, 15]]
        )
    assert not (here / "cube" / ".zgroup").exists()
    assert not (here / "cube" / ".zmetadata").exists()


def test_root_array_and_group_do_not_mix(here: Path) -> None:
    write_array(here / "array.zarr", "", np.arange(3), zarr_format=2, dims=["time"])
    slice_ = pair(here, 2)[0]
    zapz.append(here / "cube", slice_, **FAST)
    refused(errors.VariableError, here / "cube", here / "array.zarr", facts=False)


def test_array_without_dimension_names(here: Path) -> None:
    for zarr_format in (2, 3):
        write_array(here / f"{zarr_format}.zarr", "", np.arange(3), zarr_format=zarr_format)
        refused(errors.DimensionError, here / "cube", here / f"{zarr_format}.zarr", "time")


# --- places ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tail", ["/", "//", "/.", "/../cube/"])
def test_trailing_slashes(tail: str, here: Path) -> None:
    slices = pair(here, 2)
    zapz.append(f"{here}/cube{tail}", f"{slices[0]}/", **FAST)
    zapz.append(f"{here / 'cube'}/", [f"{slices[1]}//"], **FAST)
    check(here / "cube", slices)
    with pytest.raises(errors.SliceError):
        zapz.append(here / "cube", f"{here / 'cube'}/", **FAST)


def test_home_and_relative_paths(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = pair(here, 3)
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.chdir(here)
    zapz.append("~/cube", "~/0.zarr", **FAST)
    zapz.append("cube", "./1.zarr", **FAST)
    check(here / "cube", slices)
    assert zapz.info("~/cube").dims["time"] == 4
    assert zapz.append(Path("~/cube"), Path("~/0.zarr"), **FAST).already == 1
    assert not (here / "~").exists()


@pytest.mark.parametrize("kind", [str, Path, "file://{}".format])
def test_paths_of_any_kind(kind: Any, here: Path) -> None:
    slices = pair(here, 2)
    zapz.append(kind(here / "cube"), [kind(s) for s in slices], **FAST)
    zapz.append(kind(here / "one"), kind(slices[0]), **FAST)
    zapz.append(kind(here / "more"), (kind(s) for s in slices), **FAST)
    check(here / "cube", slices)
    check(here / "one", slices[:1])
    check(here / "more", slices)


@pytest.mark.parametrize("name", ["a b", "µ", "%41", "a+b,c", "[x]", "-dash", "'q\""])
def test_odd_names_of_places(name: str, here: Path) -> None:
    slices = pair(here, 2)
    moved = slices[1].rename(here / name)
    zapz.append(here / f"{name}.cube", [slices[0], moved], **FAST)
    check(here / f"{name}.cube", [slices[0], moved])


def test_target_dir(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slices = pair(here, 2)
    (here / "c.toml").write_text(f'target_dir = "{here}/cube/"\n')
    before = tree(here)
    with pytest.raises(errors.ConfigError) as caught:
        zapz.append(slices[0], slices[1], here / "c.toml", **FAST)
    assert caught.value.exit_code == 2
    for word in ("target_dir", f"{here}/cube", str(slices[0]), "zapz append"):
        assert word in str(caught.value)
    assert tree(here) == before
    monkeypatch.chdir(here)
    zapz.append("./cube", slices, here / "c.toml", **FAST)
    check(here / "cube", slices)


def test_target_dir_on_the_command_line(here: Path) -> None:
    """A habit from zappend: ``zapz append -c config slice…`` must not append into the first slice."""
    slices = pair(here, 2)
    (here / "c.toml").write_text('target_dir = "cube"\n')
    before = tree(here)
    done = subprocess.run(
        [sys.executable, "-m", "zapz", "append", "-c", "c.toml", *map(str, slices)],
        capture_output=True,
        text=True,
        check=False,
        cwd=here,
    )
    assert done.returncode == 2
    assert "zapz append cube" in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(here) == before


def test_folder_with_other_files(here: Path) -> None:
    slice_ = pair(here, 2)[0]
    (here / "cube").mkdir()
    (here / "cube" / "notes.txt").write_text("mine")
    before = tree(here)
    with pytest.raises(errors.FormatError) as caught:
        zapz.append(here / "cube", slice_, **FAST)
    assert caught.value.exit_code == 4
    assert "notes.txt" in str(caught.value)
    assert tree(here) == before


@pytest.mark.parametrize("dry", [False, True])
def test_missing_parent_folder(dry: bool, here: Path) -> None:
    slice_ = pair(here, 2)[0]
    before = tree(here)
    with pytest.raises(errors.StoreError) as caught:
        zapz.append(here / "no" / "cube", slice_, dry_run=dry, **FAST)
    assert caught.value.exit_code == 6
    assert "no" in str(caught.value)
    assert tree(here) == before


def test_a_dry_run_creates_nothing(here: Path) -> None:
    slices = pair(here, 3)
    before = tree(here)
    report = zapz.append(here / "cube", slices, dry_run=True, **FAST)
    assert [s.outcome for s in report.slices] == ["planned", "planned"]
    assert zapz.plan(here / "cube", slices[0]).creates
    assert tree(here) == before
