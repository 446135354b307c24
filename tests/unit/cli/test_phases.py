"""Where a run is, told phase by phase; and what a slice is called before it is open."""

from __future__ import annotations

import datetime as dt
import json
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.small_days import day, days, locked

import zapz
from zapz.sources.names import name_of


def phases(told: list[zapz.Progress]) -> list[tuple[int, str]]:
    """Return number and phase of what was told, one after another."""
    return [key for key, _ in groupby((event.number, event.phase) for event in told)]


def test_every_phase_is_told(tmp_path: Path) -> None:
    told: list[zapz.Progress] = []
    first, second, again = *days(tmp_path, 2), tmp_path / "day1.zarr"
    report = zapz.append(tmp_path / "cube.zarr", [first, second, again], on_phase=told.append)
    whole = ["opening", "checking", "copying", "syncing", "committing"]
    looked = [(n, "looking") for n in range(3)]
    assert phases(told) == [*looked, *((n, phase) for n in (0, 1) for phase in whole), (2, "opening"), (2, "checking")]
    assert {Path(event.slice).name for event in told if event.number == 1} == {"day1.zarr"}
    assert {event.slices for event in told} == {3}
    last = [event for event in told if (event.number, event.phase) == (1, "copying")][-1]
    done = report.slices[1]
    assert (last.chunks, last.total, last.bytes) == (9, 9, done.bytes_written)


def test_what_is_not_done_is_not_told(tmp_path: Path) -> None:
    told: list[zapz.Progress] = []
    zapz.append(tmp_path / "cube.zarr", (d for d in [day(0)]), on_phase=told.append, durability="process")
    assert phases(told) == [(0, phase) for phase in ("opening", "checking", "encoding", "committing")]
    assert told[0].slices is None
    told.clear()
    zapz.append(f"memory://{tmp_path.name}/cube.zarr", [day(0)], on_phase=told.append)
    assert [phase for _, phase in phases(told)] == ["opening", "checking", "encoding", "committing"]
    told.clear()
    zapz.append(tmp_path / "cube.zarr", [day(1)], on_phase=told.append, dry_run=True)
    assert [phase for _, phase in phases(told)] == ["opening", "checking"]


@pytest.mark.parametrize("phase", ["opening", "checking", "encoding", "syncing", "committing"])
def test_an_error_of_the_callback_appends_nothing(phase: str, tmp_path: Path) -> None:
    def told(event: zapz.Progress) -> None:
        if event.phase == phase:
            raise ZeroDivisionError

    zapz.append(tmp_path / "cube.zarr", [day(0)])
    with pytest.raises(ZeroDivisionError):
        zapz.append(tmp_path / "cube.zarr", [day(1)], on_phase=told)
    assert zapz.info(tmp_path / "cube.zarr").dims["time"] == 1
    assert zapz.recover(tmp_path / "cube.zarr").clean


def test_slices_that_are_computed_ahead(tmp_path: Path) -> None:
    """They are told of with their own numbers, and are called by what they are made of."""

    class Lazy(zapz.Source):
        def __init__(self, number: int) -> None:
            self.inner = day(number)

        def documents(self) -> dict[str, bytes]:
            def array(dims: list[str], dtype: str, shape: list[int]) -> bytes:
                form = {"zarr_format": 3, "node_type": "array", "shape": shape, "data_type": dtype, "fill_value": 0}
                form |= {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shape}}, "attributes": {}}
                form |= {"chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}]}  # fmt: skip
                return json.dumps({**form, "dimension_names": dims}).encode()

            return {
                "zarr.json": b'{"zarr_format": 3, "node_type": "group", "attributes": {}}',
                "time/zarr.json": array(["time"], "int64", [1]),
                "v/zarr.json": array(["time", "x"], "int64", [1, 3]),
            }

        def cells(self, path: str, box: Any) -> Any:
            return np.asarray(self.inner[path][1])[tuple(slice(a, b) for a, b in box)]

        def prepare(self, paths: Any) -> None:
            del paths

    told: list[zapz.Progress] = []
    for prefetch in (0, 1):
        told.clear()
        target = tmp_path / f"{prefetch}.zarr"
        zapz.append(target, [10, 11], slice_source=Lazy, prefetch=prefetch, on_phase=told.append)
        for number, name in enumerate(("item 10", "item 11")):
            mine = [phase for n, phase in phases(told) if n == number]
            assert [*dict.fromkeys(mine)] == ["opening", "computing", "checking", "encoding", "syncing", "committing"]
            assert {e.slice for e in told if e.number == number and e.phase in {"opening", "computing"}} == {name}


def test_waiting_is_told(tmp_path: Path) -> None:
    told: list[zapz.Progress] = []
    target = str(tmp_path / "cube.zarr")
    zapz.append(target, [day(0)])
    with pytest.raises(zapz.NotFoundError, match=r"Waited 0\.2 s"):
        zapz.append(target, [tmp_path / "no.zarr"], slice_polling={"timeout": 0.2}, on_phase=told.append)
    assert [(e.phase, Path(e.slice).name, e.wait) for e in told] == [("opening", "no.zarr", 0), ("waiting", "no.zarr", 0.2)]  # fmt: skip
    told.clear()
    with locked(target), pytest.raises(zapz.LockedError):
        zapz.append(target, [day(2)], lock_wait=0.2, on_phase=told.append)
    assert (told[-1].phase, Path(told[-1].slice).name, told[-1].wait) == ("waiting", "cube.zarr", 0.2)


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ("20230601.nc", "20230601.nc"),
        (Path("in") / "a b.nc", "in/a b.nc"),
        ("https://me:secret@host/a.nc?token=secret", "https://host/a.nc"),
        ("a\x1b[2K\n.nc", "a?[2K?.nc"),
        (3, "item 3"),
        ([1, 2.5], "item 1, 2.5"),
        (["a.nc", 2], "a.nc, 2"),
        (dt.date(2024, 6, 1), "2024-06-01"),
        (np.datetime64("2024-06-01T12"), "2024-06-01T12"),
        ((["a.nc"], {"key": "secret"}), "a.nc"),
        (([], {"path": "a.nc"}), "a.nc"),
        ({"path": "a.nc"}, "a.nc"),
        ({"path": "a.nc", "key": "secret"}, None),
        ("", None),
        ([], None),
        (np.zeros(3), None),
        ({"v": (["x"], np.zeros(3))}, None),
        (["a.nc", np.zeros(3)], None),
        (None, None),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_names_of_items(item: Any, name: str | None) -> None:
    assert name_of(item) == name


def test_a_slice_that_is_waited_for_to_be_sorted_is_named(tmp_path: Path) -> None:
    told: list[zapz.Progress] = []
    missing = tmp_path / "none.zarr"
    with pytest.raises(zapz.NotFoundError):
        zapz.append(
            tmp_path / "t",
            [*days(tmp_path, 1), missing],
            slice_order="labels",
            slice_polling={"timeout": 0.05, "interval": 0.01},
            on_phase=told.append,
        )
    assert {Path(event.slice).name for event in told if event.phase == "waiting"} == {"none.zarr"}
