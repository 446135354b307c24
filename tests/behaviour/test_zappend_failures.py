"""What zappend 0.8.0 gets wrong, each as a test of what happens here: the right cube, or a refusal that says why; never a wrong value.

Slices with a day of 12:00, a broken disk or another sea are nothing exotic: every scenario comes from somebody's daily work.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from kit import TESTS
from kit.xcubes import (
    GIVEN,
    assert_holds,
    compressor,
    day,
    days,
    failing,
    given,
    joined,
    store,
    stored,
    tree,
    zapz_says,
)

import zapz
from zapz.errors import ConfigError, EncodingError, FormatError, LabelError, SliceError, VariableError, ZapzError

either_way = pytest.mark.parametrize("how", GIVEN)
both_formats = pytest.mark.parametrize("version", [2, 3])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.zarr"


def refused(kind: type[ZapzError], naming: str, target: Path, slices: Any, **settings: Any) -> ZapzError:
    """Assert that the slices are refused for a reason, and that the target stays as it was, byte for byte."""
    before = tree(target) if target.exists() else None
    with pytest.raises(kind, match=naming) as caught:
        zapz.append(target, slices, **settings)
    assert (tree(target) if target.exists() else None) == before
    return caught.value


# -- versions ----------------------------------------------------------------------------------------------------------


@either_way
@both_formats
def test_current_xarray_and_zarr(version: int, how: str, target: Path, tmp_path: Path) -> None:
    """zappend imports modules that zarr 3 no longer has; its users are held at old versions."""
    assert int(zarr.__version__.split(".")[0]) >= 3
    slices = given(how, days(0, 1, 2), tmp_path, **({"zarr_format": version} if how == "as Zarr" else {}))
    zapz.append(target, slices, zarr_version=version)
    assert_holds(target, joined(days(0, 1, 2)))
    assert zarr.open_group(target, mode="r").metadata.zarr_format == version


# -- configuration -----------------------------------------------------------------------------------------------------


@both_formats
@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ({"id": "zlib", "level": 3}, "zlib"),
        ({"id": "zstd", "level": 5}, "zstd"),
        ({"id": "gzip", "level": 5}, "gzip"),
        ({"id": "blosc", "cname": "zstd", "clevel": 9, "shuffle": 2}, "blosc"),
        (None, ""),
    ],
    ids=["zlib", "zstd", "gzip", "blosc", "none"],
)
def test_compressor_choice(chosen: dict[str, Any] | None, name: str, version: int, target: Path) -> None:
    """zappend's schema demands a list where its code wants a table: no compressor can be chosen."""
    zapz.append(target, days(0, 1), variables={"chl": {"encoding": {"compressor": chosen}}}, zarr_version=version)
    assert compressor(stored(target).chl) == name
    assert_holds(target, joined(days(0, 1)))


@pytest.mark.parametrize(
    ("key", "value", "meant"),
    [
        ("fillvalue", -1, "fill_value"),
        ("scalefactor", 0.1, "scale_factor"),
        ("Dtype", "int16", "dtype"),
        ("compression", None, "compressor"),
        ("add_ofset", 5, "add_offset"),
    ],
    ids=["fillvalue", "scalefactor", "Dtype", "compression", "add_ofset"],
)
def test_mistyped_encoding_key(key: str, value: Any, meant: str, target: Path) -> None:
    """zappend drops it in silence: the cube is stored unpacked, or without its marker."""
    error = refused(
        ConfigError, f"variables.chl.encoding.{key}", target, days(0), variables={"chl": {"encoding": {key: value}}}
    )
    assert meant in str(error)


def test_typo_chnuks(target: Path, tmp_path: Path) -> None:
    """In a file, with its name and the right spelling; zappend writes the chunks of the slice instead."""
    config = tmp_path / "config.yaml"
    config.write_text("variables:\n  chl:\n    encoding:\n      chnuks: [1, 2, 3]\n")
    error = refused(ConfigError, r"variables\.chl\.encoding\.chnuks", target, days(0), config=config)
    assert "chunks" in error.hint
    assert "config.yaml" in str(error)


@pytest.mark.parametrize("also", [[], ["--force-new"]], ids=["alone", "with --force-new"])
def test_dry_run_in_a_file(also: list[str], target: Path, tmp_path: Path) -> None:
    """zappend's command line overrides it with its own default, and writes."""
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"dry_run": True}))
    store(day(0), target)
    slices = given("as Zarr", [day(1)], tmp_path)
    before = tree(tmp_path)
    code, said = zapz_says("append", "-t", target, "-c", config, *also, *slices)
    assert (code, tree(tmp_path) == before) == (0, True), said


