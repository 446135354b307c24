"""What reviewers found, each as they showed it."""

import base64
import json
import os
import struct
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
import zarr
from kit import cubes
from kit.cubes import write_array, write_group
from kit.trees import snapshot

import zapz

NAN = base64.b64encode(struct.pack("<d", float("nan"))).decode()
FAST: dict[str, Any] = {"durability": "process", "label_chunk": "keep"}


def rd(path: Path, name: str) -> np.ndarray:
    return zarr.open_array(str(path / name), mode="r")[...]


def patch(path: Path, **fields: object) -> None:
    meta = json.loads(path.read_text())
    meta.update(fields)
    path.write_text(json.dumps(meta))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_group_without_a_document_stays_readable(tmp_path: Path, zarr_format: int) -> None:
    target, following = tmp_path / "c.zarr", tmp_path / "s.zarr"
    for path, offset in ((target, 0), (following, 2)):
        write_group(path, zarr_format=zarr_format)
        write_array(path, "a/time", np.arange(2) + offset, zarr_format=zarr_format, dims=["time"])
        for name in ("zarr.json", ".zgroup", ".zattrs"):
            (path / "a" / name).unlink(missing_ok=True)
    zapz.append(target, following, **FAST)
    with cubes.quiet():
        assert zarr.open_group(str(target), mode="r")["a/time"].shape == (4,)
        zapz.append(tmp_path / "new.zarr", following, **FAST)
        assert zarr.open_group(str(tmp_path / "new.zarr"), mode="r")["a/time"].shape == (2,)


def test_excluded_group_is_left_out_whole(tmp_path: Path) -> None:
    source = tmp_path / "s.zarr"
    write_group(source, zarr_format=3)
    write_array(source, "time", np.arange(2), zarr_format=3, dims=["time"])
    write_array(source, "a/v", np.arange(2), zarr_format=3, dims=["time"])
    zapz.append(tmp_path / "c.zarr", source, excluded_variables=["a"], **FAST)
    with cubes.quiet():
        group = zarr.open_group(str(tmp_path / "c.zarr"), mode="r")
        assert sorted(group) == ["time"]


def test_undefined_fill_is_converted(tmp_path: Path) -> None:
    """A missing chunk reads as 0 in the slice's terms, which is 250 in the target's."""
    parts = []
    for n, offset in ((0, 0.0), (1, 250.0)):
        part = tmp_path / f"{n}.zarr"
        parts.append(part)
        write_group(part, zarr_format=2)
        attributes = {"scale_factor": 1.0, "add_offset": offset}
        write_array(
            part,
            "v",
            np.arange(4, dtype="i2") + 5,
            zarr_format=2,
            dims=["time"],
            chunks=[2],
            fill=None,
            attrs=attributes,
        )
        patch(part / "v" / ".zarray", fill_value=None)
    (tmp_path / "1.zarr" / "v" / "1").unlink()
    zapz.append(tmp_path / "c.zarr", parts, **FAST)
    assert rd(tmp_path / "c.zarr", "v").tolist() == [5, 6, 7, 8, 255, 256, 250, 250]


def test_missing_cells_in_an_absent_boundary_chunk(tmp_path: Path) -> None:
    parts = []
    for n in (0, 1):
        part = tmp_path / f"{n}.zarr"
        parts.append(part)
        write_group(part, zarr_format=3)
        write_array(part, "time", np.arange(3) + 3 * n, zarr_format=3, dims=["time"])
        if n == 0:
            options: dict[str, Any] = {"fill": 0.0, "attrs": {"_FillValue": NAN}, "write_empty": False}
            write_array(part, "v", np.zeros((3, 2)), zarr_format=3, dims=["time", "x"], chunks=[4, 2], **options)
    zapz.append(tmp_path / "c.zarr", parts, on_missing="fill", **FAST)
    assert np.isnan(rd(tmp_path / "c.zarr", "v")[3:]).all()
    assert (rd(tmp_path / "c.zarr", "v")[:3] == 0).all()


