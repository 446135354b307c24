"""A slice that comes again counts as appended only if it equals what is there: what is compared, what that costs, what is said."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cubes import make_slice, quiet, read, write_array, write_group
from kit.trees import tree

import zapz
from zapz.checks import comparing
from zapz.checks.comparing import _Pair, _spread
from zapz.format.grid import unravel
from zapz.reports import Compared
from zapz.storage.objects.backends import MemoryBackend

CHUNKS = 40
ROOM: dict[str, Any] = {"label_chunk": "keep", "label_units": "keep", "durability": "process"}


def _day(path: Path, label: int, *, change: dict[int, int] | None = None, **options: Any) -> Path:
    """Write a slice of one step with 40 chunks of 10 random cells, some of them changed: the same length, other bytes."""
    zarr_format = options.pop("zarr_format", 3)
    cells = np.random.default_rng(label).integers(0, 1 << 30, (1, 10 * CHUNKS), "i4")
    for cell, value in (change or {}).items():
        cells[0, cell] = value
    write_group(path, zarr_format=zarr_format)
    write_array(
        path,
        "time",
        np.array([label]),
        dims=["time"],
        zarr_format=zarr_format,
        attrs={"units": "days since 2024-01-01"},
    )
    options = {"chunks": (1, 10), **options}
    write_array(path, "v", cells, dims=["time", "x"], zarr_format=zarr_format, **options)
    return path


def _again(path: Path, label: int, **options: Any) -> Path:
    for file in sorted(path.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    return _day(path, label, **options)


FORMS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2},
    "v3": {},
    "sharded": {"chunks": (1, 10), "shards": (1, 100)},
    "compressed": {"compressors": zarr.codecs.ZstdCodec(level=3)},
}


@pytest.mark.parametrize("cell", [0, 155, 399])
@pytest.mark.parametrize("form", FORMS)
def test_a_difference_anywhere_is_found_and_named(tmp_path: Path, form: str, cell: int) -> None:
    day = _day(tmp_path / "day", 1, **FORMS[form])
    zapz.append(tmp_path / "t", [_day(tmp_path / "first", 0, **FORMS[form]), day], **ROOM)
    before, was = tree(tmp_path / "t"), int(read(day)["v"][0, cell])
    _again(day, 1, change={cell: 7}, **FORMS[form])
    with pytest.raises(zapz.LabelError, match=rf"v: expected {was} at time 1, x {cell}, as in the target, found 7\b"):
        zapz.append(tmp_path / "t", day)
    assert tree(tmp_path / "t") == before


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("settings", [{}, {"verify": True}, {"resume_budget": 0}], ids=str)
def test_an_equal_slice_is_there_already(tmp_path: Path, settings: dict[str, Any], form: str) -> None:
    days = [_day(tmp_path / f"{i}", i, **FORMS[form]) for i in range(3)]
    zapz.append(tmp_path / "t", days, **ROOM)
    report = zapz.append(tmp_path / "t", days, **settings)
    assert report.already == 3
    for slice_ in report.slices:
        found = slice_.compared
        assert found is not None
        whole = 4 if form == "sharded" else CHUNKS
        assert (found.chunks, found.lengths) == (whole + 1, whole + 1)
        assert found.contents == (min(3, whole + 1) if "resume_budget" in settings else whole + 1)


def test_an_equal_slice_that_is_stored_otherwise_is_there_already(tmp_path: Path) -> None:
    """Other lengths and bytes are no other values: the target's chunks were compressed anew."""
    level = {"compressors": zarr.codecs.ZstdCodec(level=1)}
    zapz.append(tmp_path / "t", _day(tmp_path / "0", 0, compressors=zarr.codecs.ZstdCodec(level=19)), **ROOM)
    day = _day(tmp_path / "1", 1, **level)
    zapz.append(tmp_path / "t", day, recompress=True, **ROOM)
    with quiet():  # and by another program, to other bytes
        array = zarr.open_array(tmp_path / "t/v", mode="r+")
        array[1] = array[1]
    assert zapz.append(tmp_path / "t", day, resume_budget=0).already == 1


def test_a_chunk_of_another_length_is_looked_at_whatever_the_budget(tmp_path: Path) -> None:
    zstd = {"compressors": zarr.codecs.ZstdCodec(level=3)}
    day = _day(tmp_path / "1", 1, **zstd)
    zapz.append(tmp_path / "t", [_day(tmp_path / "0", 0, **zstd), day], **ROOM)
    _again(day, 1, change=dict.fromkeys(range(170, 180), 0), **zstd)
    with pytest.raises(zapz.LabelError, match="x 170"):
        zapz.append(tmp_path / "t", day, resume_budget=0)


