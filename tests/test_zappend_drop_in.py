"""``zapz.zappend`` in the place of zappend's: what its guide, its pages and its notebook show runs, and does the same."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import xcubes
from xcubes import assert_holds, day, days, failing, given, joined, stored, tree

import zapz.zappend
from zapz.errors import ConfigError, UnsupportedError, ZapzError
from zapz.zappend import Config, Context, SliceSource, zappend

LOG: list[str] = []
"""What the slice sources below did."""


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    LOG.clear()
    yield
    LOG.clear()


def is_v3(target: Path) -> bool:
    return (target / "zarr.json").exists()


# -- the function ------------------------------------------------------------------------------------------------------


def test_the_names_of_zappend_are_there() -> None:
    """All of ``zappend.api`` but FileObj."""
    names = {"Config", "ConfigItem", "ConfigLike", "ConfigList", "Context", "SliceCallable", "SliceItem", "SliceSource"}
    assert set(zapz.zappend.__all__) == names | {"zappend"}
    assert all(getattr(zapz.zappend, name) is not None for name in zapz.zappend.__all__)


def test_slices_then_the_target_by_name(tmp_path: Path) -> None:
    """It returns how many there were, and makes Zarr v2."""
    target = tmp_path / "target.zarr"
    assert zappend(given("as Zarr", days(0, 1), tmp_path), target_dir=str(target)) == 2
    assert zappend((day(at) for at in (2, 3, 4)), target_dir=target) == 3
    assert zappend([], target_dir=target) == 0
    assert_holds(target, joined(days(0, 1, 2, 3, 4)))
    assert not is_v3(target)


def test_configurations_then_arguments(tmp_path: Path) -> None:
    """Later ones win; None says nothing."""
    (tmp_path / "config.json").write_text(json.dumps({"zarr_version": 3, "variables": {"time": {"encoding": {"chunks": [7]}}}}))  # fmt: skip
    config = {"target_dir": str(tmp_path / "other.zarr"), "variables": {"chl": {"encoding": {"chunks": [1, 2, 3]}}}}
    target = tmp_path / "target.zarr"
    layers = (str(tmp_path / "config.json"), config)
    assert zappend(days(0, 1), config=layers, target_dir=str(target), append_dim=None, slice_source=None) == 2
    assert is_v3(target)
    found = stored(target)
    assert (found.time.encoding["chunks"], found.chl.encoding["chunks"]) == ((7,), (1, 2, 3))
    assert not (tmp_path / "other.zarr").exists()
    assert zappend([day(2)], config) == 1
    assert_holds(tmp_path / "other.zarr", day(2))


def test_a_dry_run_counts_too(tmp_path: Path) -> None:
    assert zappend(days(0, 1), target_dir=tmp_path / "target.zarr", dry_run=True) == 2
    assert tree(tmp_path) == {}


def test_one_slice_by_itself(tmp_path: Path) -> None:
    assert zappend(day(0), target_dir=tmp_path / "target.zarr") == 1
    assert zappend(given("as Zarr", [day(1)], tmp_path)[0], target_dir=tmp_path / "target.zarr") == 1
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


def test_without_a_target(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="target_dir"):
        zappend(days(0))


# -- slice sources as classes ------------------------------------------------------------------------------------------


class Closed(SliceSource):
    """The guide's: arguments of its own, and ``close``."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.dataset: xr.Dataset | None = None

    def get_dataset(self) -> xr.Dataset:
        LOG.append(f"open {self.at}")
        self.dataset = day(self.at)
        return self.dataset

    def close(self) -> None:
        assert self.dataset is not None
        LOG.append(f"close {self.at}")


class Disposed(Closed):
    """The notebook's: ``dispose``."""

    close = SliceSource.close

    def dispose(self) -> None:
        LOG.append(f"close {self.at}")


class FirstCtx(Closed):
    """The guide's other one: the context comes first, and the base class may have it."""

    def __init__(self, ctx: Context, at: int) -> None:
        SliceSource.__init__(self, ctx)
        self.at = at

    def get_dataset(self) -> xr.Dataset:
        assert isinstance(self.ctx, Context)
        assert isinstance(self.ctx.config, Config)
        return super().get_dataset() * self.ctx.config.extra["factor"]


class KeywordCtx(FirstCtx):
    def __init__(self, at: int, ctx: Context | None = None) -> None:
        SliceSource.__init__(self, ctx)
        self.at = at


