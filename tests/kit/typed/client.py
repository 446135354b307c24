# pyright: strict
"""A program that embeds zapz: never run, but checked without `Any` by the type checkers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, Unpack, assert_type

import zapz

cancel = threading.Event()
packed: zapz.EncodingDict = {"dtype": "int16", "scale_factor": 0.01, "_FillValue": -1, "chunks": (1, "whole", 90)}
nightly: zapz.SettingsDict = {"append_dim": "time", "on_existing": "skip", "slice_polling": {"timeout": 60}}
label: zapz.AppendLabelDict = {"from": r"name:_(\d{8})_", "format": "%Y%m%d"}


def one_day(day: int, scale: float = 1.0) -> zapz.SliceLike:
    return {"time": ("time", [day]), "sst": (("time", "lat"), [[scale, 2.0]], {"units": "K"})}


def days() -> Iterator[zapz.SliceLike]:
    yield one_day(1)
    yield Path("day2.zarr")


def watch(report: zapz.SliceReport) -> None:
    assert_type(report.outcome, Literal["appended", "already", "skipped", "empty", "planned"])
    assert_type(report.times, Mapping[str, float] | None)
    if report.plan is not None:
        assert_type(report.plan["copied_chunks"], int)
        assert_type(report.plan["variables"][0]["why"], list[str])


def told(progress: zapz.Progress) -> str:
    return f"{progress.phase} {progress.slice}: {progress.chunks} of {progress.total}"


def carefully(target: zapz.TargetLike, slices: zapz.SlicesLike, **settings: Unpack[zapz.SettingsDict]) -> zapz.Report:
    """Append, and say what an error says."""
    try:
        return zapz.append(target, slices, on_slice=watch, on_phase=told, cancel=cancel, **settings)  # type: ignore[misc]  # a slice source takes any arguments
    except zapz.LockedError as error:
        assert_type(error.exit_code, int)
        raise SystemExit(error.hint) from error
    except zapz.ZapzError as error:
        assert_type(error.report, zapz.Report | None)
        appended = 0 if error.report is None else error.report.appended
        raise SystemExit(f"{error.code} after {appended}: {error.what}, {error.where}") from error


report = carefully("cube.zarr", days(), **nightly)  # type: ignore[misc]  # the same
report = carefully("s3://bucket/cube", one_day(1), variables={"sst": {"encoding": packed}}, target_storage_options={})
report = zapz.append(Path("cube.zarr"), [Path("a.zarr"), "b.zarr"], ["zapz.toml", {"workers": 2}], append_label=label)
report = zapz.append("cube.zarr", one_day(1), encoding={"sst": {"dtype": "int16"}}, static=0.01, zarr_format=3)
report = zapz.append("cube.zarr", [([1], {"scale": 2.0})], slice_source=one_day, workers=None, memory_limit="1GB")
report = zapz.append_map("cube.zarr", one_day, range(3), [1.0, 2.0, 3.0], prefetch=1, on_slice=watch, explain=True)
report = zapz.append_map("cube.zarr", "my_slices:open_slice", ["a", "b"], config="zapz.toml")
assert_type(report.slices, tuple[zapz.SliceReport, ...])
assert_type(report.recovered, zapz.Recovery)
assert_type(report.length, int)

plan = zapz.plan("cube.zarr", one_day(2), label_order="any")
assert_type(plan.after.arrays["sst"].shape, tuple[int, ...])
assert_type(plan.before.sizes, dict[str, int])
assert_type(plan.documents, Mapping[str, bytes])
assert_type(plan.summary()["bytes"], int)
assert_type(zapz.execute(zapz.Plan.from_json(plan.to_json()), slice=one_day(2), lock_wait=60), zapz.Report)
for step in plan.steps():
    print(step.path, step.index, plan.after.arrays[step.path].attributes.get("units"))

info = zapz.info("cube.zarr")
assert_type(info.labels, Mapping[str, tuple[str, str]])
assert_type(info.variables[0].chunks, tuple[int, ...])
if info.lock is not None:
    assert_type(info.lock.process, int)
assert_type(info.steps["time"].first[0].missing, int)

checked = zapz.check("cube.zarr", chunks=True, on_progress=print)
assert_type([finding.code for finding in checked.findings], list[str])
if checked.chunks is not None:
    assert_type(checked.chunks.damaged, int)
assert_type(zapz.recover("cube.zarr").appends[0].outcome == "finished", bool)
assert_type(zapz.vacuum("cube.zarr").removed, int)
assert_type(zapz.unlock("cube.zarr"), bool)