def test_what_the_budget_does_not_reach_is_not_said_to_be_compared(tmp_path: Path) -> None:
    day = _day(tmp_path / "1", 1)
    zapz.append(tmp_path / "t", [_day(tmp_path / "0", 0), day], **ROOM)
    _again(day, 1, change={155: 7})
    report = zapz.append(tmp_path / "t", day, resume_budget=100)
    assert report.already == 1
    compared = report.slices[0].compared
    assert compared is not None
    assert compared.contents < compared.chunks
    with pytest.raises(zapz.LabelError, match="x 155"):
        zapz.append(tmp_path / "t", day, resume_budget=100, verify=True)


@pytest.mark.parametrize("number", [1, 4])
def test_the_budget_is_spread_over_slices_and_chunks(tmp_path: Path, number: int) -> None:
    days = [_day(tmp_path / f"{i}", i) for i in range(number)]
    zapz.append(tmp_path / "t", days, **ROOM)
    budget = 40 * 20 * number  # half of the bytes
    report = zapz.append(tmp_path / "t", days, resume_budget=budget)
    parts = [slice_.compared for slice_ in report.slices]
    assert all(part is not None and 15 <= part.contents <= 23 for part in parts), parts
    assert sum(part.bytes for part in parts if part) <= budget + number * 3 * 40


def test_the_budget_of_slices_of_unknown_number(tmp_path: Path) -> None:
    days = [_day(tmp_path / f"{i}", i) for i in range(6)]
    zapz.append(tmp_path / "t", days, **ROOM)
    report = zapz.append(tmp_path / "t", iter(days), resume_budget=8000)
    parts = [slice_.compared.contents for slice_ in report.slices if slice_.compared]
    assert parts == sorted(parts, reverse=True)
    assert 3 <= parts[-1] < parts[0] < CHUNKS


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("where", ["in memory", "other chunks", "packed", "converted times", "boundary"])
def test_what_is_not_stored_alike_is_compared_by_its_cells(tmp_path: Path, where: str, zarr_format: int) -> None:
    base = xr.Dataset(
        {"v": (("time", "x"), np.arange(24.0).reshape(2, 12)), "name": (("time",), np.array(["a", "b"], object))},
        {"time": np.array(["2024-01-01", "2024-01-02"], "M8[ns]")},
    )
    encoding: dict[str, Any] = {"v": {"chunks": (2, 3)}}
    if where == "packed":
        encoding["v"] |= {"dtype": "i2", "scale_factor": 0.5, "_FillValue": -1}
    if where == "converted times":
        encoding["time"] = {"units": "hours since 2023-12-31", "dtype": "i8"}

    def slice_(days: int, **values: Any) -> Any:
        made = base.assign(**values).assign_coords(time=base.time + np.timedelta64(days, "D"))
        if where == "in memory":
            return made
        with quiet():
            made.to_zarr(tmp_path / "s", zarr_format=zarr_format, mode="w", encoding=encoding if days else None)
        return tmp_path / "s"

    settings: dict[str, Any] = {
        "variables": {"v": {"encoding": {"chunks": {"time": 3 if where == "boundary" else 2, "x": 5}}}}
    }
    zapz.append(tmp_path / "t", slice_(0), **settings)
    zapz.append(tmp_path / "t", slice_(2))
    assert zapz.append(tmp_path / "t", slice_(2)).already == 1
    for name, changed, expected in (
        ("v", base.v.where(base.x != 7 if "x" in base.coords else np.arange(12) != 7, 99.0), r"99.*|.*time 2, x 7"),
        ("name", ("time", np.array(["a", "x"], object)), "time 3"),
    ):
        with pytest.raises(zapz.LabelError, match=rf"{name}: expected .*{expected}"):
            zapz.append(tmp_path / "t", slice_(2, **{name: changed}))


