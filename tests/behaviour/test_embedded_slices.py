"""Slices and plans as a program may hand them over: equal ones, sources that lie, plans made for one slice and executed with another."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from kit.cubes import write_array, write_group
from kit.embedding import CHUNKED, OwnError, Slice, day, labels
from kit.slices_kit import days, reading
from kit.trees import tree
from zarr.storage import MemoryStore

import zapz

# -- slices of equal content, slices that lie --------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["memory", "register"])
def test_unlabelled_arrays_of_equal_content_are_slices_of_their_own(place: str, tmp_path: Path) -> None:
    target: Any = MemoryStore() if place == "memory" else tmp_path / "target.zarr"
    for number in range(1, 4):
        frame = {"v": (("time", "y", "x"), np.zeros((1, 4, 6), "f4"))}
        assert zapz.append(target, frame, register=place == "register").length == number


class Plain(zapz.Source):
    """A source of stored chunks."""

    uri = "my source"

    def __init__(self, files: dict[str, bytes | None]) -> None:
        self.files = {key: data for key, data in files.items() if data is not None}
        self.closed = 0

    def documents(self) -> Any:
        return {key: data for key, data in self.files.items() if key.endswith("zarr.json")}

    def read(self, key: str, offset: int = 0, length: int | None = None) -> Any:
        return self.files[key][offset : None if length is None else offset + length]

    def close(self) -> None:
        self.closed += 1


class Regions(zapz.Source):
    """A source of regions of arrays, whose documents are those of a stored slice."""

    def __init__(self, files: dict[str, bytes | None], bend: Callable[[Any], Any] = lambda cells: cells) -> None:
        self._documents = {key: data for key, data in files.items() if key.endswith("zarr.json") and data is not None}
        self._cells = {"v": day(1)["v"][1], "time": np.array([1])}
        self._bend = bend
        self.closed = 0

    def documents(self) -> Any:
        return self._documents

    def cells(self, path: str, box: Any) -> Any:
        cells = self._cells[path][tuple(slice(a, b) for a, b in box)]
        return cells if path == "time" else self._bend(cells)

    def close(self) -> None:
        self.closed += 1


def _raising(kind: type[BaseException]) -> Callable[..., Any]:
    def fail(*_: Any) -> Any:
        raise kind("mine")

    return fail


def _files(home: Path, **settings: Any) -> dict[str, bytes | None]:
    """Return the files of a slice: day 1, whose times are days since day 0."""
    time = ("time", days(1, 1), {}, {"units": "days since 2024-01-01", "dtype": "int64"})
    zapz.append(home / "files.zarr", day(1) | {"time": time}, **settings)
    return tree(home / "files.zarr")


def test_a_source_of_regions_alone_has_no_shards(tmp_path: Path) -> None:
    files = _files(tmp_path, variables={"v": {"encoding": {"chunks": [1, 2, 6], "shards": [1, 4, 6]}}})
    with pytest.raises(zapz.FormatError, match="shards"):
        zapz.append(tmp_path / "target.zarr", Regions(files))
    assert not (tmp_path / "target.zarr").exists()


@pytest.mark.parametrize("chunks", [{}, {"chunks": [1, 2, 6]}], ids=str)
@pytest.mark.parametrize("target", ["new", "equal codecs", "other codecs"])
def test_a_source_of_regions_alone_loses_nothing(target: str, chunks: dict[str, Any], tmp_path: Path) -> None:
    place, files = tmp_path / "target.zarr", _files(tmp_path, variables={"v": {"encoding": chunks}})
    if target != "new":
        other = {"compressor": {"id": "zlib"}} if target == "other codecs" else {}
        zapz.append(place, day(0), variables={"v": {"encoding": chunks | other}})
    zapz.append(place, Regions(files))
    assert labels(place) == ([1] if target == "new" else [0, 1])


@pytest.mark.parametrize("fault", ["gives none", "KeyError"])
@pytest.mark.parametrize("target", ["new", "other codecs"])
def test_a_source_of_regions_alone_has_no_missing_chunks(target: str, fault: str, tmp_path: Path) -> None:
    place = tmp_path / "target.zarr"
    if target != "new":
        zapz.append(place, day(0), variables={"v": {"encoding": {"compressor": {"id": "zlib"}}}})
    before = tree(place)
    with pytest.raises((zapz.ZapzError, KeyError)):
        zapz.append(place, Regions(_files(tmp_path), _raising(KeyError) if fault == "KeyError" else lambda _: None))
    assert tree(place) == before


BENT: dict[str, Callable[[Any], Any]] = {
    "one cell for all": lambda _: np.zeros((1, 1, 1), "f4"),
    "a row for all": lambda cells: cells[:, :1],
    "no dimensions": lambda _: np.float32(3),
    "one dimension more": lambda cells: cells[None],
    "turned": lambda cells: cells.T,
    "more": lambda cells: np.pad(cells, 1),
    "another type": lambda cells: cells.astype("f8"),
    "objects": lambda cells: cells.astype(object),
    "a list": lambda cells: cells.tolist(),
    "a number": lambda _: 3.0,
    "nothing": lambda _: None,
    "masked": lambda cells: np.ma.masked_array(cells, mask=True),
}


@pytest.mark.parametrize("how", BENT)
def test_cells_that_are_not_as_promised_are_refused(how: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    zapz.append(target, day(0), variables={"v": {"encoding": {"compressor": {"id": "zlib"}, "chunks": [1, 2, 6]}}})
    before, source = tree(target), Regions(_files(tmp_path), BENT[how])
    with pytest.raises(zapz.ZapzError):
        zapz.append(target, source)
    assert tree(target) == before
    assert source.closed == 1


LIES: dict[str, tuple[dict[str, Any], type[BaseException]]] = {
    "short chunks": ({"read": lambda s, k, o=0, n=None: Plain.read(s, k, o, n)[:-3]}, zapz.ChunkError),
    "None for a chunk": ({"read": lambda s, k, o=0, n=None: None if k.startswith("v/") else Plain.read(s, k, o, n)}, zapz.ZapzError),
    "text for a chunk": ({"read": lambda *_: "abc"}, zapz.ZapzError),
    "chunks that cannot be read": ({"read": _raising(OwnError)}, OwnError),
    "documents that change": ({"documents": lambda s: {**Plain.documents(s), "zarr.json": s.files["zarr.json"] + b" " * next(s.count)}}, zapz.SliceError),
    "no documents": ({"documents": lambda _: {}}, zapz.FormatError),
    "None for documents": ({"documents": lambda _: None}, zapz.ZapzError),
    "text for documents": ({"documents": lambda s: {k: d.decode() for k, d in Plain.documents(s).items()}}, zapz.ZapzError),
    "documents that lead out": ({"documents": lambda s: {f"../{k}": d for k, d in Plain.documents(s).items()}}, zapz.FormatError),
    "documents that cannot be read": ({"documents": _raising(OwnError)}, OwnError),
    "a number for a name": ({"uri": 5}, zapz.ZapzError),
    "a mistyped wish": ({"encodings": lambda _: {"v": {"chnuks": [1]}}}, zapz.ConfigError),
}  # fmt: skip
"""What a source does instead of what it should, and what is raised."""


@pytest.mark.parametrize("lie", LIES)
def test_a_source_that_lies_is_refused(lie: str, tmp_path: Path) -> None:
    methods, kind = LIES[lie]
    target = tmp_path / "target.zarr"
    if lie != "a mistyped wish":
        zapz.append(target, day(0), **CHUNKED)
    before, source = tree(target), type("Liar", (Plain,), methods)(_files(tmp_path, **CHUNKED))
    source.count = itertools.count()
    with pytest.raises(kind):
        zapz.append(target, source)
    assert tree(target) == before
    assert source.closed == 1


@pytest.mark.parametrize("prefetch", [0, 1])
def test_a_source_whose_closing_fails_has_been_appended(prefetch: int, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    source = type("Bad", (Plain,), {"close": _raising(OwnError)})(_files(tmp_path))
    with pytest.raises(OwnError):
        zapz.append(target, [source, day(2)], prefetch=prefetch)
    assert labels(target) == [1]


def test_a_missing_chunk_of_a_source_is_its_fill_value(tmp_path: Path) -> None:
    files = _files(tmp_path, **CHUNKED)
    del files["v/c/0/1/0"]
    zapz.append(tmp_path / "target.zarr", Plain(files))
    found = reading(tmp_path / "target.zarr")["v"].values
    assert (found[0, :2] == 1).all()
    assert np.isnan(found[0, 2:]).all()


def test_a_tree_of_datasets_is_not_cut_to_its_root(tmp_path: Path) -> None:
    for n in range(2):
        nodes = xr.DataTree.from_dict({"/": xr.Dataset(day(n)), "/child": xr.Dataset(day(n))})
        zapz.append(tmp_path / "target.zarr", nodes)
    lengths = {v.path: v.shape[0] for v in zapz.info(tmp_path / "target.zarr").variables if v.grows}
    assert set(lengths.values()) == {2}
    assert any(path.startswith("child/") for path in lengths)


# -- plans and dry runs -----------------------------------------------------------------------------------------------

SERIES: dict[str, Callable[[], list[Slice]]] = {
    "in order": lambda: [day(0, 2), day(2, 2)],
    "twice": lambda: [day(0, 2), day(0, 2), day(2)],
    "with other values": lambda: [day(0, 2), day(0, 2, 9)],
    "part of one": lambda: [day(0, 4), day(1, 2)],
    "across the end": lambda: [day(0, 2), day(1, 2)],
    "across two": lambda: [day(0, 2), day(2, 2), day(1, 2)],
    "across two, with other values": lambda: [day(0, 2), day(2, 2), day(1, 2, 9)],
    "backwards": lambda: [day(4), day(2)],
    "an empty one": lambda: [day(0), day(1, 0), day(1)],
}


def _outcome(target: Path, slices: Any, **settings: Any) -> Any:
    try:
        report = zapz.append(target, slices, **settings)
    except zapz.ZapzError as error:
        return error.what
    return [r.outcome.replace("planned", "appended") for r in report.slices], report.length


ACROSS_TARGET_AND_PLAN = {(series, True) for series in SERIES if series.startswith("across two")}
"""Cases that a dry run refuses though the run would pass: a slice whose labels lie in the target and in a slice that is only planned."""


@pytest.mark.parametrize("on_existing", ["resume", "skip", "refuse"])
@pytest.mark.parametrize(
    ("series", "exists"), [c for c in itertools.product(SERIES, [False, True]) if c not in ACROSS_TARGET_AND_PLAN]
)
def test_a_dry_run_foretells_the_run(series: str, exists: bool, on_existing: str, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    if exists:
        zapz.append(target, day(0, 2))
    before = tree(tmp_path)
    dry = _outcome(target, SERIES[series](), on_existing=on_existing, dry_run=True)
    assert tree(tmp_path) == before
    assert dry == _outcome(target, SERIES[series](), on_existing=on_existing)


def _planned(target: Path) -> zapz.Plan:
    zapz.append(target, day(0))
    return zapz.Plan.from_json(zapz.plan(target, day(1)).to_json())


EXECUTED: dict[str, tuple[dict[str, Any], type[BaseException] | None]] = {
    "with its slice": ({"slice": day(1)}, None),
    "with a Dataset of it": ({"slice": xr.Dataset(day(1))}, None),
    "with another slice": ({"slice": day(2)}, zapz.ZapzError),
    "with labels that are there": ({"slice": day(0)}, zapz.ZapzError),
    "with another shape": ({"slice": day(1, 2)}, zapz.ConflictError),
    "without a slice": ({}, zapz.ConfigError),
    "as a dry run with another slice": ({"slice": day(2), "dry_run": True}, zapz.ZapzError),
    "with another target configured": ({"slice": day(1), "target_dir": "other.zarr"}, zapz.ConfigError),
}


@pytest.mark.parametrize("case", EXECUTED)
def test_a_plan_is_executed_with_what_it_was_made_for(case: str, tmp_path: Path) -> None:
    target, (settings, kind) = tmp_path / "target.zarr", EXECUTED[case]
    plan = _planned(target)
    if kind is None:
        assert zapz.execute(plan, **settings).appended == 1
        assert labels(target) == [0, 1]
    else:
        before = tree(target)
        with pytest.raises(kind):
            zapz.execute(plan, **settings)
        assert tree(target) == before


def test_executing_as_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    plan = _planned(tmp_path / "target.zarr")
    before = tree(tmp_path)
    with pytest.raises(zapz.ConfigError, match=r"dry_run does not apply to execute\(\)"):
        zapz.execute(plan, slice=day(1), dry_run=True)
    assert tree(tmp_path) == before


def test_what_labels_decide_is_not_computed(tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", day(0))
    lazy = {**day(0), "v": (("time", "y", "x"), da.from_delayed(dask.delayed(_raising(OwnError))(), (1, 4, 6), "f4"))}
    assert zapz.append(tmp_path / "target.zarr", lazy, on_existing="skip").skipped == 1
    with pytest.raises(zapz.SliceError, match="label"):
        zapz.append(tmp_path / "target.zarr", lazy, on_existing="refuse")


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
