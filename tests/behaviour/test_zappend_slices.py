"""What a user of zappend gives as slices: paths, datasets, and whatever a slice source makes of its arguments."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import xarray as xr
from kit import xcubes
from kit.xcubes import GIVEN, assert_holds, day, days, failing, given, joined, quiet, read, store, tree

import zapz
from zapz.errors import ConfigError, DimensionError, ZapzError

either_way = pytest.mark.parametrize("how", GIVEN)
HERE = __name__


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    LOG.clear()
    yield
    LOG.clear()
    xcubes.forget_memory()


LOG: list[str] = []
"""What the slice sources below did."""


# -- without a slice source --------------------------------------------------------------------------------------------


def test_paths(tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", given("as Zarr", days(0, 1, 2), tmp_path))
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2)))


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for at in range(3):
        store(day(at), f"slice-{at}.zarr")
    zapz.append("target.zarr", [f"slice-{at}.zarr" for at in range(3)])
    assert_holds("target.zarr", joined(days(0, 1, 2)))


@pytest.mark.parametrize("target", ["memory://target.zarr", None])
def test_uris(target: str | None, tmp_path: Path) -> None:
    """With options of the slices' filesystem, and a target in memory or in a folder."""
    place = target or str(tmp_path / "target.zarr")
    slices = [store(day(at), f"memory://slice-{at}.zarr") for at in range(3)]
    zapz.append(place, slices, slice_storage_options={"use_listings_cache": False})
    assert_holds(place, joined(days(0, 1, 2)))


def test_zipped_slices(tmp_path: Path) -> None:
    for at in range(2):
        shutil.make_archive(f"{tmp_path}/slice-{at}.zarr", "zip", store(day(at), tmp_path / f"slice-{at}.zarr"))
    zapz.append(tmp_path / "target.zarr", [str(tmp_path / f"slice-{at}.zarr.zip") for at in range(2)])
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


def test_a_place_in_a_filesystem(tmp_path: Path) -> None:
    """As zappend's FileObj: filesystem and path in one object; here it is fsspec's mapper."""
    store(day(0), "memory://slice.zarr")
    zapz.append(tmp_path / "target.zarr", [fsspec.get_mapper("memory://slice.zarr")])
    assert_holds(tmp_path / "target.zarr", day(0))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda cube: cube, id="of numpy arrays"),
        pytest.param(lambda cube: cube.chunk(time=1, y=3, x=4), id="of dask arrays"),
        pytest.param(lambda cube: cube.chunk(time=1, y=(1, 3), x=(2, 4)), id="of unevenly chunked dask arrays"),
        pytest.param(lambda cube: cube.transpose("x", "time", "y"), id="of transposed arrays"),
        pytest.param(lambda cube: cube + 1, id="computed"),
    ],
)
def test_datasets(make: Callable[[xr.Dataset], xr.Dataset], tmp_path: Path) -> None:
    slices = [make(day(at, 3)) for at in (0, 3, 6)]
    report = zapz.append(tmp_path / "target.zarr", slices)
    assert report.appended == 3
    assert_holds(tmp_path / "target.zarr", joined([cube.compute() for cube in slices]))
    assert read(tmp_path / "target.zarr").attrs == {"Conventions": "CF-1.8", "title": "from 0"}


def test_a_dataset_that_was_opened_from_storage(tmp_path: Path) -> None:
    with quiet():
        opened = [xr.open_zarr(path) for path in given("as Zarr", days(0, 1), tmp_path)]
    zapz.append(tmp_path / "target.zarr", opened)
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


def test_a_generator(tmp_path: Path) -> None:
    assert zapz.append(tmp_path / "target.zarr", (day(at) for at in range(4))).appended == 4
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2, 3)))


def test_slices_of_all_kinds(tmp_path: Path) -> None:
    """Each of another kind, all in one call."""
    items = [day(0), store(day(1), tmp_path / "slice.zarr"), Source(2), opened_and_closed(3), day(4).chunk(x=2)]
    zapz.append(tmp_path / "target.zarr", items)
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2, 3, 4)))
    assert LOG == ["open 2", "close 2", "open 3", "close 3"]


@pytest.mark.parametrize("item", [17, None, object()])
def test_what_is_no_slice(item: object, tmp_path: Path) -> None:
    with pytest.raises(ZapzError, match=r"slice|object|int|None"):
        zapz.append(tmp_path / "target.zarr", [item])
    assert tree(tmp_path) == {}