class Neither(SliceSource):
    """Nothing to close."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def get_dataset(self) -> xr.Dataset:
        LOG.extend((f"open {self.at}", f"close {self.at}"))
        return day(self.at)


@pytest.mark.parametrize("source", [Closed, Disposed, FirstCtx, KeywordCtx, Neither, f"{__name__}.Disposed"])
def test_a_class_as_slice_source(source: Any, tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    assert zappend([0, 1], target_dir=target, slice_source=source, extra={"factor": 1}) == 2
    assert LOG == ["open 0", "close 0", "open 1", "close 1"]
    assert_holds(target, joined(days(0, 1)))


@pytest.mark.parametrize("source", [Closed, Disposed, Neither])
def test_its_objects_as_slices(source: Any, tmp_path: Path) -> None:
    assert zappend([source(0), day(1)], target_dir=tmp_path / "target.zarr") == 2
    assert LOG == ["open 0", "close 0"]


@pytest.mark.parametrize("source", [Closed, Disposed])
def test_it_is_closed_when_the_slice_fails(source: Any, tmp_path: Path) -> None:
    """As the notebook shows it: one bad slice, those before it stay."""

    class Bad(source):
        def get_dataset(self) -> xr.Dataset:
            return failing(super().get_dataset()) if self.at == 2 else super().get_dataset()

    with pytest.raises(OSError, match="broken"):
        zappend([0, 1, 2], target_dir=tmp_path / "target.zarr", slice_source=Bad)
    assert LOG[-2:] == ["open 2", "close 2"]
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


def test_a_class_without_get_dataset_is_abstract() -> None:
    with pytest.raises(TypeError, match="get_dataset"):
        SliceSource()  # type: ignore[abstract]


# -- files that xarray opens -------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of files that xarray knows how to open, and no Zarr."""

    def opened(path: str, engine: str | None = None) -> xr.Dataset:
        at = int(Path(path).read_text())
        LOG.append(f"open {at} {engine}")
        dataset = day(at)
        dataset.set_close(lambda: LOG.append(f"close {at}"))
        return dataset

    monkeypatch.setattr(xr, "open_dataset", opened)
    for at in range(2):
        (tmp_path / f"slice-{at}.nc").write_text(str(at))
    return [str(tmp_path / f"slice-{at}.nc") for at in range(2)]


@pytest.mark.parametrize("as_generator", [False, True])
def test_files_are_opened_and_closed(as_generator: bool, files: list[str], tmp_path: Path) -> None:
    slices = [*files, *given("as Zarr", [day(2)], tmp_path), day(3)]
    count = zappend(
        (item for item in slices) if as_generator else slices, target_dir=tmp_path / "t.zarr", slice_engine="h5netcdf"
    )
    assert count == 4
    assert LOG == ["open 0 h5netcdf", "close 0", "open 1 h5netcdf", "close 1"]
    assert_holds(tmp_path / "t.zarr", joined(days(0, 1, 2, 3)))


def test_a_zipped_zarr_is_no_such_file(files: list[str], tmp_path: Path) -> None:
    zipped = shutil.make_archive(f"{tmp_path}/slice.zarr", "zip", given("as Zarr", [day(0)], tmp_path)[0])
    assert zappend([zipped], target_dir=tmp_path / "t.zarr") == 1
    assert LOG == []


def test_a_slice_source_opens_files_itself(files: list[str], tmp_path: Path) -> None:
    zappend(files, target_dir=tmp_path / "t.zarr", slice_source=lambda path: day(int(Path(path).read_text())))
    assert LOG == []


def test_without_xarray(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(UnsupportedError, match=r"slice-0\.nc: expected xarray.*pip install xarray netCDF4"):
        zappend(files, target_dir=tmp_path / "t.zarr")


@pytest.mark.parametrize("version", [None, 3])
def test_the_guide_s_encoding(version: int | None, tmp_path: Path) -> None:
    """An empty compressor, an empty list of filters, packing, and chunks with null."""
    encoding = {
        "dtype": "int16",
        "scale_factor": 0.25,
        "add_offset": 0.0,
        "fill_value": -999,
        "chunks": [1, None, None],
    }
    variables = {"*": {"encoding": {"compressor": {}, "filters": []}}, "chl": {"encoding": encoding}}
    target = tmp_path / "target.zarr"
    assert zappend(days(0, 1), target_dir=target, variables=variables, zarr_version=version) == 2
    found = stored(target).chl
    assert (found.dtype, found.encoding["chunks"], found.attrs["_FillValue"]) == (np.dtype("int16"), (1, 4, 6), -999)
    assert xcubes.compressor(found) == ("zstd" if version else "blosc")
    assert_holds(target, joined(days(0, 1)))


def test_an_error_is_zapz_s(tmp_path: Path) -> None:
    with pytest.raises(ZapzError, match="no such slice"):
        zappend(["nowhere.zarr"], target_dir=tmp_path / "t.zarr")
