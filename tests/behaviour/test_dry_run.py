"""A dry run sees what the run sees, and says the same."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from kit.cubes import write_array
from kit.small_cubes import FAST, labelled, patch, timed

import zapz
from zapz.operations import foresee, info_words
from zapz.pictures import plan_words

UNITS = "days since 2024-01-01"


def outcomes(target: Path, slices: Any, **settings: Any) -> tuple[list[str], str]:
    """Return the outcomes of the slices of an append, and the refusal, if it was refused."""
    try:
        report, refused = zapz.append(target, slices, **settings), ""
    except zapz.LabelError as error:
        assert error.report is not None
        report, refused = error.report, str(error).partition(", /")[0]
    return [s.outcome.replace("planned", "appended") for s in report.slices], refused


def agreed(target: Path, slices: Sequence[Path], **settings: Any) -> tuple[list[str], str]:
    """Return what a dry run and a run say alike, for a list and for an iterator of slices."""
    dry = [outcomes(target, each, dry_run=True, **settings) for each in (list(slices), iter(slices))]
    copies = [target.with_name(f"{target.name}-{n}") for n in range(2)]
    for copy in copies:
        if target.exists():
            shutil.copytree(target, copy)
    real = [outcomes(copy, each, **settings) for copy, each in zip(copies, (list(slices), iter(slices)), strict=True)]
    assert dry == real
    return real[1]


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


def test_length_is_reported_without_slices(tmp_path: Path) -> None:
    source = labelled(tmp_path / "a.zarr", [0, 1], "days since 2024-01-01")
    zapz.append(tmp_path / "c.zarr", source)
    assert zapz.append(tmp_path / "c.zarr", iter([])).length == 2
    assert zapz.append(tmp_path / "c.zarr", []).length == 2


@pytest.mark.parametrize("value", [2.0, 7.0])
def test_dry_run_sees_a_slice_that_is_partly_in_the_target_and_partly_planned(tmp_path: Path, value: float) -> None:
    """The slices come from an iterator, so that none of them is inspected before the first is written."""
    units = "days since 2024-01-01"
    target = tmp_path / "c.zarr"
    zapz.append(target, labelled(tmp_path / "0.zarr", [1, 2, 3], units))
    parts = [labelled(tmp_path / f"{i}.zarr", labels, units) for i, labels in enumerate([[4, 5, 6], [3, 4], [3, 5]], 1)]
    zarr.open_array(str(parts[1] / "v"), mode="r+")[1] = value * 4
    said = []
    for dry_run in (True, False):
        with pytest.raises(zapz.LabelError) as caught:
            zapz.append(target, iter(parts), dry_run=dry_run)
        report = caught.value.report
        assert report is not None
        said.append(
            (str(caught.value).partition(" (")[0], [s.outcome.replace("planned", "appended") for s in report.slices])
        )
    assert said[0] == said[1]
    assert said[0][1] == (["appended", "already"] if value == 2.0 else ["appended"])


@pytest.mark.parametrize("on_existing", ["resume", "skip"])
def test_labels_partly_in_the_target_and_partly_in_a_slice_of_the_same_call(tmp_path: Path, on_existing: str) -> None:
    target = tmp_path / "c.zarr"
    zapz.append(target, labelled(tmp_path / "0.zarr", [0, 1, 2], UNITS))
    parts = [
        labelled(tmp_path / f"{i}.zarr", labels, UNITS)
        for i, labels in enumerate([[3, 4], [2, 3, 4], [1, 2, 3], [4]], 1)
    ]
    there = "already" if on_existing == "resume" else "skipped"
    assert agreed(target, parts, on_existing=on_existing) == (["appended", there, there, there], "")


def test_labels_that_leave_a_slice_of_the_same_call_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "c.zarr"
    zapz.append(target, labelled(tmp_path / "0.zarr", [0, 1, 2], UNITS))
    parts = [labelled(tmp_path / f"{i}.zarr", labels, UNITS) for i, labels in enumerate([[3, 4], [2, 3, 4, 5]], 1)]
    done, refused = agreed(target, [parts[0], labelled(tmp_path / "z.zarr", [2, 4], UNITS)])
    assert (done, refused) == (["appended"], "some labels of the slice are already in the target, but not all")
    for dry_run in (True, False):  # a list is inspected as a whole before the first slice is appended
        assert outcomes(target, parts, dry_run=dry_run)[0] == []


def test_a_dry_run_refuses_an_order_as_the_run_does(tmp_path: Path) -> None:
    target = tmp_path / "c.zarr"
    zapz.append(target, labelled(tmp_path / "0.zarr", [0], UNITS))
    parts = [labelled(tmp_path / f"{n}.zarr", [n], UNITS) for n in (5, 7, 4)]
    said = [outcomes(target, parts, dry_run=dry_run) for dry_run in (True, False)]
    assert said[0] == said[1]
    assert said[0][1].startswith("the slices are not in the order of their labels")
    assert [outcomes(target, parts, dry_run=d, slice_order="labels")[0] for d in (True, False)] == [
        ["appended"] * 3
    ] * 2


@pytest.mark.parametrize("on_existing", ["resume", "skip", "refuse"])
def test_groups_of_which_only_one_is_there_are_refused_alike(tmp_path: Path, on_existing: str) -> None:
    """What is decided for a slice is decided for all its groups, also where the first is in a planned slice."""

    def days(name: str, first: int, other: int) -> Path:
        labelled(tmp_path / name, [first], UNITS)
        labelled(tmp_path / name / "other", [other], UNITS)
        return tmp_path / name

    target = tmp_path / "c.zarr"
    parts = [days("0.zarr", 0, 0), days("1.zarr", 1, 1), days("2.zarr", 1, 2)]
    for _ in range(2):  # without a target, then with one
        dry, real = (outcomes(target, iter(parts), dry_run=dry, on_existing=on_existing) for dry in (True, False))
        assert dry == real
        assert dry[0] == ["appended"] * len(parts[1:])
        assert dry[1] == "labels of one group are already in the target, those of another group are not"
        shutil.rmtree(target)
        zapz.append(target, parts.pop(0))


def sparse(path: Path, start: int, cells: np.ndarray, *, fill: float, chunks: int, shards: int | None = None) -> Path:
    """Write a slice of (time, x); chunks of zeros are not written, whatever the fill value says."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    time = root.create_array("time", shape=cells.shape[:1], dtype="i8", chunks=(10,), dimension_names=["time"])
    time[:] = np.arange(start, start + len(cells))
    if shards is None:
        layout: dict[str, Any] = {"chunks": (chunks, 4)}
    else:
        layout = {"chunks": (chunks, 4), "shards": (chunks * shards, 8)}
    v = root.create_array("v", shape=cells.shape, dtype="f4", fill_value=fill, dimension_names=["time", "x"], **layout)
    for t in range(0, len(cells), v.chunks[0] if shards is None else v.shards[0]):
        for x in range(0, cells.shape[1], 4 if shards is None else 8):
            block = np.s_[t : t + (chunks if shards is None else chunks * shards), x : x + (4 if shards is None else 8)]
            if cells[block].any():
                v[block] = cells[block]
    return path