LOSSY = {
    "delta with NaN": (numcodecs.Delta("<f8"), [np.nan, 5.0, 6.0], "f8"),
    "quantize to infinity": (numcodecs.Quantize(3, "<f4"), [9.96921e36, 1.0, 2.0], "f4"),
    "bitround to infinity": (numcodecs.BitRound(4), [3.4e38, 1.0, 2.0], "f4"),
}


@pytest.mark.parametrize("name", LOSSY)
def test_values_that_do_not_survive_a_filter_are_refused(tmp_path: Path, name: str) -> None:
    codec, values, dtype = LOSSY[name]
    parts = []
    for n in range(2):
        part = tmp_path / f"{n}.zarr"
        parts.append(part)
        write_group(part, zarr_format=2)
        cells = np.array([1, 2, 3] if n == 0 else values, dtype)
        filters = [codec] if n == 0 else None
        write_array(part, "v", cells, zarr_format=2, dims=["time"], fill=9.96921e36, chunks=[3], filters=filters)
    with pytest.raises(zapz.SliceError, match="filter"):
        zapz.append(tmp_path / "c.zarr", parts, **FAST)
    assert rd(tmp_path / "c.zarr", "v").tolist() == [1, 2, 3]


def test_missing_cells_that_do_not_survive_a_filter_are_refused(tmp_path: Path) -> None:
    for n in range(2):
        part = tmp_path / f"{n}.zarr"
        write_group(part, zarr_format=3)
        write_array(part, "time", np.arange(2) + 2 * n, zarr_format=3, dims=["time"])
    first = tmp_path / "0.zarr"
    write_array(first, "v", np.array([1.0, 2.0]), zarr_format=3, dims=["time"], fill=0.0, chunks=[2])
    codec = {
        "name": "numcodecs.fixedscaleoffset",
        "configuration": {"offset": 0, "scale": 10, "dtype": "<f8", "astype": "|i1"},
    }
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    patch(first / "v" / "zarr.json", codecs=[codec, little], attributes={"_FillValue": NAN})
    os.remove(first / "v" / "c" / "0")
    with cubes.quiet():
        zarr.open_array(str(first / "v"), mode="a")[...] = [1, 2]
        zapz.append(tmp_path / "c.zarr", first, **FAST)
        with pytest.raises(zapz.SliceError, match="filter"):
            zapz.append(tmp_path / "c.zarr", tmp_path / "1.zarr", on_missing="fill", **FAST)


def test_several_zstd_frames_do_not_leave_memory_behind(tmp_path: Path) -> None:
    zstd = numcodecs.Zstd()
    values = np.arange(1000, 1016, dtype="i8")
    for n in range(2):
        part = tmp_path / f"{n}.zarr"
        write_group(part, zarr_format=2)
        write_array(
            part, "v", values + n, zarr_format=2, dims=["time"], fill=None, chunks=[16], compressors=zstd if n else None
        )
    data = values.tobytes()
    (tmp_path / "1.zarr" / "v" / "0").write_bytes(zstd.encode(data[:32]) + zstd.encode(data[32:64]))
    zapz.append(tmp_path / "c.zarr", tmp_path / "0.zarr", **FAST)
    with pytest.raises(zapz.ChunkError):
        zapz.append(tmp_path / "c.zarr", tmp_path / "1.zarr", **FAST)


@pytest.mark.parametrize("codec", [numcodecs.FixedScaleOffset(0, 10, "<f8", "|i1"), numcodecs.Quantize(1, "<f8")])
def test_resume_over_a_lossy_filter(tmp_path: Path, codec: object) -> None:
    parts = []
    for n, values in ((0, [1, 2]), (1, [1.04, 2.33])):
        part = tmp_path / f"{n}.zarr"
        parts.append(part)
        write_group(part, zarr_format=2)
        write_array(part, "time", np.arange(2) + 2 * n, zarr_format=2, dims=["time"], fill=None)
        filters = [codec] if n == 0 else None
        write_array(
            part, "v", np.array(values, "f8"), zarr_format=2, dims=["time"], fill=None, chunks=[2], filters=filters
        )
    zapz.append(tmp_path / "c.zarr", parts, **FAST)
    assert zapz.append(tmp_path / "c.zarr", parts, **FAST).already == 2