def test_chunks_that_both_lack_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A million chunks that do not exist are no reason to decode, or to open, a million chunks."""
    for label in range(2):
        group = zarr.open_group(tmp_path / f"{label}", mode="w", zarr_format=3)
        group.create_array("time", data=np.array([label]), dimension_names=["time"])
        layout: Any = {"chunks": (1, 1), "fill_value": np.nan, "dimension_names": ["time", "x"]}
        group.create_array("v", shape=(1, 500), dtype="f4", **layout)[0, 7] = 1
    slices = [tmp_path / "0", tmp_path / "1"]
    zapz.append(tmp_path / "t", slices, **ROOM)
    decoded: list[Any] = []
    honest = _Pair._cells
    monkeypatch.setattr(_Pair, "_cells", lambda self, box: (decoded.append(box), honest(self, box))[1])
    monkeypatch.setattr(comparing, "_CONTENTS", 64)
    again = zapz.append(tmp_path / "t", slices, **ROOM).slices
    assert [each.outcome for each in again] == ["already"] * 2
    for each in again:
        assert each.compared is not None
        assert (each.compared.chunks, each.compared.lengths) == (501, 501)
        assert 60 < each.compared.contents < 70
    assert not decoded


def test_missing_chunks_count(tmp_path: Path) -> None:
    day = _day(tmp_path / "1", 1, fill=-1)
    zapz.append(tmp_path / "t", [_day(tmp_path / "0", 0, fill=-1), day], **ROOM)
    (day / "v/c/0/20").unlink()
    with pytest.raises(zapz.LabelError, match="x 200, as in the target, found -1"):
        zapz.append(tmp_path / "t", day, resume_budget=0)


def test_a_dry_run_compares_with_slices_that_are_only_planned(tmp_path: Path) -> None:
    first, second = _day(tmp_path / "0", 0), _day(tmp_path / "1", 1)
    report = zapz.append(tmp_path / "t", [first, second, second], dry_run=True)
    assert [slice_.outcome for slice_ in report.slices] == ["planned", "planned", "already"]
    other = _day(tmp_path / "2", 1, change={222: 5})
    with pytest.raises(zapz.LabelError, match="x 222"):
        zapz.append(tmp_path / "t", [first, second, other], dry_run=True)
    assert not (tmp_path / "t").exists()


# -- services


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    counted: Counter[str] = Counter()

    def counting(name: str) -> None:
        real: Callable[..., Any] = getattr(MemoryBackend, name)

        def method(self: MemoryBackend, path: str, *args: Any) -> Any:
            if "/v/c/" in path:
                counted[name] += 1
            return real(self, path, *args)

        monkeypatch.setattr(MemoryBackend, name, method)

    counting("get")
    counting("look")
    return counted


@pytest.mark.parametrize("number", [1, 5])
def test_services_are_asked_little(tmp_path: Path, requests: Counter[str], number: int) -> None:
    """64 lengths and 64 chunks a call, or as many as first and last chunks are."""
    target = f"memory://{tmp_path.name}/t"
    days = [_day(tmp_path / f"{i}", i, chunks=(1, 2)) for i in range(number)]  # 200 chunks each
    zapz.append(target, days, **ROOM)
    requests.clear()
    report = zapz.append(target, days)
    assert report.already == number
    assert 50 <= requests["look"] <= 64 + 2 * number
    assert 50 <= requests["get"] <= 64 + 2 * number
    requests.clear()
    zapz.append(target, days, verify=True)
    assert requests["get"] >= 200 * number


def test_a_difference_on_a_service_is_found_where_it_is_looked_for(tmp_path: Path) -> None:
    target = f"memory://{tmp_path.name}/t"
    day = _day(tmp_path / "1", 1)
    zapz.append(target, [_day(tmp_path / "0", 0), day], **ROOM)
    fs = fsspec.filesystem("memory")
    key = f"/{tmp_path.name}/t/v/c/1/17"
    fs.pipe_file(key, bytes(len(fs.cat_file(key))))
    with pytest.raises(zapz.LabelError, match="x 170"):
        zapz.append(target, day)


# -- labels in no order


def _stations(path: Path, names: list[str], value: float) -> Path:
    with quiet():
        xr.Dataset({"v": (("station", "z"), np.full((len(names), 3), value))}, {"station": names}).to_zarr(
            path, zarr_format=3
        )
    return path


ANY: dict[str, Any] = {"append_dim": "station", "label_order": "any"}


def _names(path: Path) -> list[str]:
    return [str(name) for name in read(path)["station"]]


@pytest.mark.parametrize("how", ["one call", "two calls", "dry run"])
def test_labels_in_no_order_are_appended_once(tmp_path: Path, how: str) -> None:
    slices = [_stations(tmp_path / f"{i}", names, i) for i, names in enumerate([["B", "C"], ["A"], ["Z", "K", "D"]])]
    if how == "one call":
        report = zapz.append(tmp_path / "t", slices * 2, **ANY)
        assert (report.appended, report.already) == (3, 3)
    elif how == "two calls":
        assert zapz.append(tmp_path / "t", slices, **ANY).appended == 3
        assert zapz.append(tmp_path / "t", slices[::-1], **ANY).already == 3
    else:
        outcomes = [s.outcome for s in zapz.append(tmp_path / "t", slices * 2, dry_run=True, **ANY).slices]
        assert outcomes == ["planned"] * 3 + ["already"] * 3
        return
    assert _names(tmp_path / "t") == ["B", "C", "A", "Z", "K", "D"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["C", "X"], "some labels of the slice are already in the target, but not all"),
        (["X", "B"], "some labels of the slice are already in the target, but not all"),
        (["C", "B"], "in another order"),
        (["B", "A"], "in another order"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_overlaps_of_labels_in_no_order_are_refused(
    tmp_path: Path, names: list[str], words: str, dry_run: bool
) -> None:
    there = [_stations(tmp_path / "0", ["B", "C"], 0), _stations(tmp_path / "1", ["A"], 1)]
    other = _stations(tmp_path / "2", names, 2)
    with pytest.raises(zapz.LabelError, match=words) as caught:
        zapz.append(tmp_path / "t", [*there, other], dry_run=dry_run, **ANY)
    assert any(f"'{name}'" in caught.value.found for name in names)


@pytest.mark.parametrize("give", [list, iter], ids=["inspected", "one by one"])
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_group_that_comes_late_has_its_labels_where_they_are(
    tmp_path: Path, give: Callable[[list[Path]], Any], dry_run: bool
) -> None:
    """Slices that were planned before without this group take up places all the same."""

    def tree(name: str, label: int, *, whole: bool = True) -> Path:
        root = zarr.open_group(tmp_path / name, mode="w", zarr_format=3)
        for group in [root, root.create_group("g")] if whole else [root]:
            group.create_array("time", data=np.array([label]), dimension_names=["time"])
            group.create_array("v", data=np.array([label]), dimension_names=["time"])
        return tmp_path / name

    zapz.append(tmp_path / "t", tree("0", 1))
    slices = [tree("1", 3, whole=False), tree("2", 9)]
    report = zapz.append(
        tmp_path / "t", give([*slices, *slices[::-1]]), label_order="any", on_missing="fill", dry_run=dry_run
    )
    fresh = "planned" if dry_run else "appended"
    assert [each.outcome for each in report.slices] == [fresh, fresh, "already", "already"]


def test_other_values_under_labels_in_no_order(tmp_path: Path) -> None:
    zapz.append(tmp_path / "t", [_stations(tmp_path / "0", ["B", "C"], 0), _stations(tmp_path / "1", ["A"], 1)], **ANY)
    with pytest.raises(zapz.LabelError, match=r"expected 0(\.0)? at station 0, z 0, as in the target, found 5"):
        zapz.append(tmp_path / "t", _stations(tmp_path / "2", ["B", "C"], 5), **ANY)


def test_all_labels_are_read_once_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zapz.storage.chunk_reader import ChunkReader

    slices = [_stations(tmp_path / f"{i}", [f"{i:03}a", f"{i:03}b"], i) for i in range(40)]
    zapz.append(tmp_path / "t", slices[:30], **ANY)
    read_chunks: Counter[str] = Counter()
    real = ChunkReader.raw

    def raw(self: ChunkReader, index: Any) -> bytes | None:
        if self.array.path == "station" and str(tmp_path / "t") in self._where:
            read_chunks["labels"] += 1
        return real(self, index)

    monkeypatch.setattr(ChunkReader, "raw", raw)
    zapz.append(tmp_path / "t", slices[30:], **ANY)
    assert (
        read_chunks["labels"] <= 2 + 2 * 10
    )  # all at once, the last two at the beginning; and the boundary chunk of each slice
    assert len(_names(tmp_path / "t")) == 80


# -- arithmetic


@pytest.mark.parametrize("total", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("several", [2, 3, 7, 2000])
def test_samples_are_spread(total: int, several: int) -> None:
    found = list(_spread(total, several))
    assert found[0] == 0
    assert found[-1] == total - 1
    assert len(found) == len(set(found)) == min(total, several)
    gaps = {b - a for a, b in itertools.pairwise(found)}
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_chunks_are_numbered_in_c_order() -> None:
    spans = ((2, 4), (0, 3), (5, 6))
    assert [unravel(n, spans) for n in range(6)] == [(2, 0, 5), (2, 1, 5), (2, 2, 5), (3, 0, 5), (3, 1, 5), (3, 2, 5)]
    assert unravel(0, ()) == ()


def test_what_was_compared_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zapz.cli.lines import extent

    make_slice(tmp_path / "s", zarr_format=3)
    assert extent(Compared(chunks=10, lengths=10, contents=3, bytes=1200)) == (
        " (compared: all lengths, the content of 3 of 10 chunks, 1.2 kB)"
    )
    assert extent(Compared(chunks=10, contents=10)) == ""
    assert extent(None) == ""
    assert capsys.readouterr().out == ""
