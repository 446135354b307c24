"""What is no Zarr is called by its name, and what a message says can be done about it works."""

from __future__ import annotations

import importlib.util
import re
import shlex
import uuid
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from kit.command_line import run

import zapz
from zapz.cli.demo import write_slice
from zapz.format.magic import BEGINNING, format_of

NETCDF_3 = b"CDF\x01\0\0\0\0" + bytes(24)  # no dimensions, attributes or variables: a whole file
HDF5 = b"\x89HDF\r\n\x1a\n\0\0\0\0"
FILES = {
    "NetCDF-3": [NETCDF_3, b"CDF\x02\0\0", b"CDF\x05\0\0"],
    "NetCDF-4": [HDF5, *(bytes(n) + HDF5 for n in (512, 1024, 2048, 4096, 8192))],
    "GRIB": [b"GRIB\0\0\x10\x01"],
    "TIFF": [b"II*\0\x08", b"MM\0*\0", b"II+\0\x08", b"MM\0+\0"],
    "JPEG 2000": [b"\0\0\0\x0cjP  \r\n\x87\n\0", b"\xff\x4f\xff\x51\0"],
    "HDF4": [b"\x0e\x03\x13\x01\0"],
    "Parquet": [b"PAR1\x15"],
    "gzip": [b"\x1f\x8b\x08\0"],
    "zstd": [b"\x28\xb5\x2f\xfd\0"],
    "tar": [bytes(257) + b"ustar\x0000"],
    "an empty file": [b""],
    "a file.": [b"CDF\x03", b"{}", bytes(511) + HDF5, b"GRI", b"II*"],
}
"""How files begin, by what a message calls them."""
CASES = [(name, data) for name, several in FILES.items() for data in several]


def refused(call: object, *arguments: object) -> zapz.ZapzError:
    with pytest.raises(zapz.FormatError, match="not a Zarr dataset") as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize(("name", "data"), CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)])
def test_a_file_is_called_by_its_format(tmp_path: Path, name: str, data: bytes) -> None:
    """As a slice, as a target, and to ``info``; nothing is made."""
    file = tmp_path / "day.bin"
    file.write_bytes(data)
    slice_ = tmp_path / "slice.zarr"
    write_slice(slice_, 0)
    for call, arguments in (
        (zapz.append, (tmp_path / "cube.zarr", file)),
        (zapz.append, (file, slice_)),
        (zapz.info, (file,)),
    ):
        error = refused(call, *arguments)
        assert name in f"{error.found}."
        assert str(file) in error.where
    assert {path.name for path in tmp_path.iterdir()} == {"day.bin", "slice.zarr"}
    assert file.read_bytes() == data


@given(st.binary(max_size=3 * BEGINNING))
def test_any_bytes_are_of_one_format_or_none(data: bytes) -> None:
    found = format_of(data)
    assert found is None or found.name


def test_an_object_is_called_by_its_format(tmp_path: Path) -> None:
    place = f"memory://{uuid.uuid4().hex}"
    fs = fsspec.filesystem("memory")
    fs.pipe_file(f"{place}/day.nc", HDF5)
    fs.pipe_file(f"{place}/folder/day.nc", NETCDF_3)
    write_slice(tmp_path / "slice.zarr", 0)
    for call, arguments in (
        (zapz.append, (f"{place}/cube.zarr", f"{place}/day.nc")),
        (zapz.append, (f"{place}/day.nc", tmp_path / "slice.zarr")),
        (zapz.info, (f"{place}/day.nc",)),
    ):
        assert "NetCDF-4" in refused(call, *arguments).found
    assert "copy it" in refused(zapz.info, f"{place}/day.nc").hint
    error = refused(zapz.info, f"{place}/folder")
    assert "day.nc, a NetCDF-3 file" in error.found
    assert f"{place}/folder/day.nc" not in error.where
    with pytest.raises(zapz.NotFoundError):
        zapz.append(f"{place}/cube.zarr", f"{place}/none.nc")


def test_a_folder_of_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / ".zapz").mkdir(parents=True)
    (folder / "cube.zarr.zapz").mkdir()
    assert refused(zapz.info, folder).found == "nothing"
    (folder / "README").write_text("days")
    assert refused(zapz.info, folder).found == "README"
    for day in range(3):
        (folder / f"day{day}.nc").write_bytes(NETCDF_3)
    error = refused(zapz.info, folder)
    assert error.found == "a folder with day0.nc, a NetCDF-3 file, and 2 more"
    assert f"{folder}/*.nc" in error.hint
    write_slice(folder / "slice.zarr", 0)
    assert f"{folder}/slice.zarr" in refused(zapz.info, folder).hint


