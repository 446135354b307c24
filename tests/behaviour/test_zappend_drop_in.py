"""``zapz.zappend`` and ``zapz zappend`` in the place of zappend's: what its guide, its pages and its notebook show runs, and does the same."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit import xcubes
from kit.xcubes import assert_holds, day, days, failing, given, joined, quiet, read, stored, tree, zapz_says

import zapz.zappend
from zapz.config.reference import render
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


def test_a_file_of_netcdf(tmp_path: Path) -> None:
    for at, cube in enumerate(days(0, 1)):
        cube.to_netcdf(tmp_path / f"{at}.nc", engine="h5netcdf")
    code, said = zapz_says("zappend", "-t", tmp_path / "t.zarr", tmp_path / "0.nc", tmp_path / "1.nc")
    assert code == 0, said
    assert_holds(tmp_path / "t.zarr", joined(days(0, 1)))


# -- the command line --------------------------------------------------------------------------------------------------


def test_the_command_with_a_target(tmp_path: Path) -> None:
    slices = given("as Zarr", days(0, 1), tmp_path)
    code, said = zapz_says("zappend", "--target", tmp_path / "target.zarr", *slices)
    assert code == 0, said
    assert "2 appended" in said
    assert_holds(tmp_path / "target.zarr", joined(days(0, 1)))


def test_the_command_with_configurations(tmp_path: Path) -> None:
    """Later ones win, and ``-t`` over all."""
    slices = given("as Zarr", days(0, 1), tmp_path, zarr_format=3)
    for name, target in (("a", "first.zarr"), ("b", "second.zarr")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"target_dir": str(tmp_path / target)}))
    (tmp_path / "b.json").write_text(json.dumps({"target_dir": str(tmp_path / "second.zarr"), "zarr_version": 3}))
    files = ["-c", tmp_path / "a.json", "--config", tmp_path / "b.json"]
    assert zapz_says("zappend", *files, slices[0])[0] == 0
    assert is_v3(tmp_path / "second.zarr")
    assert zapz_says("zappend", *files[:2], "-t", tmp_path / "third.zarr", *slices)[0] == 0
    assert_holds(tmp_path / "third.zarr", joined(days(0, 1)))
    assert not is_v3(tmp_path / "third.zarr")
    assert not (tmp_path / "first.zarr").exists()


def test_the_command_without_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No slice is taken for one; the command line that is shown works."""
    monkeypatch.chdir(tmp_path)
    slices = [Path(path).name for path in given("as Zarr", days(0, 1), tmp_path)]
    Path("config file.json").write_text('{"append_dim": "time"}')
    before = tree(tmp_path)
    code, said = zapz_says("zappend", "-c", "config file.json", *slices)
    assert (code, tree(tmp_path)) == (2, before)
    shown = said[said.index("zapz zappend -t") :].strip().replace("TARGET", "made.zarr")
    assert zapz_says(*shlex.split(shown)[1:])[0] == 0
    assert_holds("made.zarr", joined(days(0, 1)))


def test_the_command_without_slices(tmp_path: Path) -> None:
    """As with zappend no error, whatever else is missing."""
    for words in ([], ["-t", tmp_path / "t.zarr"]):
        assert zapz_says("zappend", *words) == (0, "No slices: nothing to do.\n")
    assert tree(tmp_path) == {}


def test_flags_of_the_command(tmp_path: Path) -> None:
    target = tmp_path / "target.zarr"
    old, new = given("as Zarr", [day(0), day(5) + 1], tmp_path)
    assert zapz_says("zappend", "--dry-run", "-t", target, old)[0] == 0
    assert not target.exists()
    assert zapz_says("zappend", "-t", target, old)[0] == 0
    assert zapz_says("zappend", "--force-new", "-t", target, new)[0] == 0
    assert_holds(target, day(5) + 1)
    code, said = zapz_says("zappend", "-t", target, old)
    assert (code, "Traceback" in said) == (3, False)
    assert "Traceback" in zapz_says("zappend", "--traceback", "-t", target, old)[1]


def test_what_the_command_prints_by_itself() -> None:
    for style in ("md", "json"):
        assert zapz_says("zappend", "--help-config", style) == (0, f"{render(style)}\n")
    assert zapz_says("zappend", "--help-config", "toml")[0] == 2
    assert zapz_says("zappend", "--version") == (0, f"{zapz.__version__}\n")


def test_the_command_opens_files(files: list[str], tmp_path: Path) -> None:
    """Beside Zarr; but a configured slice source opens them itself."""
    slices = [*files, *given("as Zarr", [day(2)], tmp_path)]
    (tmp_path / "e.json").write_text('{"slice_engine": "h5netcdf"}')
    code, said = zapz_says("zappend", "-c", tmp_path / "e.json", "-t", tmp_path / "t.zarr", *slices)
    assert (code, "slice_engine" in said) == (0, False)
    assert LOG == ["open 0 h5netcdf", "close 0", "open 1 h5netcdf", "close 1"]
    assert_holds(tmp_path / "t.zarr", joined(days(0, 1, 2)))
    (tmp_path / "c.json").write_text(json.dumps({"slice_source": f"{__name__}.numbered"}))
    assert zapz_says("zappend", "-c", tmp_path / "c.json", "-t", tmp_path / "u.zarr", *files)[0] == 0
    assert LOG[4:] == ["numbered", "numbered"]


def numbered(path: str) -> xr.Dataset:
    LOG.append("numbered")
    return day(int(Path(path).read_text()))


def test_a_file_that_xarray_cannot_open(tmp_path: Path) -> None:
    """The message names the file; there is no traceback."""
    (tmp_path / "broken.nc").write_text("no NetCDF")
    code, said = zapz_says("zappend", "-t", tmp_path / "t.zarr", tmp_path / "broken.nc")
    assert (code, "broken.nc" in said, "Traceback" in said) == (3, True, False)


def test_a_configuration_from_elsewhere_must_be_trusted() -> None:
    """What the message advises is an option here too."""
    import fsspec

    xcubes.forget_memory()
    with fsspec.open("memory://c.json", "w") as file:
        json.dump({"target_dir": "memory://t.zarr"}, file)
    source = xcubes.store(day(0), "memory://slice.zarr")
    code, said = zapz_says("zappend", "-c", "memory://c.json", source)
    assert (code, "--trust-config" in said) == (2, True)
    assert zapz_says("zappend", "-c", "memory://c.json", "--trust-config", source)[0] == 0
    with quiet():
        assert read("memory://t.zarr").sizes["time"] == 1
    xcubes.forget_memory()


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