# -- values ------------------------------------------------------------------------------------------------------------

PACKED = {"dtype": "int16", "scale_factor": 0.01}


def with_cell(value: float, start: int = 0) -> xr.Dataset:
    cube = day(start)
    cube.chl[0, 2, 3] = value
    return cube


@either_way
@both_formats
@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(np.nan, "(?i)nan|missing", id="NaN"),
        pytest.param(400.0, "400", id="above"),
        pytest.param(-400.0, "-400", id="below"),
        pytest.param(np.inf, "inf", id="infinite"),
    ],
)
@pytest.mark.parametrize("first", [pytest.param(True, id="at creation"), pytest.param(False, id="later")])
def test_nan_and_overflow_in_packing(
    first: bool, value: float, said: str, version: int, how: str, target: Path, tmp_path: Path
) -> None:
    """zappend stores whatever the cast of the processor makes of it. Refused at creation and later, with the value and its place."""
    start = 0 if first else 1
    slices = given(how, [day(0), with_cell(value, start)], tmp_path)
    settings = {"variables": {"chl": {"encoding": PACKED}}, "zarr_version": version}
    if not first:
        zapz.append(target, slices[:1], **settings)
    error = refused(SliceError, said, target, slices[1:], **settings)
    assert "chl" in str(error)
    assert "2, 3" in str(error)


@either_way
@both_formats
def test_nan_in_packing_with_a_marker(version: int, how: str, target: Path, tmp_path: Path) -> None:
    settings = {"variables": {"chl": {"encoding": {**PACKED, "fill_value": -32768}}}, "zarr_version": version}
    slices = [day(0), with_cell(np.nan, 1)]
    zapz.append(target, given(how, slices, tmp_path), **settings)
    assert_holds(target, joined(slices), within=0.005)


@either_way
@both_formats
def test_a_value_that_is_the_marker_is_refused(version: int, how: str, target: Path, tmp_path: Path) -> None:
    settings = {"variables": {"chl": {"encoding": {**PACKED, "fill_value": 1000}}}, "zarr_version": version}
    refused(SliceError, "chl", target, given(how, days(0), tmp_path), **settings)


@either_way
def test_noon_in_a_target_of_days(how: str, target: Path, tmp_path: Path) -> None:
    """zappend 0.8.0 makes 2024-02-06 of 2024-01-02T12:00."""
    zapz.append(target, given(how, days(0), tmp_path), label_units="keep")
    assert stored(target).time.dtype.kind == "i"
    error = refused(EncodingError, "units", target, given(how, days(1.5), tmp_path))
    assert "hours since" in str(error)
    assert "time" in str(error)


@either_way
def test_noon_in_a_target_of_hours(how: str, target: Path, tmp_path: Path) -> None:
    variables = {"time": {"encoding": {"units": "hours since 2024-01-01", "dtype": "int64"}}}
    zapz.append(target, given(how, days(0, 1.5), tmp_path), variables=variables)
    assert_holds(target, joined(days(0, 1.5)))


@either_way
def test_sub_second_label(how: str, target: Path, tmp_path: Path) -> None:
    """Refused where the target counts seconds; kept exactly where it counts milliseconds, or in floats."""
    half = np.timedelta64(500, "ms")
    slices = [day(0, every=half), day(1, every=half)]
    units = {"units": "seconds since 2024-01-01", "dtype": "int64"}
    zapz.append(target, given(how, slices[:1], tmp_path), variables={"time": {"encoding": units}})
    error = refused(EncodingError, "seconds", target, given(how, slices[1:], tmp_path))
    assert "milliseconds" in str(error)
    for at, other in enumerate(({"units": "milliseconds since 2024-01-01"}, {"dtype": "float64"})):
        finer = tmp_path / f"finer-{at}.zarr"
        zapz.append(finer, given(how, slices, tmp_path), variables={"time": {"encoding": units | other}})
        assert_holds(finer, joined(slices))


@either_way
@pytest.mark.parametrize("by", [0.5, 1e-3])
def test_shifted_coordinates(by: float, how: str, target: Path, tmp_path: Path) -> None:
    """zappend drops the x of every later slice without a look: values land on the wrong places."""
    zapz.append(target, given(how, days(0), tmp_path))
    moved = day(1).assign_coords(x=day(1).x + by)
    error = refused(VariableError, "x", target, given(how, [moved], tmp_path))
    assert "static" in str(error)