def test_a_document_is_not_its_dataset(tmp_path: Path) -> None:
    write_slice(tmp_path / "slice.zarr", 0)
    error = refused(zapz.append, tmp_path / "cube.zarr", tmp_path / "slice.zarr" / ".zgroup")
    assert zapz.append(tmp_path / "cube.zarr", error.hint.rpartition(" ")[2]).appended == 1


def test_an_archive_by_another_name(tmp_path: Path) -> None:
    write_slice(tmp_path / "slice.zarr", 0)
    with zipfile.ZipFile(tmp_path / "slice.bin", "w") as archive:
        for file in (tmp_path / "slice.zarr").rglob("*"):
            archive.write(file, file.relative_to(tmp_path / "slice.zarr"))
    error = refused(zapz.append, tmp_path / "cube.zarr", tmp_path / "slice.bin")
    assert zapz.append(tmp_path / "cube.zarr", error.hint.rpartition(" ")[2]).appended == 1


def test_a_slice_source_that_returns_a_path(tmp_path: Path) -> None:
    (tmp_path / "day.nc").write_bytes(NETCDF_3)
    with pytest.raises(zapz.FormatError) as caught:
        zapz.append(tmp_path / "cube.zarr", tmp_path / "day.nc", slice_source=lambda path: path)
    assert "It must return the opened dataset" in caught.value.hint


@pytest.mark.parametrize("kind", ["NETCDF3_64BIT", "NETCDF4"])
def test_the_remedy_for_netcdf_works(tmp_path: Path, kind: str) -> None:
    """Both ways that the message names are followed to the letter."""
    readers = [("netCDF4",), ("scipy",)] if kind == "NETCDF3_64BIT" else [("netCDF4",), ("h5netcdf", "h5py")]
    if not any(all(map(importlib.util.find_spec, needed)) for needed in readers):
        pytest.skip(f"neither {' nor '.join(' with '.join(needed) for needed in readers)} is installed")
    days = [np.datetime64("2025-01-01", "ns") + np.timedelta64(day, "D") for day in range(2)]
    values = np.arange(12, dtype="f4").reshape(2, 2, 3)
    for day, path in enumerate(paths := [tmp_path / f"day{day}.nc" for day in range(2)]):
        found = xr.Dataset({"sst": (("time", "lat", "lon"), values[day : day + 1])}, {"time": days[day : day + 1]})
        found.to_netcdf(path, format=kind)
    remedies = refused(zapz.append, tmp_path / "python.zarr", paths[0]).remedies
    assert "slice_source='xarray:open_dataset'" in refused(zapz.append, tmp_path / "python.zarr", paths[0]).hint
    zapz.append(tmp_path / "python.zarr", paths, **remedies)
    code, _, message = run("append", tmp_path / "cube.zarr", *paths)
    flags = re.search(r"with `(--set [^`]+)`", message)
    assert (code, flags is None) == (4, False)
    assert run("append", *shlex.split(flags[1]), tmp_path / "cube.zarr", *paths)[0] == 0  # type: ignore[index]
    for target in ("python.zarr", "cube.zarr"):
        with xr.open_zarr(tmp_path / target) as made:
            assert made.time.values.tolist() == np.array(days).tolist()
            assert np.array_equal(made.sst.values, values)


# -- patterns ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", ["2026-*.zarr", "day?.zarr", "day[0-9].zarr"])
def test_a_pattern_that_matched_nothing(tmp_path: Path, pattern: str) -> None:
    code, _, message = run("append", tmp_path / "cube.zarr", tmp_path / pattern)
    assert code == 6
    assert f"no such slice, {tmp_path}/{pattern}. The pattern matched nothing" in message
    for each in ("2026-01-01.zarr", "day1.zarr"):
        (tmp_path / each).mkdir()
    _, _, message = run("append", tmp_path / "cube.zarr", tmp_path / pattern)
    assert "Remove the quotation marks" in message


@pytest.mark.parametrize(
    ("uri", "says"), [("memory://bucket/2026-*.zarr", True), ("memory://bucket/a.zarr?x=[1]", False)]
)
def test_a_pattern_of_uris(tmp_path: Path, uri: str, says: bool) -> None:
    with pytest.raises(zapz.NotFoundError) as caught:
        zapz.append(tmp_path / "cube.zarr", uri)
    assert ("Name every slice" in caught.value.hint) is says


def test_a_slice_that_is_not_there_is_no_pattern(tmp_path: Path) -> None:
    with pytest.raises(zapz.NotFoundError) as caught:
        zapz.append(tmp_path / "cube.zarr", tmp_path / "day.zarr")
    assert caught.value.hint == "Check the path."