def halves(steps: int, *, full: bool) -> np.ndarray:
    cells = np.ones((steps, 8), "f4")
    cells[:, 4:] *= full
    return cells


CASES: dict[str, tuple[list[dict[str, Any]], dict[str, int]]] = {
    "all there": ([{}, {}], {"copied": 4, "encoded": 0, "empty": 0}),
    "lacks a chunk": ([{}, {"full": False}], {"copied": 3, "encoded": 0, "empty": 1}),
    "lacks a chunk that reads as another value": (
        [{}, {"full": False, "fill": -1}],
        {"copied": 3, "encoded": 1, "empty": 0},
    ),
    "lacks an encoded chunk": ([{}, {"full": False, "chunks": 1}], {"copied": 2, "encoded": 1, "empty": 1}),
    "lacks an encoded chunk that reads as another value": (
        [{}, {"full": False, "chunks": 1, "fill": -1}],
        {"copied": 2, "encoded": 2, "empty": 0},
    ),
    "boundary": ([{"steps": 1}, {"full": False}], {"copied": 2, "encoded": 3, "empty": 1}),
    "copied shards": ([{"shards": 2, "steps": 4}] * 2, {"copied": 2, "joined": 0, "empty": 0}),
    "joined shards": ([{"shards": 2}] * 2, {"copied": 1, "joined": 1, "empty": 0}),
    "new shards": ([{"shards": 2, "steps": 4}, {"steps": 4}], {"copied": 1, "joined": 1, "empty": 0}),
    "a shard of nothing": ([{"shards": 2, "steps": 4}, {"steps": 4, "zero": True}], {"copied": 1, "empty": 1}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("remote", [False, True], ids=["local", "remote target"])
def test_a_dry_run_counts_the_chunks_that_the_run_writes(
    tmp_path: Path, case: str, remote: bool, request: pytest.FixtureRequest
) -> None:
    given, expected = CASES[case]
    slices, start = [], 0
    for number, each in enumerate(given):
        steps = each.get("steps", 2)
        cells = halves(steps, full=each.get("full", True)) * (not each.get("zero", False))
        layout = {"fill": each.get("fill", 0), "chunks": each.get("chunks", 2), "shards": each.get("shards")}
        slices.append(sparse(tmp_path / f"{number}.zarr", start, cells, **layout))
        start += steps
    target = f"memory://{request.node.name}" if remote else str(tmp_path / "c.zarr")
    dry, real = (zapz.append(target, slices, dry_run=dry, **FAST) for dry in (True, False))
    for planned, done in zip(dry.slices, real.slices, strict=True):
        assert planned.plan is not None
        assert planned.plan["exact"]
        assert (planned.plan["copied_chunks"], planned.plan["encoded_chunks"]) == (
            done.copied_chunks,
            done.encoded_chunks,
        )
        for name in ("copied_chunks", "encoded_chunks"):
            assert planned.plan[name] == sum(v[name] for v in planned.plan["variables"])
    runs = [run for each in dry.slices for v in each.plan["variables"] if v["path"] == "v" for run in v["chunks"]]
    found = Counter({name: sum(n for kind, n in runs if kind == name) for name, _ in runs})
    found["encoded"] += found.pop("boundary", 0)
    assert {name: found[name] for name in expected} == expected


def test_a_dry_run_looks_at_a_bounded_number_of_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foresee, "_MOST", 8)
    slices = [sparse(tmp_path / f"{n}.zarr", 2 * n, halves(2, full=False), fill=0, chunks=2) for n in range(5)]
    dry = zapz.append(tmp_path / "c.zarr", slices, dry_run=True, **FAST)
    assert [each.plan is not None and each.plan["exact"] for each in dry.slices] == [True, True, False, False, False]
    said = [plan_words.headline(each.plan) for each in dry.slices if each.plan is not None]
    assert said[1] == "append 2 steps at step 2: 1 chunk copied, 1 re-encoded"
    assert said[2] == "append 2 steps at step 4: at most 2 chunks copied, 1 re-encoded"


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_codecs_that_zapz_cannot_run_are_refused_alike(tmp_path: Path, zarr_format: int) -> None:
    """Chunks of an unknown codec can be copied; where they would have to be encoded, a dry run and ``info`` say so."""

    def slice_of(name: str, labels: list[int]) -> Path:
        path = timed(tmp_path / name, labels[0], zarr_format, len(labels))
        write_array(path, "v", np.ones((len(labels), 4)), dims=["time", "x"], zarr_format=zarr_format, chunks=(2, 4))
        if zarr_format == 2:
            patch(path / "v" / ".zarray", compressor={"id": "nosuch"})
        else:
            codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "nosuch"}]
            patch(path / "v" / "zarr.json", codecs=codecs)
        return path

    target = tmp_path / "c.zarr"
    slices = [slice_of("0", [0, 1]), slice_of("1", [2])]
    assert agreed(target, slices, **FAST) == (["appended", "appended"], "")
    zapz.append(target, slices, **FAST)
    (told,) = [words for paths, words, _ in info_words.next_append(zapz.info(target)) if paths == "v"]
    assert told.startswith(
        "refused: the boundary chunk holds 1 of 2 steps and must be re-encoded, but zapz cannot run its codecs"
    )
    following = slice_of("2", [3, 4])
    for dry_run in (True, False):
        with pytest.raises(zapz.UnsupportedError, match="nosuch"):
            zapz.append(target, following, dry_run=dry_run, **FAST)