@either_way
def test_kelvin_against_degrees_celsius(how: str, target: Path, tmp_path: Path) -> None:
    slices = days(0, 1)
    for cube, units in zip(slices, ("degC", "K"), strict=True):
        cube.chl.attrs["units"] = units
    zapz.append(target, given(how, slices[:1], tmp_path))
    error = refused(SliceError, "chl", target, given(how, slices[1:], tmp_path))
    assert "degC" in str(error)
    assert "K" in str(error)


@both_formats
def test_zeros_are_not_missing_where_the_fill_value_is_zero(version: int, target: Path) -> None:
    """zappend makes the fill value of integers the marker of what is missing: every real zero is lost."""
    slices = [(cube * 4 - 40).astype("uint8") for cube in days(0, 1)]
    assert int((slices[0].chl == 0).sum()) == 1
    zapz.append(target, slices, variables={"chl": {"encoding": {"fill_value": 0}}}, zarr_version=version)
    assert_holds(target, joined(slices))


# -- labels ------------------------------------------------------------------------------------------------------------


@either_way
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_float_step(dtype: str, how: str, target: Path, tmp_path: Path) -> None:
    """0.1, 0.2, 0.3 differ by 0.1, but not in binary: within rounding is equal, and 0.31 is not."""
    labels = np.array([0.1, 0.2, 0.3, 0.4, 0.7], dtype)
    slices = [day(at, labels=[label]) for at, label in enumerate(labels)]
    zapz.append(target, given(how, slices[:4], tmp_path), append_step=0.1)
    assert_holds(target, joined(slices[:4]))
    refused(LabelError, "step", target, given(how, slices[4:], tmp_path), append_step=0.1)
    refused(LabelError, "step", target, given(how, [day(9, labels=np.array([0.51], dtype))], tmp_path), append_step=0.1)


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from kit import xcubes
import zapz
zapz.append({target!r}, [xcubes.day({start})], append_step="1D")
"""


@pytest.mark.parametrize("same", [pytest.param(True, id="same values"), pytest.param(False, id="other values")])
def test_duplicate_label_with_two_writers(same: bool, target: Path) -> None:
    """Another process appends the day while this one computes it; zappend has looked at the labels before, and appends it twice.

    The same day with the same values counts as appended; with other values it is refused.
    """
    zapz.append(target, days(0))

    @contextmanager
    def computed(cube: xr.Dataset) -> Iterator[xr.Dataset]:
        words = {"tests": str(TESTS), "target": str(target), "start": 1}
        subprocess.run([sys.executable, "-c", WRITER.format(**words)], check=True, timeout=60)
        yield cube

    mine = day(1) if same else day(1) + 1
    if same:
        report = zapz.append(target, [mine], slice_source=computed, append_step="1D")
        assert (report.appended, report.already) == (0, 1)
    else:
        with pytest.raises(LabelError, match="2024-01-02"):
            zapz.append(target, [mine], slice_source=computed, append_step="1D")
    assert_holds(target, joined(days(0, 1)))


# -- places ------------------------------------------------------------------------------------------------------------


@either_way
def test_trailing_slash(how: str, target: Path, tmp_path: Path) -> None:
    """Of the target and of slices."""
    slices = [item if how == "in memory" else f"{item}/" for item in given(how, days(0, 1), tmp_path)]
    zapz.append(f"{target}/", slices[:1])
    zapz.append(f"{target}//", slices[1:])
    assert_holds(target, joined(days(0, 1)))
    assert [name for name in tree(tmp_path) if ".lock" in name or ".zapz" in name] == []


@either_way
@pytest.mark.parametrize("broken", [pytest.param(True, id="broken slice"), pytest.param(False, id="good slice")])
def test_failing_creation_in_a_folder_with_other_files(broken: bool, how: str, target: Path, tmp_path: Path) -> None:
    """zappend's way back is to delete the folder, with all that it holds."""
    (target / "photos").mkdir(parents=True)
    (target / "photos" / "sea.jpg").write_bytes(b"the only copy")
    (target / "notes.txt").write_text("mine")
    slices = given(how, days(0), tmp_path)
    if broken and how == "in memory":
        slices = [failing(day(0))]
    refused(FormatError, "photos|notes|other files|no Zarr|not .*Zarr", target, slices)