def test_slices_that_do_not_change_in_the_hands_of_the_append(tmp_path: Path) -> None:
    """A user's dataset stays as it was, attributes and encoding included, and open."""
    mine = day(0).assign_attrs(title="mine")
    mine.chl.attrs["units"] = "mg/m^3"
    mine.chl.encoding = {"_FillValue": -9.0, "chunks": (1, 2, 3)}
    before, encoding = mine.copy(deep=True), dict(mine.chl.encoding)
    zapz.append(tmp_path / "target.zarr", [mine, day(1)], attrs={"a": 1}, variables={"chl": {"attrs": {"b": 2}}})
    xr.testing.assert_identical(mine, before)
    assert mine.chl.encoding == encoding


@pytest.mark.parametrize(
    "left_out", [{"excluded_variables": ["tsm"]}, {"included_variables": ["time", "y", "x", "chl"]}], ids=str
)
def test_a_variable_that_takes_no_part_is_not_computed(left_out: dict[str, Any], tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", [failing(day(0))], **left_out)
    assert_holds(tmp_path / "target.zarr", day(0).drop_vars("tsm"))


@pytest.mark.parametrize(
    "settings",
    [{"variables": {"chl": {"dims": ["z", "y", "x"]}}}, {"fixed_dims": {"x": 5}}, {"append_dim": "depth"}],
    ids=str,
)
def test_what_its_outline_refuses_is_not_computed(settings: dict[str, Any], tmp_path: Path) -> None:
    """Computing may take hours; what is known before is said before."""
    with pytest.raises(DimensionError):
        zapz.append(tmp_path / "target.zarr", [failing(day(0))], **settings)
    assert tree(tmp_path) == {}


def test_a_dry_run_computes_nothing(tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", [failing(day(0))], dry_run=True)
    assert tree(tmp_path) == {}


def test_waiting_for_a_slice_that_is_there(tmp_path: Path) -> None:
    slices = given("as Zarr", days(0, 1), tmp_path)
    zapz.append(tmp_path / "target.zarr", slices, slice_polling={"interval": 0.02, "timeout": 0.1})
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


def test_waiting_for_a_slice_that_comes(tmp_path: Path) -> None:
    beside = Path(store(day(0), tmp_path / "beside.zarr"))
    coming = threading.Timer(0.3, lambda: beside.rename(tmp_path / "made.zarr"))
    coming.start()
    try:
        slices = [str(tmp_path / "made.zarr")]
        zapz.append(tmp_path / "target.zarr", slices, slice_polling={"interval": 0.05, "timeout": 30})
    finally:
        coming.join()
    assert_holds(tmp_path / "target.zarr", day(0))


# -- slice sources -----------------------------------------------------------------------------------------------------


class Source:
    """The shape of zappend's SliceSource: get_dataset, then close."""

    def __init__(self, at: int) -> None:
        self.at = at

    def get_dataset(self) -> xr.Dataset:
        LOG.append(f"open {self.at}")
        return day(self.at)

    def close(self) -> None:
        LOG.append(f"close {self.at}")

    @staticmethod
    def made(at: int) -> Source:
        return Source(at)

    @classmethod
    def built(cls, at: int) -> Source:
        return cls(at)


@contextlib.contextmanager
def opened_and_closed(at: int) -> Iterator[xr.Dataset]:
    LOG.append(f"open {at}")
    try:
        yield day(at)
    finally:
        LOG.append(f"close {at}")


def yielded(at: int) -> Iterator[xr.Dataset]:
    """As zappend's page of questions has it, without the decorator."""
    LOG.append(f"open {at}")
    try:
        yield day(at)
    finally:
        LOG.append(f"close {at}")


class Disposed:
    """As zappend's notebook has it: what lets go is called ``dispose``."""

    def __init__(self, at: int) -> None:
        self.at = at

    def get_dataset(self) -> xr.Dataset:
        LOG.append(f"open {self.at}")
        return day(self.at)

    def dispose(self) -> None:
        LOG.append(f"close {self.at}")


def plain(at: int) -> xr.Dataset:
    LOG.extend((f"open {at}", f"close {at}"))
    return day(at)


ALL_OF_THEM = [f"{word} {at}" for at in range(3) for word in ("open", "close")]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(Source, id="a class"),
        pytest.param(Source.made, id="a static method"),
        pytest.param(Source.built, id="a class method"),
        pytest.param(opened_and_closed, id="a context manager"),
        pytest.param(yielded, id="a function that yields"),
        pytest.param(Disposed, id="a class with dispose"),
        pytest.param(plain, id="a function"),
        pytest.param(f"{HERE}.Source", id="the name of a class"),
        pytest.param(f"{HERE}.Source.made", id="the name of a static method"),
        pytest.param(f"{HERE}.Source.built", id="the name of a class method"),
        pytest.param(f"{HERE}.opened_and_closed", id="the name of a context manager"),
        pytest.param(f"{HERE}.plain", id="the name of a function"),
    ],
)
def test_slice_source(source: Any, tmp_path: Path) -> None:
    """Called once for each item; what it opens is closed before the next one is opened."""
    assert zapz.append(tmp_path / "target.zarr", [0, 1, 2], slice_source=source).appended == 3
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2)))
    assert LOG == ALL_OF_THEM


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda at, folder: store(day(at), folder / f"slice-{at}.zarr"), id="a path"),
        pytest.param(lambda at, _folder: store(day(at), f"memory://slice-{at}.zarr"), id="a URI"),
        pytest.param(lambda at, _folder: opened_and_closed(at), id="a context manager"),
        pytest.param(lambda at, _folder: Source(at), id="a source"),
    ],
)
def test_what_a_slice_source_may_return(make: Callable[[int, Path], Any], tmp_path: Path) -> None:
    zapz.append(tmp_path / "target.zarr", [0, 1, 2], slice_source=lambda at: make(at, tmp_path))
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2)))


