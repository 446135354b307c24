"""What is said of a plan, and of an append where more is asked for: variables, reasons, times, settings."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.command_line import run
from kit.small_days import day, days

import zapz
from zapz.cli import details
from zapz.config.layers import make
from zapz.pictures import plan_words

HOUR = np.timedelta64(1, "h")


def series(start: int, steps: int = 2, dtype: str = "f4") -> dict[str, Any]:
    """Return a slice of hours."""
    time = np.datetime64("2024-01-01", "ns") + np.arange(start, start + steps) * HOUR
    return {"time": (["time"], time), "v": (["time", "x"], np.arange(start * 4, (start + steps) * 4).reshape(steps, 4).astype(dtype))}  # fmt: skip


def stored(
    path: Path, start: int, encoding: dict[str, Any], *, steps: int = 2, dtype: str = "f4", **settings: Any
) -> Path:
    """Store a slice with this encoding of ``v``."""
    base = {"time": {"encoding": {"units": "hours since 2024-01-01", "dtype": "int64"}}, "v": {"encoding": {"compressor": {"id": "zlib", "level": 1}, **encoding}}}  # fmt: skip
    zapz.append(path, series(start, steps, dtype), variables=base, label_chunk="keep", **settings)
    return path


WHY = {
    "copied": ({}, {}, {}, []),
    "chunks": ({}, {"chunks": [1, 4]}, {}, ["chunks of 1x4 in the slice, 2x4 in the target"]),
    "codec": ({}, {"compressor": {"id": "zstd", "level": 1}}, {}, ["zstd in the slice, zlib in the target"]),
    "no codec": ({}, {"compressor": None}, {}, ["no compression in the slice, zlib in the target"]),
    "blosc": ({"compressor": {"id": "blosc", "cname": "lz4"}}, {}, {}, ["zlib in the slice, blosc/lz4 in the target"]),
    "data type": ({}, {"dtype": "float64"}, {}, ["float32 in the slice, float64 in the target"]),
    "packing": (
        {"dtype": "int16", "scale_factor": 0.5, "fill_value": -1},
        {"dtype": "int16", "scale_factor": 0.25, "fill_value": -1},
        {},
        ["packing (scale_factor, add_offset) differs"],
    ),
    "missing": (
        {"dtype": "int16", "scale_factor": 0.5, "fill_value": -1},
        {"dtype": "int16", "scale_factor": 0.5, "fill_value": -2},
        {},
        ["the missing value differs"],
    ),
    "recompress": (
        {},
        {"compressor": {"id": "zlib", "level": 9}},
        {"recompress": True},
        ["recompress: the compressor's parameters differ"],
    ),
    "other parameters": ({}, {"compressor": {"id": "zlib", "level": 9}}, {}, []),
    "shards": (
        {"shards": [2, 4], "chunks": [1, 4]},
        {"chunks": [1, 4]},
        {},
        [
            "chunks of 1x4 in the slice, 2x4 in the target",
            "no shards in the slice, shards in the target",
            "inner chunks are copied unchanged",
        ],
    ),
    "no shards": (
        {"chunks": [2, 4]},
        {"shards": [2, 4], "chunks": [1, 4]},
        {},
        ["shards in the slice, no shards in the target"],
    ),
}
"""How the target is stored, how the slice is, settings, and why its chunks are encoded."""


@pytest.mark.parametrize("case", WHY)
def test_why_chunks_are_encoded(case: str, tmp_path: Path) -> None:
    mine, theirs, settings, why = WHY[case]
    if case == "data type":
        mine, theirs = theirs, mine
    target, slice_ = stored(tmp_path / "cube", 0, mine), stored(tmp_path / "slice", 2, theirs)
    summary = zapz.plan(target, slice_, **settings).summary()
    (v,) = (each for each in summary["variables"] if each["path"] == "v")
    assert v["why"] == why
    assert (v["copied_chunks"] > 0, v["encoded_chunks"] > 0) == (not why, bool(why))
    copied = not why or "inner" in why[-1]
    assert summary["decoded_bytes"] == sum(8 * 2 for each in summary["variables"] if each["path"] == "time" and each["why"]) + (0 if copied else 8 * (8 if case == "data type" else 2 if "int16" in str(mine) else 4))  # fmt: skip


def test_why_at_a_boundary_and_of_other_units(tmp_path: Path) -> None:
    target, slice_ = (
        stored(tmp_path / "cube", 0, {"chunks": [2, 4]}, steps=3),
        stored(tmp_path / "slice", 3, {}, steps=2),
    )
    why = {each["path"]: each["why"] for each in zapz.plan(target, slice_).summary()["variables"]}
    assert why["v"] == ["the boundary chunk is partly filled (2 steps per chunk)"]
    other = {"time": {"encoding": {"units": "minutes since 2024-01-01", "dtype": "int64"}}}
    zapz.append(tmp_path / "minutes", series(3), variables=other)
    why = {each["path"]: each["why"] for each in zapz.plan(target, tmp_path / "minutes").summary()["variables"]}
    assert why["time"][0] == "units 'minutes since 2024-01-01' in the slice, 'hours since 2024-01-01' in the target"
    bare = {"time": series(3)["time"]}
    filled = {each["path"]: each for each in zapz.plan(target, bare, on_missing="fill").summary()["variables"]}
    assert filled["v"]["why"] == ["the slice lacks it: filled with missing values"]


def test_verbose_says_more(tmp_path: Path) -> None:
    target, paths = tmp_path / "cube.zarr", days(tmp_path, 3)
    out = run("append", target, paths[0], "-v", "--workers", "2", "--slice-option", "key=secret")[1]
    lines = re.sub(r"\d\.\d\d", "N", out).splitlines()
    assert lines[0] == "settings: slice_storage_options (key), workers = 2"
    assert [line.replace(str(tmp_path), "") for line in lines[1:7]] == [
        "created /cube.zarr",
        "/day0.zarr: appended 1 step: 14 chunks copied, 1 encoded, 50.1 kB",
        "  lat: 2 chunks copied",
        "  lon: 4 chunks copied",
        "  sst: 8 chunks copied",
        (
            "  time: 1 chunk encoded: units 'days since 2024-06-01' in the slice, 'seconds since 2024-06-01' in the target; "
            "chunks of 1 in the slice, 1024 in the target"
        ),
    ]
    assert lines[7] == "  took: opening N s, checking N s, preparing N s, copying N s (reading N, encoding N, writing N in all threads), syncing N s, committing N s"  # fmt: skip
    assert len(lines) == 10
    assert "settings" not in run("append", target, paths[1], "-v")[1]
    assert len(run("append", target, paths[2])[1].splitlines()) == 2


def test_a_dry_run_speaks_plainly(tmp_path: Path) -> None:
    """Nothing is said to be encoded where nothing is; what only the data can tell is said so; no class is named."""
    target, slice_ = stored(tmp_path / "cube.zarr", 0, {}), stored(tmp_path / "slice.zarr", 2, {})
    out = run("append", "--dry-run", target, slice_)[1]
    assert out.splitlines()[2:6] == [
        "slice       label                                       v, time",
        "slice.zarr  2024-01-01T02:00:00 to 2024-01-01T03:00:00  ■",
        "",
        "■ copied byte for byte",
    ]
    size = sum((slice_ / name).stat().st_size for name in ("v/c/0/0", "time/c/0"))
    assert f"2 chunks copied · 0 re-encoded · {size} B to copy · at most 32 B of memory per worker" in out.splitlines()
    assert "re-encoded:" not in out
    packed = {"dtype": "int16", "scale_factor": 0.5, "fill_value": -1}
    zapz.append(tmp_path / "packed.zarr", series(0), variables={"v": {"encoding": packed}})
    out = run("append", "--dry-run", tmp_path / "packed.zarr", slice_)[1]
    assert "v: converted; whether each value fits is checked when the data are read" in out.splitlines()
    assert "  v: float32 in the slice, int16 in the target" in out.splitlines()
    assert "to encode" in out
    shown = {"dim": "time", "checks": [{"check": "NoMarkerAsValue", "path": "v"}, {"check": "StaticEqual", "path": "lat"}, {"check": "InPackedRange", "path": "time"}]}  # fmt: skip
    assert plan_words.checks(shown, "equal to the target's within 0.01") == [
        "v: values are compared with the target's missing value when the data are read",
        "lat: equal to the target's within 0.01",
    ]
    assert run("append", "--dry-run", target, slice_, "-v")[1].splitlines()[-2].startswith("  time, v: 1 chunk copied")
    assert not re.search(r"[A-Z][a-z]+[A-Z]", out.replace(str(tmp_path), ""))


def test_times_add_up(tmp_path: Path) -> None:
    """Of each slice by itself; nothing is taken where nobody asks, and arrays in memory and services are timed alike."""
    for target in (tmp_path / "cube.zarr", f"memory://{tmp_path.name}/cube.zarr"):
        report = zapz.append(target, (day(n) for n in range(3)), explain=True, prefetch=1)
        for each in report.slices:
            assert each.times is not None
            whole = {name: seconds for name, seconds in each.times.items() if name not in {"reading", "encoding", "writing", "opening"}}  # fmt: skip
            assert sum(whole.values()) <= each.seconds
            assert {"opening", "checking", "preparing", "copying", "reading", "encoding", "writing", "committing"} <= set(each.times)  # fmt: skip
            assert each.times["writing"] > 0
            assert json.dumps(each.plan)
        assert zapz.append(target, day(1), explain=True).slices[0].times is None
        assert zapz.append(target, day(7)).slices[0].plan is None


def test_settings_that_are_shown_hold_no_secret() -> None:
    config = make(
        {
            "target_dir": "s3://me:secret@bucket/cube.zarr?key=secret",
            "target_storage_options": {"key": "secret"},
            "slice_source": "a:b",
            "slice_source_kwargs": {"token": "secret"},
            "extra": {"password": "secret"},
            "serve": {"datasets": {"a": {"place": "a", "storage_options": {"key": "secret"}}}},
            "durability": "process",
            "verify": True,
            "append_dim": "time",
            "excluded_variables": ["a", "b"],
            "attrs": {"title": "x" * 80},
            "fixed_dims": {"x": 4},
        }
    )
    assert details.settings_in_use(config) == (
        'target_dir = "cube.zarr", target_storage_options (key), fixed_dims = {x = 4}, excluded_variables = ["a", "b"], attrs (title), '
        'slice_source = "a:b", slice_source_kwargs (token), extra (password), verify = true, durability = "process", serve (datasets)'
    )
    assert details.settings_in_use(make({})) == ""
