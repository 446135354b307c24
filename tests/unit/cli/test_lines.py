"""What an append says of each slice, and of the run."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.command_line import run
from kit.small_days import day, days, spoil

import zapz
from zapz.cli import words

# -- a slice is called by what it was made of --------------------------------------------------------------------------


def test_lines_call_a_slice_by_its_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "import numpy as np\n"
        "def made(path):\n"
        "    n = int(path[3])\n"
        "    return {'time': (['time'], np.array([n])), 'v': (['time', 'x'], np.full((1, 3), n)), 'x': (['x'], np.arange(3) + n // 2)}\n"
    )
    (tmp_path / "makes_days.py").write_text(source)
    (tmp_path / "c.toml").write_text('slice_source = "makes_days:made"\n')
    words = ("append", "-c", tmp_path / "c.toml", tmp_path / "cube.zarr")
    code, out, err = run(*words, "day0.nc", "day1.nc", "day2.nc")
    assert code == 3
    assert [line.partition(":")[0] for line in out.splitlines()][1:] == ["day0.nc", "day1.nc"]
    assert "differs from the target's, day2.nc, x:" in err
    code, out, _ = run(*words, "day0.nc", "day1.nc", "--dry-run", "-v")
    assert [line.partition(":")[0] for line in out.splitlines() if "already there, and" in line] == [
        "day0.nc",
        "day1.nc",
    ]


def in_place(path: str) -> str:
    return str(Path(path).with_suffix(".zarr"))


class Made(zapz.Source):
    """A slice that has no name of its own."""

    def __init__(self, number: int) -> None:
        self.number = number

    def documents(self) -> dict[str, bytes]:
        head = b'{"zarr_format": 3, "node_type": "array", "shape": [1], "data_type": "int64", "fill_value": 0, "attributes": {}, "dimension_names": ["time"], '
        grid = b'"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1]}}, "chunk_key_encoding": {"name": "default"}, '
        codecs = b'"codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}'
        return {"zarr.json": b'{"zarr_format": 3, "node_type": "group", "attributes": {}}', "time/zarr.json": head + grid + codecs}  # fmt: skip

    def cells(self, path: str, box: Any) -> Any:
        return np.array([self.number])


class Named(Made):
    uri = "mine"


def test_reports_call_a_slice_by_its_item(tmp_path: Path) -> None:
    """Not one that has chosen a name for itself, and not arrays that have none."""

    def names(slices: Any, **settings: Any) -> list[str]:
        return [
            r.slice for r in zapz.append(tmp_path / f"{len(list(tmp_path.iterdir()))}.zarr", slices, **settings).slices
        ]

    assert names([5, 6], slice_source=Made) == ["item 5", "item 6"]
    assert names([([5], {})], slice_source=Named) == ["mine"]
    assert names([5], slice_source=day) == ["item 5"]
    assert names([[day(3)]], slice_source=lambda d: d) == ["slice 0"]
    assert names([day(3), day(4)]) == ["slice 0", "slice 1"]
    paths = days(tmp_path, 2)
    assert names(paths) == [str(path) for path in paths]
    assert names([tmp_path / "day1.nc"], slice_source=in_place) == [str(tmp_path / "day1.nc")]


def test_an_error_names_the_item_and_the_place(tmp_path: Path) -> None:
    """Where a slice source says where the slice is, that alone may be a temporary name."""
    first, second = days(tmp_path, 2)
    where = {"a.nc": first, "b.nc": second, "c.nc": first}
    for settings in ({}, {"dry_run": True}):
        with pytest.raises(zapz.LabelError) as caught:
            zapz.append(tmp_path / "cube.zarr", ["b.nc", "c.nc"], slice_source=where.__getitem__, **settings)  # type: ignore[arg-type]
        assert caught.value.where == f"c.nc, {first}, time"
    with pytest.raises(zapz.LabelError) as caught:
        zapz.append(tmp_path / "cube.zarr", ["day0.zarr"], slice_source=lambda name: tmp_path / name)
    assert caught.value.where == f"{first}, time"


# -- a run of many slices ----------------------------------------------------------------------------------------------


def without_time(text: str) -> list[str]:
    """Return lines without the folder of the test, and without how long it took."""
    return [re.sub(r"/\S*/(?=\w+\.zarr)", "", re.sub(r"\d+\.\d s", "T s", line)) for line in text.splitlines()]


def test_slices_that_are_there_are_one_line(tmp_path: Path) -> None:
    target, paths = tmp_path / "cube.zarr", days(tmp_path, 6)
    assert without_time(run("append", target, paths[0], "--set", "label_units=keep")[1]) == [
        "created cube.zarr",
        "day0.zarr: appended 1 step: 14 chunks copied, 1 encoded, 50.1 kB",
        "cube.zarr: 1 appended; length 1; 50.1 kB in T s",
    ]
    assert without_time(run("append", target, *paths[:2])[1]) == [
        "day0.zarr: already there, and equal",
        "day1.zarr: appended 1 step: 8 chunks copied, 1 encoded, 48.6 kB",
        "2 slices: 1 appended, 1 already there · 2024-06-02 is the last · 48.6 kB in T s",
    ]
    assert without_time(run("append", target, *paths[:3], paths[0], paths[1])[1]) == [
        "2 slices: already there",
        "day2.zarr: appended 1 step: 8 chunks copied, 1 encoded, 48.2 kB",
        "2 slices: already there",
        "5 slices: 1 appended, 4 already there · 2024-06-03 is the last · 48.2 kB in T s",
    ]
    assert without_time(run("append", target, *paths[:3])[1]) == [
        "3 slices: already there · 2024-06-03 is the last · T s"
    ]
    assert without_time(run("append", target, paths[0])[1]) == [
        "day0.zarr: already there, and equal",
        "cube.zarr: 1 already there; length 3; 0 B in T s",
    ]
    assert without_time(run("append", target, *paths[:2], "--on-existing", "skip")[1]) == [
        "2 slices: skipped, their labels are already there · 2024-06-03 is the last · T s"
    ]
    assert without_time(run("append", target, *paths[:2], "-v")[1])[-3:] == [
        "day0.zarr: already there, and equal",
        "day1.zarr: already there, and equal",
        "2 slices: 2 already there · 2024-06-03 is the last · 0 B in T s",
    ]
    assert without_time(run("append", target, *paths[1:4], "--dry-run")[1])[0] == "2 slices: already there"
    assert without_time(run("append", target, *paths[1:], "--dry-run")[1])[-1] == "5 slices: 3 would be appended, 2 already there · 2024-06-06 would be the last · nothing written"  # fmt: skip


def test_what_was_compared_is_said_once(tmp_path: Path) -> None:
    target, paths = tmp_path / "cube.zarr", days(tmp_path, 2)
    run("append", target, *paths)
    (tmp_path / "c.toml").write_text("resume_budget = 1\n")
    out = run("append", "-c", tmp_path / "c.toml", target, *paths)[1]
    (line,) = without_time(out)
    assert line == "2 slices: already there (compared: 16 lengths, the content of 6 of 18 chunks, 24.5 kB) · 2024-06-02 is the last · T s"  # fmt: skip


def test_before_an_error_it_is_said_what_was_there(tmp_path: Path) -> None:
    *paths, bad = days(tmp_path, 3)
    spoil(bad)
    run("append", tmp_path / "cube.zarr", *paths)
    code, out, _ = run("append", tmp_path / "cube.zarr", *paths, bad)
    assert (code, out) == (5, "2 slices: already there\n")


def test_a_target_without_labels_says_its_length(tmp_path: Path) -> None:
    slices = [tmp_path / name for name in ("a", "b")]
    for path in slices:
        zapz.append(path, {"v": (["time"], np.arange(3))})
    assert without_time(run("append", tmp_path / "cube.zarr", *slices)[1])[-1].startswith(
        "2 slices: 2 appended · length 6 · "
    )


def test_a_new_target_is_announced(tmp_path: Path) -> None:
    """Before anything else; a target that is replaced, too."""
    target, paths = tmp_path / "cube.zarr", days(tmp_path, 2)

    def first(*words: object) -> str:
        return without_time(run("append", target, *words)[1])[0]

    assert first(paths[0], "--dry-run") == "would create cube.zarr"
    assert not zapz.append(target, paths[0], dry_run=True).created
    assert first(paths[0]) == "created cube.zarr"
    assert first(paths[1]).startswith("day1.zarr: appended")
    assert first(paths[1], "--dry-run", "--force-new") == "would replace cube.zarr"
    assert first(paths[1], "--force-new") == "replaced cube.zarr"
    report = zapz.append(tmp_path / "other.zarr", paths)
    assert (report.created, [r.created for r in report.slices]) == (True, [True, False])
    assert not zapz.append(tmp_path / "other.zarr", paths).created
    assert not zapz.append(tmp_path / "other.zarr", paths, force_new=True).created


def test_reports_say_the_last_label_and_the_length(tmp_path: Path) -> None:
    report = zapz.append(tmp_path / "cube.zarr", [day(3), day(5)])
    assert [(r.length, r.last) for r in report.slices] == [(1, "3"), (2, "5")]
    assert (report.length, report.last) == (2, "5")
    report = zapz.append(tmp_path / "cube.zarr", [day(3)])
    assert (report.slices[0].length, report.last) == (2, "5")
    report = zapz.append(tmp_path / "cube.zarr", [day(5), day(7), day(9)], dry_run=True)
    assert [(r.length, r.last) for r in report.slices] == [(2, "5"), (3, "7"), (4, "9")]


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("some/cube.zarr", "some/cube.zarr"),
        ("s3://me:secret@bucket/some/cube.zarr?key=secret", "cube.zarr"),
        ("s3://me:secret@bucket", "bucket"),
        ("zip://a.zarr::s3://bucket/a.zip", "a.zip"),
    ],
)
def test_no_secret_of_a_target_is_said(place: str, said: str) -> None:
    assert words.shown(place) == said


def test_signs_that_an_encoding_lacks() -> None:
    latin = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    assert words.fitting("2 slices · …", latin) == "2 slices - ..."
    assert words.fitting("d\udce9.zarr · 1", io.TextIOWrapper(io.BytesIO(), encoding="utf-8")) == "d\\udce9.zarr · 1"
    assert words.fitting("d\udce9.zarr", io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="surrogateescape")) == "d\udce9.zarr"  # fmt: skip


# -- what is not as it should be is said each time ---------------------------------------------------------------------


def grid(number: int, lat: list[float], **more: Any) -> dict[str, Any]:
    return {"time": (["time"], np.array([number])), "lat": (["lat"], np.array(lat)), "sst": (["time", "lat"], np.ones((1, 2))), **more}  # fmt: skip


def test_filled_variables_are_said_each_time(tmp_path: Path) -> None:
    target, others = tmp_path / "cube.zarr", {"chl": (["time"], np.ones(1)), "depth": (["lat"], np.ones(2))}
    zapz.append(target, grid(0, [1, 2]))
    bare = [{"time": (["time"], np.array([n])), **others} for n in (1, 2)]
    settings = {"on_missing": "fill", "on_extra": "ignore"}
    planned = zapz.append(target, bare, dry_run=True, **settings)  # type: ignore[arg-type]
    report = zapz.append(target, bare, **settings)  # type: ignore[arg-type]
    for found in (planned, report):
        assert [r.filled for r in found.slices] == [("sst",)] * 2
        assert [r.notes for r in found.slices] == [
            (
                "sst: filled with missing values",
                "variable chl of the slice is not in the target and is ignored",
                "static variable depth of the slice is not in the target and is ignored",
            ),
            ("sst: filled with missing values",),
        ]
    again = zapz.append(target, bare, on_missing="fill", on_extra="ignore").slices[1]
    assert (again.outcome, again.filled, again.notes) == ("already", (), ("sst: not compared, the slice lacks it",))


def test_a_static_variable_that_differs_and_is_ignored_is_said_each_time(tmp_path: Path) -> None:
    target = tmp_path / "cube.zarr"
    zapz.append(target, grid(0, [1, 2]))
    slices = [grid(1, [2, 1]), grid(2, [1, 2]), grid(3, [5, 6])]
    notes = (("lat: differs from the target; the target's values are kept (static: ignore)",), (), ("lat: differs from the target; the target's values are kept (static: ignore)",))  # fmt: skip
    assert tuple(r.notes for r in zapz.append(target, slices, static="ignore", dry_run=True).slices) == notes
    assert tuple(r.notes for r in zapz.append(target, slices, static="ignore").slices) == notes


def test_what_is_ignored_need_not_be_readable(tmp_path: Path) -> None:
    """Nor comparable, nor small: then nothing is said, and nothing is refused."""
    target, slices = tmp_path / "cube.zarr", [tmp_path / name for name in ("text", "damaged")]
    zapz.append(target, grid(0, [1, 2]))
    zapz.append(slices[0], grid(1, ["a", "b"]))  # type: ignore[list-item]
    zapz.append(slices[1], grid(2, [3, 4]))
    (slices[1] / "lat" / "c" / "0").write_bytes(b"x")
    first, second = zapz.append(target, slices, static="ignore").slices
    assert first.notes == ("lat: differs from the target; the target's values are kept (static: ignore)",)
    assert second.notes == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zapz.checks.ignored_static._MOST", 15)
        assert zapz.append(target, grid(3, [3, 4]), static="ignore").slices[0].notes == ()