@either_way
def test_a_slice_source_drops_a_variable(how: str, tmp_path: Path) -> None:
    def drop_tsm(item: Any) -> xr.Dataset:
        with quiet():
            return (xr.open_zarr(item) if isinstance(item, str) else item).drop_vars("tsm")

    zapz.append(tmp_path / "target.zarr", given(how, days(0, 1, 2), tmp_path), slice_source=drop_tsm)
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1, 2)).drop_vars("tsm"))


def recording(seen: list[Any]) -> Callable[..., xr.Dataset]:
    def source(*args: Any, **kwargs: Any) -> xr.Dataset:
        seen.append((args, kwargs))
        return day(len(seen) - 1)

    return source


@pytest.mark.parametrize(
    ("item", "args", "kwargs"),
    [
        pytest.param(1, (1,), {}, id="anything: one argument"),
        pytest.param("a", ("a",), {}, id="text: one argument"),
        pytest.param([], (), {}, id="an empty list"),
        pytest.param([1, 2, 3], (1, 2, 3), {}, id="a list: arguments"),
        pytest.param({"c": 3}, (), {"c": 3}, id="a mapping: keywords"),
        pytest.param(((), {}), (), {}, id="a pair of nothing"),
        pytest.param(([1, 2], {"c": 3}), (1, 2), {"c": 3}, id="a pair: arguments and keywords"),
        pytest.param(((1, 2), {"c": 3}), (1, 2), {"c": 3}, id="a pair that begins with a tuple"),
    ],
)
def test_an_item_is_what_the_slice_source_is_called_with(item: Any, args: Any, kwargs: Any, tmp_path: Path) -> None:
    seen: list[Any] = []
    zapz.append(tmp_path / "target.zarr", [item], slice_source=recording(seen))
    assert seen == [(args, kwargs)]


def test_slice_source_kwargs_give_way_to_the_item_s_own(tmp_path: Path) -> None:
    seen: list[Any] = []
    common = {"a": 1, "b": True, "c": "nearest"}
    item = (["bibo"], {"a": 2, "d": 3.14})
    zapz.append(tmp_path / "target.zarr", [item], slice_source=recording(seen), slice_source_kwargs=common)
    assert seen == [(("bibo",), {"a": 2, "b": True, "c": "nearest", "d": 3.14})]


@pytest.mark.parametrize("item", [((), (), ()), ({}, {}), ((), ())])
def test_a_tuple_of_another_form_is_refused(item: Any, tmp_path: Path) -> None:
    seen: list[Any] = []
    with pytest.raises((ZapzError, TypeError), match=r"args|pair|tuple"):
        zapz.append(tmp_path / "target.zarr", [item], slice_source=recording(seen))
    assert (seen, tree(tmp_path)) == ([], {})


def with_ctx_first(ctx: Any, at: int) -> xr.Dataset:
    LOG.append(ctx.config.extra["sea"])
    return day(at)


def with_ctx_by_name(at: int, ctx: Any = None) -> xr.Dataset:
    LOG.append(ctx.config.extra["sea"])
    return day(at)


@pytest.mark.parametrize("source", [with_ctx_first, with_ctx_by_name])
def test_a_slice_source_with_ctx_sees_the_configuration(source: Callable[..., xr.Dataset], tmp_path: Path) -> None:
    """``extra`` is meant for it."""
    zapz.append(tmp_path / "target.zarr", [0, 1], slice_source=source, extra={"sea": "Baltic"})
    assert LOG == ["Baltic", "Baltic"]
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


@pytest.mark.parametrize("source", [f"{HERE}.Pippo", f"{HERE}.", "pippo.sources.Source", "plain", 11])
def test_a_slice_source_that_is_none(source: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"slice_source|Pippo|pippo"):
        zapz.append(tmp_path / "target.zarr", [0], slice_source=source)
    assert tree(tmp_path) == {}


def false_source(_item: Any) -> int:
    return 17


