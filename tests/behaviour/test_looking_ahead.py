"""All slices of a call are looked at before the first is written; a target that was forgotten is noticed; creating can be asked for."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
from kit import cubes
from kit.cubes import quiet
from typer.testing import CliRunner, Result

import zapz
from zapz.checks import reading
from zapz.cli.app import app
from zapz.operations.look_ahead import LookAhead
from zapz.operations.target_state import TargetReader
from zapz.testing import ObjectService


def _day(n: float, **changes: Any) -> xr.Dataset:
    time = np.datetime64("2024-12-31", "ns") + np.timedelta64(int(n * 24), "h")
    return xr.Dataset(
        {"v": (("time", "x"), np.full((1, 3), float(n)))}, {"time": [time], "x": [0.0, 1.0, 2.0], **changes}
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def one(n: float, name: str = "", **changes: Any) -> Path:
        path = tmp_path / "in" / (name or f"day{n:g}.zarr")
        with quiet():
            _day(n, **changes).to_zarr(path, mode="w")
        return path

    return one


def run(*words: Any) -> Result:
    return CliRunner().invoke(app, ["append", *map(str, words)])


def steps(target: Path) -> list[float]:
    return [float(v) for v in cubes.read(target)["v"][:, 0]]


# -- order --------------------------------------------------------------------------------------------------------------


def test_the_shells_order_is_refused_as_a_whole_and_can_be_sorted(write: Callable[..., Path], tmp_path: Path) -> None:
    paths = sorted(map(str, (write(n) for n in (1, 2, 10))))
    assert [Path(p).name for p in paths] == ["day1.zarr", "day10.zarr", "day2.zarr"]
    done = run(tmp_path / "c.zarr", *paths)
    assert done.exit_code == 3
    assert "day10.zarr" in done.stderr
    assert "day2.zarr" in done.stderr
    assert "--sort" in done.stderr
    assert not (tmp_path / "c.zarr").exists()
    assert run(tmp_path / "c.zarr", *paths, "--sort").exit_code == 0
    assert steps(tmp_path / "c.zarr") == [1, 2, 10]


def test_a_target_that_falls_is_sorted_downwards(write: Callable[..., Path], tmp_path: Path) -> None:
    zapz.append(tmp_path / "c", [write(n) for n in (9, 8)], label_order="decreasing")
    zapz.append(tmp_path / "c", [write(n) for n in (5, 7, 6)], slice_order="labels")
    assert steps(tmp_path / "c") == [9, 8, 7, 6, 5]


@pytest.mark.parametrize("settings", [{"slice_order": "labels"}, {"slice_polling": {"timeout": 1}}])
def test_a_mixture_that_is_seen_without_the_lock_is_looked_at_again(
    settings: dict[str, Any], write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sorting, or looking before slices are waited for; a dry run takes no lock, and refuses it."""
    zapz.append(tmp_path / "c", write(0))
    look, mixtures = TargetReader.look, 0

    def torn(reader: TargetReader, *session: Any) -> Any:
        nonlocal mixtures
        if not session and mixtures == 0:
            mixtures += 1
            raise zapz.MetadataError("a mixture")
        return look(reader, *session)

    monkeypatch.setattr(TargetReader, "look", torn)
    paths = [write(n) for n in (1, 2)]
    if "slice_order" in settings:
        with pytest.raises(zapz.MetadataError, match="a mixture"):
            zapz.append(tmp_path / "c", paths, **settings, dry_run=True)
        mixtures = 0
    zapz.append(tmp_path / "c", paths, **settings)
    assert mixtures == 1
    assert steps(tmp_path / "c") == [0, 1, 2]


