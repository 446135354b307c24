"""What a refusal says can be done works when it is done to the letter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cubes import quiet, read, write_array, write_group

import zapz
from zapz.storage.filesystems import not_installed
from zapz.storage.objects.errors import advice, meaning


def _refused(target: Path, *slices: Any, **settings: Any) -> str:
    with pytest.raises(zapz.ZapzError) as caught:
        zapz.append(target, list(slices), **settings)
    return caught.value.hint


def _written(dataset: xr.Dataset, path: Path, **options: Any) -> Path:
    with quiet():
        dataset.to_zarr(path, zarr_format=3, **options)
    return path


def _remedies(target: Path, *slices: Any, **settings: Any) -> dict[str, Any]:
    """Return the settings that a refusal offers, as keyword arguments."""
    with pytest.raises(zapz.ZapzError) as caught:
        zapz.append(target, list(slices), **settings)
    found = dict(caught.value.remedies)
    for name in found:
        assert f"{name.partition('.')[0]}=" in caught.value.hint, "the hint says what each of them does"
    assert found
    return found


def _times(path: Path, value: Any, units: str, dtype: str) -> Path:
    write_group(path, zarr_format=3)
    write_array(path, "time", np.array([value], dtype), dims=["time"], zarr_format=3, attrs={"units": units})
    write_array(path, "v", np.ones((1, 3)), dims=["time", "x"], zarr_format=3)
    return path


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, "seconds since 1950-01-01", "i4"), (50001, "days since 1950-01-01", "i8")),
        ((10**9, "nanoseconds since 1970-01-01", "i8"), (1, "days since 2300-01-01", "i8")),
        ((1, "days since 2023-12-31", "i8"), (6, "hours since 2024-01-01", "i8")),
        ((0.0, "days since 2024-01-01", "f4"), (100000001, "seconds since 2024-01-01", "i8")),
    ],
)
def test_times_that_the_target_cannot_hold(
    tmp_path: Path, first: tuple[Any, str, str], second: tuple[Any, str, str]
) -> None:
    slices = [_times(tmp_path / "0", *first), _times(tmp_path / "1", *second)]
    zapz.append(tmp_path / "t", slices, **_remedies(tmp_path / "t", *slices))
    with xr.open_zarr(tmp_path / "t", decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)) as found:
        assert len(set(found.time.values.tolist())) == 2


def test_lead_times_in_coarser_units(tmp_path: Path) -> None:
    paths = [
        _written(
            xr.Dataset({"a": (("step", "x"), np.ones((1, 3)))}, {"step": np.array([h], "m8[h]").astype("m8[ns]")}),
            tmp_path / f"{h}",
        )
        for h in (0, 24, 27)
    ]
    found = _remedies(tmp_path / "t", *paths, append_dim="step", label_units="keep")
    zapz.append(tmp_path / "t", paths, append_dim="step", **found)
    with xr.open_zarr(tmp_path / "t", decode_timedelta=True) as found:
        assert (found.step.values / np.timedelta64(1, "h")).tolist() == [0, 24, 27]


def _day(i: int) -> xr.Dataset:
    return xr.Dataset({"v": (("time", "x"), np.full((1, 3), float(i))), "angle": ((), 10.0 + i)}, {"time": [i]})


def test_scalars_that_differ_per_slice(tmp_path: Path) -> None:
    paths = [_written(_day(i), tmp_path / f"{i}") for i in range(2)]
    hint = _refused(tmp_path / "t", *paths)
    assert hint.index("expand_dims") < hint.index("ignore"), "what loses data comes last"
    code = re.search(r'\(in xarray: (ds\["angle"\] = [^)]*\))\)', hint)
    assert code is not None
    later = []
    for i in range(2):
        scope = {"ds": _day(i)}
        exec(code[1], scope)
        later.append(_written(scope["ds"], tmp_path / f"later{i}"))
    zapz.append(tmp_path / "t", later, force_new=True)
    assert read(tmp_path / "t")["angle"].tolist() == [10.0, 11.0]


def test_another_append_dimension(tmp_path: Path) -> None:
    slice_ = _written(xr.Dataset({"a": (("depth", "x"), np.ones((2, 3)))}), tmp_path / "s")
    assert zapz.append(tmp_path / "t", slice_, **_remedies(tmp_path / "t", slice_)).appended == 1


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_without_dimension_names(tmp_path: Path, zarr_format: int) -> None:
    with quiet():
        zarr.open_group(tmp_path / "s", mode="w", zarr_format=zarr_format).create_array(
            "img", data=np.ones((3, 4, 4), "u2")
        )
    hint = _refused(tmp_path / "t", tmp_path / "s")
    code = re.search(r"example: (.*)\.$", hint)
    assert code is not None
    with quiet():
        exec(code[1], {"zarr": zarr, "PATH": str(tmp_path / "s")})
    assert zapz.append(tmp_path / "t", tmp_path / "s").length == 3


def test_groups_with_lengths_of_their_own(tmp_path: Path) -> None:
    tree = {
        f"/sweep{n}": xr.Dataset({"a": (("time", "x"), np.ones((n + 1, 3)))}, {"time": np.arange(n + 1)})
        for n in (1, 2)
    }
    with quiet():
        xr.DataTree.from_dict(tree).to_zarr(tmp_path / "s", zarr_format=3)
    hint = _refused(tmp_path / "t", tmp_path / "s")
    place = re.search(r"\(SLICE/(\w+)\)", hint)
    assert place is not None
    assert zapz.append(tmp_path / "t1", tmp_path / "s" / place[1]).length == 2
    assert zapz.append(tmp_path / "t2", tmp_path / "s", **_remedies(tmp_path / "t2", tmp_path / "s")).length == 2


def test_a_tree_with_lengths_of_its_own_as_target(tmp_path: Path) -> None:
    tree = {f"/g{n}": xr.Dataset({"a": (("time", "x"), np.ones((n, 3)))}, {"time": np.arange(n)}) for n in (1, 2)}
    with quiet():
        xr.DataTree.from_dict(tree).to_zarr(tmp_path / "t", zarr_format=3)
    assert "its own target" in _refused(tmp_path / "t", _written(_day(9), tmp_path / "s"))


def test_an_archive_with_a_folder_in_it(tmp_path: Path) -> None:
    slice_ = _written(_day(1), tmp_path / "day.zarr")
    with zipfile.ZipFile(tmp_path / "day.zip", "w") as archive:
        for path in slice_.rglob("*"):
            archive.write(path, f"day.zarr/{path.relative_to(slice_)}")
    hint = _refused(tmp_path / "t", tmp_path / "day.zip")
    name = re.search(r"such as (\S+)\.$", hint)
    assert name is not None
    assert zapz.append(tmp_path / "t", name[1]).appended == 1


def test_a_folder_of_datasets(tmp_path: Path) -> None:
    (tmp_path / "days").mkdir()
    _written(_day(1), tmp_path / "days/one.zarr")
    name = re.search(r"such as (\S+)\.$", _refused(tmp_path / "t", tmp_path / "days"))
    assert name is not None
    assert zapz.append(tmp_path / "t", name[1]).appended == 1


# -- names


@pytest.mark.skipif(sys.platform == "darwin", reason="file names are UTF-8 on macOS")
@pytest.mark.parametrize("options", [[], ["--json"], ["--dry-run"]], ids=str)
def test_names_that_are_no_utf8(tmp_path: Path, options: list[str]) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe.zarr"
    _written(_day(1), tmp_path / "s")
    (tmp_path / "s").rename(os.fsdecode(name))
    command = [sys.executable, "-m", "zapz", "append", *options, os.fsencode(tmp_path) + b"/\xfd.zarr", name]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a\0b", " ", ""])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(zapz.SliceError):
        zapz.append(tmp_path / "t", [name])
    with pytest.raises(zapz.ConfigError):
        zapz.append(name, _day(1))
    assert list(tmp_path.iterdir()) == []


# -- services


class _ServiceError(Exception):
    """What botocore raises."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}, "Error": {"Code": code}}


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "SignatureDoesNotMatch", "credentials"),
        (403, "InvalidAccessKeyId", "credentials"),
        (404, "NoSuchBucket", "bucket"),
        (404, "NoSuchKey", ""),
        (403, "AccessDenied", ""),
    ],
)
def test_what_a_service_refuses_as_a_whole(status: int, code: str, expected: str) -> None:
    said = advice(_ServiceError(status, code))
    assert (expected in said) if expected else said == ""