def test_plan_with_excluded_variables_is_executed(tmp_path: Path) -> None:
    for n in (0, 1):
        part = tmp_path / f"{n}.zarr"
        write_group(part, zarr_format=3)
        write_array(part, "time", np.arange(3) + 3 * n, zarr_format=3, dims=["time"])
        for name in "vw":
            write_array(part, name, np.ones((3, 2)), zarr_format=3, dims=["time", "x"])
    zapz.append(tmp_path / "c.zarr", tmp_path / "0.zarr", excluded_variables=["w"])
    plan = zapz.plan(tmp_path / "c.zarr", tmp_path / "1.zarr", excluded_variables=["w"])
    assert zapz.execute(plan).length == 6


def labelled(path: Path, labels: list[int], units: str) -> Path:
    write_group(path, zarr_format=2)
    write_array(path, "time", np.array(labels), zarr_format=2, dims=["time"], fill=None, attrs={"units": units})
    write_array(path, "v", np.array(labels) * 2.0, zarr_format=2, dims=["time"], fill=None)
    return path


def test_dry_run_sees_what_the_run_sees(tmp_path: Path) -> None:
    units = "days since 2024-01-01"
    parts = [
        labelled(tmp_path / f"{i}.zarr", labels, units)
        for i, labels in enumerate([[1, 2, 3], [4, 5, 6], [2, 3], [3, 4]])
    ]
    dry = zapz.append(tmp_path / "c.zarr", parts, dry_run=True)
    real = zapz.append(tmp_path / "c.zarr", parts)
    assert [s.outcome.replace("planned", "appended") for s in dry.slices] == [s.outcome for s in real.slices]
    assert [s.outcome for s in real.slices] == ["appended", "appended", "already", "already"]


def test_dry_run_converts_planned_slices(tmp_path: Path) -> None:
    first = labelled(tmp_path / "a.zarr", [0], "days since 2024-01-01")
    following = [labelled(tmp_path / f"{n}.zarr", [0], "days since 2024-01-02") for n in "bc"]
    for dry_run in (True, False):
        report = zapz.append(tmp_path / "t.zarr", [first, *following], dry_run=dry_run)
        assert [s.outcome for s in report.slices][-1] == "already"


def test_scalar_whose_chunk_is_missing(tmp_path: Path) -> None:
    source = tmp_path / "s.zarr"
    write_group(source, zarr_format=3)
    write_array(source, "time", np.arange(2), zarr_format=3, dims=["time"])
    write_array(source, "crs", np.array(7, "i4"), zarr_format=3, dims=[], fill=-1)
    (source / "crs" / "c").unlink()
    zapz.append(tmp_path / "c.zarr", source, zarr_format=2)
    assert rd(tmp_path / "c.zarr", "crs") == -1


def test_length_is_reported_without_slices(tmp_path: Path) -> None:
    source = labelled(tmp_path / "a.zarr", [0, 1], "days since 2024-01-01")
    zapz.append(tmp_path / "c.zarr", source)
    assert zapz.append(tmp_path / "c.zarr", iter([])).length == 2
    assert zapz.append(tmp_path / "c.zarr", []).length == 2


def test_folder_of_datasets_is_no_dataset(tmp_path: Path) -> None:
    """A folder in which datasets lie is not taken for a group of them."""
    labelled(tmp_path / "here" / "a.zarr", [0, 1], "days since 2024-01-01")
    following = labelled(tmp_path / "b.zarr", [2], "days since 2024-01-01")
    before = snapshot(tmp_path / "here")
    with pytest.raises(zapz.FormatError, match="not a Zarr dataset"):
        zapz.append(tmp_path / "here", following)
    with pytest.raises(zapz.FormatError, match="not a Zarr dataset"):
        zapz.append(tmp_path / "new.zarr", tmp_path / "here")
    assert snapshot(tmp_path / "here") == before
    assert not (tmp_path / "new.zarr").exists()