def test_a_slice_source_that_returns_no_slice(tmp_path: Path) -> None:
    with pytest.raises(ZapzError, match=r"int|17"):
        zapz.append(tmp_path / "target.zarr", ["a"], slice_source=false_source)
    assert tree(tmp_path) == {}


# -- closing -----------------------------------------------------------------------------------------------------------


class Broken(Source):
    def get_dataset(self) -> xr.Dataset:
        return failing(super().get_dataset()) if self.at == 1 else super().get_dataset()


@contextlib.contextmanager
def broken(at: int) -> Iterator[xr.Dataset]:
    with opened_and_closed(at) as cube:
        yield failing(cube) if at == 1 else cube


class BrokenAndDisposed(Disposed):
    def get_dataset(self) -> xr.Dataset:
        return failing(super().get_dataset()) if self.at == 1 else super().get_dataset()


def broken_and_yielded(at: int) -> Iterator[xr.Dataset]:
    for cube in yielded(at):
        yield failing(cube) if at == 1 else cube


@pytest.mark.parametrize("source", [Broken, BrokenAndDisposed, broken, broken_and_yielded])
def test_what_was_opened_is_closed_when_the_append_fails(source: Any, tmp_path: Path) -> None:
    with pytest.raises((ZapzError, OSError), match="the disk of the slice is broken"):
        zapz.append(tmp_path / "target.zarr", [0, 1, 2], slice_source=source)
    assert LOG == ["open 0", "close 0", "open 1", "close 1"]
    assert_holds(tmp_path / "target.zarr", day(0))


def test_an_error_of_the_slice_source_is_the_user_s_own(tmp_path: Path) -> None:
    def source(at: int) -> xr.Dataset:
        if at == 1:
            raise KeyError("no such day")
        return day(at)

    with pytest.raises((KeyError, ZapzError), match="no such day"):
        zapz.append(tmp_path / "target.zarr", [0, 1, 2], slice_source=source)
    assert_holds(tmp_path / "target.zarr", day(0))


# -- generators as slice sources ---------------------------------------------------------------------------------------


def test_a_generator_learns_of_the_error_under_which_it_is_left(tmp_path: Path) -> None:
    """As a context manager would: it is raised at its yield. What it raises instead becomes a note."""
    zapz.append(tmp_path / "target.zarr", days(0, 1))
    seen: list[BaseException] = []

    def source(_: int) -> Iterator[xr.Dataset]:
        try:
            yield day(0.5)
        except ZapzError as error:
            seen.append(error)
            raise KeyError("no such lock") from error

    with pytest.raises(ZapzError) as caught:
        zapz.append(tmp_path / "target.zarr", [0], slice_source=source)
    assert seen == [caught.value]
    assert any("no such lock" in note for note in caught.value.__notes__)


def test_what_stands_behind_the_yield_may_fail(tmp_path: Path) -> None:
    def source(at: int) -> Iterator[xr.Dataset]:
        yield day(at)
        raise OSError("cannot tidy up")

    with pytest.raises(OSError, match="cannot tidy up"):
        zapz.append(tmp_path / "target.zarr", [0, 1], slice_source=source)
    assert_holds(tmp_path / "target.zarr", day(0))


def test_a_generator_that_never_yields_is_refused(tmp_path: Path) -> None:
    def source(at: int) -> Iterator[xr.Dataset]:
        if at == 0:
            yield day(at)

    with pytest.raises(zapz.SliceError, match="yields nothing") as caught:
        zapz.append(tmp_path / "target.zarr", [0, 1], slice_source=source)
    assert "source" in caught.value.where
    assert_holds(tmp_path / "target.zarr", day(0))


def test_a_generator_that_yields_twice_is_refused(tmp_path: Path) -> None:
    """What it yielded first has been appended; the second one must not be lost without a word."""

    def source(at: int) -> Iterator[xr.Dataset]:
        try:
            yield day(at)
            yield day(at + 1)
        finally:
            LOG.append(f"close {at}")

    with pytest.raises(zapz.SliceError, match=r"yields more than once.*Dataset.*without slice_source") as caught:
        zapz.append(tmp_path / "target.zarr", [0], slice_source=source)
    assert "source" in caught.value.where
    assert LOG == ["close 0"]
    assert_holds(tmp_path / "target.zarr", day(0))
    zapz.append(tmp_path / "other.zarr", source(0))  # what the message says
    assert_holds(tmp_path / "other.zarr", joined(days(0, 1)))


def test_a_generator_among_the_slices_is_none(tmp_path: Path) -> None:
    """It may be meant as one slice or as many."""
    with pytest.raises(zapz.SliceError, match="generator"):
        zapz.append(tmp_path / "target.zarr", [yielded(0)])
    assert LOG == []