@pytest.mark.parametrize(("status", "expected"), [(403, "failed"), (503, "again"), (404, "absent"), (None, "absent")])
def test_a_library_that_calls_every_answer_not_found(status: int | None, expected: str) -> None:
    """A wrong secret must not look like an empty bucket."""
    error = FileNotFoundError(None)
    error.__cause__ = None if status is None else _ServiceError(status, "")
    assert meaning(error) == expected


def test_every_error_is_exported() -> None:
    from zapz import errors

    kinds = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.ZapzError)
    }
    assert kinds <= set(zapz.__all__)
    assert all(getattr(zapz, name) is getattr(errors, name) for name in kinds)


SERVICES = [
    ("s3://bucket/cube.zarr", "s3fs", "s3"),
    ("gs://bucket/cube.zarr", "gcsfs", "gcs"),
    ("abfs://container/cube.zarr", "adlfs", "azure"),
    ("https://example.com/cube.zarr", "aiohttp", "http"),
    ("simplecache::s3://bucket/cube.zarr", "s3fs", "s3"),
    ("reference://::s3://bucket/set.json", "s3fs", "s3"),
]
WITHOUT_PACKAGES = """
import sys
sys.modules.update(dict.fromkeys(("s3fs", "gcsfs", "adlfs", "aiohttp")))
import zapz
for uri in sys.argv[1:]:
    try:
        zapz.info(uri)
    except zapz.ZapzError as error:
        print(type(error).__name__, error)
"""