def test_failing_creation_leaves_an_empty_folder_empty(target: Path) -> None:
    target.mkdir()
    with pytest.raises((ZapzError, OSError), match="the disk of the slice is broken"):
        zapz.append(target, [failing(day(0))])
    assert (target.is_dir(), tree(target)) == (True, {})


def test_failing_creation_leaves_nothing(target: Path, tmp_path: Path) -> None:
    with pytest.raises((ZapzError, OSError), match="the disk of the slice is broken"):
        zapz.append(target, [failing(day(0))])
    assert tree(tmp_path) == {}


@either_way
def test_failing_append_leaves_the_target(how: str, target: Path, tmp_path: Path) -> None:
    """Byte for byte; zappend restores it too, as long as nothing happens to its temporary folder."""
    zapz.append(target, given(how, [day(0, 3)], tmp_path), variables={"chl": {"encoding": {"chunks": [2, 2, 3]}}})
    before = tree(tmp_path)
    with pytest.raises((ZapzError, OSError), match="the disk of the slice is broken"):
        zapz.append(target, [failing(day(3, 2))])
    assert tree(tmp_path) == before


@either_way
def test_re_run_after_a_failure(how: str, target: Path, tmp_path: Path) -> None:
    """The same command once more, the cause removed: zappend appends once more what it had appended before the failure."""
    slices = given(how, days(0, 1, 2), tmp_path)
    with pytest.raises((ZapzError, OSError), match="the disk of the slice is broken"):
        zapz.append(target, [*slices[:2], failing(day(2))])
    assert_holds(target, joined(days(0, 1)))
    report = zapz.append(target, slices)
    assert (report.already, report.appended) == (2, 1)
    assert_holds(target, joined(days(0, 1, 2)))


@pytest.mark.parametrize("fails", [pytest.param(True, id="failing append"), pytest.param(False, id="good append")])
def test_temporary_folder_wiped(fails: bool, target: Path, tmp_path: Path) -> None:
    """Somebody cleans up while the append runs: zappend can neither go back nor end, and leaves half a slice and its lock."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    zapz.append(target, [day(0, 3)], temp_dir=str(scratch))
    before = tree(target)

    def wipe() -> None:
        subprocess.run(["rm", "-rf", *map(str, scratch.iterdir())], check=True)

    if fails:
        with pytest.raises((ZapzError, OSError), match="the disk of the slice is broken"):
            zapz.append(target, [failing(day(3, 2), before=wipe)], temp_dir=str(scratch))
        assert tree(target) == before
    else:
        wiped = day(3, 2).chunk(time=1).map_blocks(lambda cube: wipe() or cube, template=day(3, 2).chunk(time=1))
        zapz.append(target, [wiped], temp_dir=str(scratch))
        assert_holds(target, joined([day(0, 3), day(3, 2)]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "target.zarr"]


def test_force_new_keeps_the_old_target_if_the_first_slice_fails(target: Path, tmp_path: Path) -> None:
    """zappend has deleted it by then."""
    zapz.append(target, days(0))
    before = tree(tmp_path)
    with pytest.raises((ZapzError, OSError), match="the disk of the slice is broken"):
        zapz.append(target, [failing(day(5))], force_new=True)
    assert tree(tmp_path) == before
    zapz.append(target, days(5), force_new=True)
    assert_holds(target, day(5))


# -- security ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("permit_eval", [pytest.param(True, id="permitted"), pytest.param(False, id="not permitted")])
@pytest.mark.parametrize(
    "expression",
    [
        "__import__('pathlib').Path({place!r}).touch()",
        "open({place!r}, 'w').close()",
        "__builtins__['open']({place!r}, 'w').close()",
        "().__class__.__base__.__subclasses__()",
        "ds.time.__class__",
        "ds.__init__.__globals__",
        "[c for c in (1, 2)]",
        "(lambda: 1)()",
        "ds.to_zarr({place!r})",
        "lower_bound.__globals__",
        "exec('1')",
    ],
)
def test_expression_that_tries_to_reach_builtins(
    expression: str, permit_eval: bool, target: Path, tmp_path: Path
) -> None:
    """zappend evaluates it as Python. Here it is refused before anything is made, with or without a target."""
    text = "{{ " + expression.format(place=str(tmp_path / "reached")) + " }}"
    settings = {"attrs": {"evil": text}, "permit_eval": permit_eval}
    refused(ConfigError, "evil", target, days(0), **settings)
    assert tree(tmp_path) == {}
    zapz.append(target, days(0))
    refused(ConfigError, "evil", target, days(1), **settings)
    assert not (tmp_path / "reached").exists()