def test_only_what_is_known_is_sorted(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(zapz.ConfigError, match="only if all are known in advance"):
        zapz.append(tmp_path / "c", (write(n) for n in (2, 1)), slice_order="labels")
    no_labels = [write(n, f"n{n}") for n in (2, 1)]
    for path in no_labels:
        with quiet():
            xr.open_zarr(path).load().drop_vars("time").to_zarr(path, mode="w")
    with pytest.raises(zapz.LabelError, match="no label to sort by"):
        zapz.append(tmp_path / "c", no_labels, slice_order="labels")


def test_slices_that_are_there_do_not_disturb_the_order(write: Callable[..., Path], tmp_path: Path) -> None:
    """The nightly run gives all files again; one that is given twice counts as there."""
    paths = [write(n) for n in (1, 2, 3)]
    zapz.append(tmp_path / "c", paths[:2])
    report = zapz.append(tmp_path / "c", [*paths, paths[2], paths[0]])
    assert [r.outcome for r in report.slices] == ["already", "already", "appended", "already", "already"]
    assert steps(tmp_path / "c") == [1, 2, 3]


# -- whatever metadata tell ---------------------------------------------------------------------------------------------


def _nothing(path: Path) -> None:
    shutil.rmtree(path)


def _no_zarr(path: Path) -> None:
    shutil.rmtree(path)
    path.mkdir()
    (path / "readme.txt").write_text("x")


def _other_shape(path: Path) -> None:
    with quiet():
        xr.open_zarr(path).load().isel(x=[0, 1]).to_zarr(path, mode="w")


def _overlaps(path: Path) -> None:
    with quiet():
        _day(1.5).to_zarr(path, mode="w")


@pytest.mark.parametrize("spoil", [_nothing, _no_zarr, _other_shape, _overlaps])
@pytest.mark.parametrize("exists", [True, False])
def test_nothing_is_written_if_a_later_slice_does_not_fit(
    spoil: Callable[[Path], None], exists: bool, write: Callable[..., Path], tmp_path: Path
) -> None:
    paths = [write(n) for n in (1, 2, 3)]
    target = tmp_path / "c"
    if exists:
        zapz.append(target, write(0))
    before = cubes.files(target) if exists else None
    spoil(paths[2])
    with pytest.raises(zapz.ZapzError) as caught:
        zapz.append(target, paths)
    assert "day3.zarr" in str(caught.value)
    assert target.exists() == exists
    if exists:
        assert cubes.files(target) == before


def test_a_slice_that_is_waited_for_may_be_missing(write: Callable[..., Path], tmp_path: Path) -> None:
    """It is checked when it comes; those that are there are checked before."""
    paths = [write(1), write(2)]
    late = tmp_path / "in" / "day3.zarr"
    source = write(3, "hidden.zarr")
    with pytest.raises(zapz.NotFoundError):
        zapz.append(tmp_path / "c", [*paths, late], slice_polling={"timeout": 0.1, "interval": 0.05})
    assert steps(tmp_path / "c") == [1, 2]

    def arrives(_: Any) -> None:
        if not late.exists():
            source.rename(late)

    zapz.append(tmp_path / "d", [*paths, late], slice_polling={"timeout": 30, "interval": 0.05}, on_slice=arrives)
    assert steps(tmp_path / "d") == [1, 2, 3]
    _overlaps(late)
    with pytest.raises(zapz.LabelError):
        zapz.append(tmp_path / "e", [*paths, late], slice_polling={"timeout": 0.1})
    assert not (tmp_path / "e").exists()


def test_what_a_generator_gives_is_checked_as_it_comes(write: Callable[..., Path], tmp_path: Path) -> None:
    def produce() -> Iterator[Path]:
        yield write(1)
        yield write(0)

    with pytest.raises(zapz.LabelError):
        zapz.append(tmp_path / "c", produce())
    assert steps(tmp_path / "c") == [1]


# -- changed since ------------------------------------------------------------------------------------------------------


HOURS = {"time": {"units": "hours since 2024-12-01", "dtype": "i8"}}
"""With these, other labels have the same documents."""


@pytest.mark.parametrize("remembers", [True, False])
@pytest.mark.parametrize("what", ["metadata", "labels"])
def test_a_slice_that_changes_meanwhile_is_refused(
    what: str, remembers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether its metadata were remembered or are read again."""
    if not remembers:
        monkeypatch.setattr("zapz.operations.look_ahead._KEPT_BYTES", 0)
    paths = [tmp_path / f"day{n}.zarr" for n in (1, 2)]
    with quiet():
        for n, path in enumerate(paths, 1):
            _day(n).to_zarr(path, encoding=HOURS)

    def changes(report: zapz.SliceReport) -> None:
        if report.slice.endswith("day1.zarr"):
            changed = _day(2.25) if what == "labels" else _day(2, more=1.0)
            with quiet():
                changed.to_zarr(paths[1], mode="w", encoding=HOURS)

    with pytest.raises(zapz.SliceError, match=f"the slice's {what} changed since"):
        zapz.append(tmp_path / "c", paths, on_slice=changes)
    assert steps(tmp_path / "c") == [1]


@pytest.mark.parametrize("remembers", [True, False])
def test_a_target_that_another_writer_makes_meanwhile_changes_no_labels_of_slices(
    remembers: bool, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its units and data type of labels are others than those that were foreseen."""
    if not remembers:
        monkeypatch.setattr("zapz.operations.look_ahead._KEPT_BYTES", 0)
    paths, target = [write(n) for n in (1, 2, 3)], tmp_path / "c"
    other = tmp_path / "other.zarr"
    with quiet():
        _day(0).to_zarr(other, encoding={"time": {"units": "hours since 2000-01-01", "dtype": "f8"}})

    def in_the_targets_terms(*args: Any) -> Any:
        found = reading.read_labels(*args)
        assert all(each.new.encoding is args[2].conversions[each.path].target for each in found)
        return found

    monkeypatch.setattr("zapz.operations.plan_slice.read_labels", in_the_targets_terms)

    def other_writer(now: zapz.Progress) -> None:
        if now.phase == "opening" and not target.exists():
            zapz.append(target, other, label_units="keep")

    zapz.append(target, paths, slice_polling={"timeout": 10}, on_phase=other_writer, prefetch=0)
    assert steps(target) == [0, 1, 2, 3]
    assert xr.open_zarr(target, decode_times=False)["time"].dtype == "f8"


def test_looking_ahead_can_be_cancelled(write: Callable[..., Path], tmp_path: Path) -> None:
    """Before the missing slice is looked for."""
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(zapz.CancelledError, match="Nothing was written"):
        zapz.append(tmp_path / "c", [write(1), write(2), tmp_path / "none.zarr"], cancel=cancel)
    assert not (tmp_path / "c").exists()


def test_slices_of_a_service_are_looked_at_in_parallel_and_at_most_eight_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = fsspec.filesystem("memory")
    paths = []
    for n in range(1, 21):
        paths.append(f"memory://look-{tmp_path.name}/day{n}.zarr")
        with quiet():
            _day(n).to_zarr(paths[-1])
    opened, most, guard = [0], [0], threading.Lock()
    real = LookAhead._open

    def slow(self: LookAhead, item: Any) -> Any:
        with guard:
            opened[0] += 1
            most[0] = max(most[0], opened[0])
        time.sleep(0.01)
        try:
            return real(self, item)
        finally:
            with guard:
                opened[0] -= 1

    monkeypatch.setattr(LookAhead, "_open", slow)
    try:
        assert zapz.append(tmp_path / "c", paths).length == 20
        assert 1 < most[0] <= 8
        with pytest.raises(zapz.LabelError, match="order"):
            zapz.append(tmp_path / "d", [*paths[:18], paths[19], paths[18]])
        assert not (tmp_path / "d").exists()
    finally:
        memory.rm(f"/look-{tmp_path.name}", recursive=True)


# -- a target that was forgotten ----------------------------------------------------------------------------------------


def test_the_first_input_is_not_extended(write: Callable[..., Path], tmp_path: Path) -> None:
    paths = [write(n, f"2025-01-0{n}.zarr") for n in (1, 2, 3)]
    before = cubes.files(paths[0])
    done = run(*paths)
    assert done.exit_code == 2
    assert f"zapz append CUBE {paths[0]} {paths[1]} {paths[2]}" in done.stderr
    assert cubes.files(paths[0]) == before
    assert run("-t", paths[0], *paths[1:]).exit_code == 0, "for those who mean it"
    assert run(*paths).exit_code == 0, "a cube that has grown is longer"
    assert steps(paths[0]) == [1, 2, 3]


def test_a_month_is_not_extended_by_the_next_one(tmp_path: Path) -> None:
    """Although they differ in length; a cube of two months is longer than a month."""
    paths = []
    for month, days in ((1, 31), (2, 28), (3, 31), (4, 30)):
        paths.append(tmp_path / f"2025-0{month}.zarr")
        time = np.datetime64(f"2025-0{month}-01", "ns") + np.arange(days) * np.timedelta64(1, "D")
        with quiet():
            xr.Dataset({"v": ("time", np.ones(days))}, {"time": time}).to_zarr(paths[-1])
    for given in (paths[:3], paths[1:3]):
        done = run(*given)
        assert done.exit_code == 2, done.output
        assert f"zapz append CUBE {' '.join(map(str, given))}`" in done.stderr
        assert f"`zapz append -t {' '.join(map(str, given))}`" in done.stderr
    assert run("-t", *paths[:2]).exit_code == 0
    assert run(*paths[:1], *paths[2:]).exit_code == 0, "a cube that has grown is longer"
    assert zapz.info(paths[0]).dims["time"] == 120


@pytest.mark.parametrize("spelled", ["relative", "uri", "from within"])
def test_a_place_may_be_spelled_in_several_ways(
    spelled: str, write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = write(1), write(2)
    monkeypatch.chdir(first.parent if spelled == "from within" else tmp_path)
    other = {"relative": "./in/day1.zarr", "uri": f"file://{first}", "from within": "../in/day1.zarr"}[spelled]
    assert run(other, second.name if spelled == "from within" else second).exit_code == 2
    assert steps(first) == [1]


def test_a_cube_that_is_given_last(write: Callable[..., Path], tmp_path: Path) -> None:
    """Its labels are older: the question comes before what would write the cube into the day."""
    cube = tmp_path / "cube.zarr"
    zapz.append(cube, [write(1), write(2)])
    done = run(write(5), cube)
    assert done.exit_code == 3
    assert done.stderr.rstrip().endswith(
        f"Is {cube} the target? It comes first: `zapz append {cube} {tmp_path}/in/day5.zarr`."
    )
    assert run(cube, write(5)).exit_code == 0
    late = run(cube, write(4))
    assert late.exit_code == 3
    assert "the target?" not in late.stderr


def test_a_pattern_is_no_target(write: Callable[..., Path], tmp_path: Path) -> None:
    """But a target that is there may have such a name."""
    for flags in ([], ["-t"]):
        done = run(*flags, tmp_path / "cube[0-9]*.zarr", write(1))
        assert (done.exit_code, "matched nothing" in done.stderr) == (2, True)
    assert not list(tmp_path.glob("cube*"))
    zapz.append(tmp_path / "cube[0-9]*.zarr", write(1))
    assert run(tmp_path / "cube[0-9]*.zarr", write(2)).exit_code == 0


def test_a_file_is_no_target(tmp_path: Path) -> None:
    """What it is good for is said; the way of slices alone would lead nowhere."""
    for name in ("1.nc", "2.nc"):
        (tmp_path / name).write_bytes(b"CDF\x01" + bytes(28))
    done = run(tmp_path / "1.nc", tmp_path / "2.nc")
    assert done.exit_code == 4
    assert "The target must be a Zarr dataset and comes first, before the slices" in done.stderr
    assert "This file can be a slice, with `--set slice_source=xarray:open_dataset`" in done.stderr


def test_the_target_last(write: Callable[..., Path], tmp_path: Path) -> None:
    """As with cp: the message shows the command line with the target first, which works as it stands."""
    paths = [write(n) for n in (1, 2)]
    new = tmp_path / "new.zarr"
    done = run(*paths, new)
    assert done.exit_code == 2
    assert f"`zapz append {new} {paths[0]} {paths[1]}`" in done.stderr
    assert steps(paths[0]) == [1]
    assert run(new, *paths).exit_code == 0
    assert steps(new) == [1, 2]


def test_a_missing_last_slice_asks_whether_it_is_the_target(write: Callable[..., Path], tmp_path: Path) -> None:
    done = run(write(1, "a.zarr"), write(2, "other.zarr"), tmp_path / "new.zarr")
    assert done.exit_code == 6
    assert "new.zarr the target? It comes first" in done.stderr
    for words in (["a*.zarr"], ["--wait", "0", tmp_path / "new.zarr"]):  # a pattern; a slice that is to come
        assert "the target?" not in run(tmp_path / "in" / "a.zarr", *words).stderr


@pytest.mark.parametrize("other", ["cube.zarr", "../2025-01-00.zarr"])
def test_cubes_of_another_name_or_folder_are_no_slices(other: str, write: Callable[..., Path], tmp_path: Path) -> None:
    target = tmp_path / "in" / other
    zapz.append(target, write(1, "2025-01-01.zarr"))
    assert run(target, write(2, "2025-01-02.zarr")).exit_code == 0


# -- creating -----------------------------------------------------------------------------------------------------------


def test_existing(write: Callable[..., Path], tmp_path: Path) -> None:
    done = run("--existing", tmp_path / "c.zar", write(1))
    assert done.exit_code == 6
    assert "let `--set create=auto` (without --new or --existing) create the target" in done.stderr
    assert not (tmp_path / "c.zar").exists()
    assert run("--set", "create=auto", tmp_path / "c.zar", write(1)).exit_code == 0
    assert run("--existing", tmp_path / "c.zar", write(2)).exit_code == 0


def test_new(write: Callable[..., Path], tmp_path: Path) -> None:
    paths = [write(1), write(2)]
    assert run("--new", tmp_path / "c", *paths).exit_code == 0
    done = run("--new", tmp_path / "c", *paths)
    assert done.exit_code == 3
    assert "an earlier run of this command created it, run it with `--set create=auto` (without --new or" in done.stderr
    flags = ["--set", "create=auto"]
    assert run(tmp_path / "c", *paths, *flags).exit_code == 0
    assert steps(tmp_path / "c") == [1, 2]


@pytest.mark.parametrize("waits", [True, False])
def test_new_with_turns_of_its_own_for_each_slice(waits: bool, write: Callable[..., Path], tmp_path: Path) -> None:
    polling = {"slice_polling": {"timeout": 1}} if waits else {}
    zapz.append(tmp_path / "c", [write(1), write(2)], create="always", **polling)
    assert steps(tmp_path / "c") == [1, 2]
    with pytest.raises(zapz.SliceError, match="the target already exists"):
        zapz.append(tmp_path / "c", [write(3), write(4)], create="always", **polling)


def test_contradictions(write: Callable[..., Path], tmp_path: Path) -> None:
    assert run("--new", "--existing", tmp_path / "c", write(1)).exit_code == 2
    with pytest.raises(zapz.ConfigError):
        zapz.append(tmp_path / "c", write(1), create="never", force_new=True)


def test_on_a_service(write: Callable[..., Path]) -> None:
    """Nothing but lock and journal is written there before all slices have been looked at."""
    service = ObjectService()
    paths = [write(n) for n in (1, 2)]
    with pytest.raises(zapz.NotFoundError, match="no such target"):
        zapz.append(service.store("bucket/c"), paths, create="never")
    with pytest.raises(zapz.LabelError, match="order"):
        zapz.append(service.store("bucket/c"), paths[::-1])
    assert not [path for path in service.objects if ".zapz" not in path]
    assert zapz.append(service.store("bucket/c"), paths, create="always").length == 2
    with pytest.raises(zapz.SliceError, match="the target already exists"):
        zapz.append(service.store("bucket/c"), paths, create="always")