def test_the_one_package_that_is_missing_is_named() -> None:
    """And the extra that brings it: fsspec names no extra, and for HTTP two packages."""
    command = [sys.executable, "-c", WITHOUT_PACKAGES, *(uri for uri, _, _ in SERVICES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = done.stdout.splitlines()
    assert len(said) == len(SERVICES), done.stdout
    for line, (uri, package, extra) in zip(said, SERVICES, strict=True):
        assert line.startswith("AbilityError a package for this type of storage is not installed, "), line
        assert uri in line
        assert line.endswith(f" Install it: `pip install {package}`; the extra zapz[{extra}] includes it.")


def test_a_package_without_an_extra() -> None:
    error = not_installed("sftp://host/cube", ImportError('SFTPFileSystem requires "paramiko" to be installed'))
    assert str(error).endswith(
        'found SFTPFileSystem requires "paramiko" to be installed. Install the packages that the message names.'
    )


def test_a_dimension_of_time_under_another_name(tmp_path: Path) -> None:
    """Of a target that has the dimension the slice is renamed; a new target may have its name."""
    day = xr.Dataset({"a": (("time", "x"), np.ones((1, 3)))}, {"time": np.array(["2025-01-01"], "M8[ns]")})
    other = day.assign_coords(time=day.time + np.timedelta64(1, "D")).rename(time="Time")
    zapz.append(tmp_path / "t", day)
    hint = _refused(tmp_path / "t", other)
    code = re.search(r"in xarray: (ds\.rename\(.*?\))\)", hint)
    assert code is not None, hint
    assert "append_dim" not in hint
    assert zapz.append(tmp_path / "t", eval(code[1], {"ds": other})).length == 2
    assert _remedies(tmp_path / "u", other) == {"append_dim": "Time"}
    assert zapz.append(tmp_path / "u", other, append_dim="Time").length == 1


@pytest.mark.parametrize("coords", [{"lat": ("lat", [1.0, 2.0]), "lon": ("lon", [1.0, 2.0, 3.0])}, {}])
def test_no_cube_grows_along_a_place(coords: dict[str, Any], tmp_path: Path) -> None:
    """Not by its name, and not by its coordinate."""
    names = ("lat", "lon") if coords else ("row", "column")
    coords = coords or {
        "row": ("row", [1.0, 2.0], {"standard_name": "projection_y_coordinate"}),
        "column": ("column", [1.0, 2.0, 3.0], {"units": "degrees_east"}),
    }
    slice_ = _written(xr.Dataset({"a": (names, np.ones((2, 3)))}, coords), tmp_path / "s")
    assert _remedies(tmp_path / "t", slice_) == {"append_label.from": "value:2025-01-06"}
