"""May this slice follow this target? Every row of the table, with its default and its settings; xarray is the oracle.

After an accepted append, ``xarray.open_zarr(target)`` equals ``xarray.concat`` of the slices as xarray reads them. A refusal has the
documented type and exit code, names slice, variable, expected and found, and leaves every byte in the folder as it was.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from kit.cf_cubes import (
    CROSSED,
    FAST,
    GAPS,
    cf_cube,
    check,
    cube,
    encoded,
    joined,
    opened,
    quiet,
    refused,
    started,
    two,
    with_values,
    write,
)
from kit.cubes import write_array, write_group
from kit.trees import NOTHING, tree

import zapz
from zapz import errors

# --- helpers, also for test_labels and test_create ---------------------------------------------------------------------


# --- what is accepted --------------------------------------------------------------------------------------------------

Pair = tuple[xr.Dataset, xr.Dataset]


ACCEPTED: dict[str, Callable[[], Pair]] = {
    "each day is 0 days since that day": lambda: (cube(0, 1), cube(1, 1)),
    "hours into days": lambda: (cube(), cube(2, units="hours since 2024-01-01")),
    "nanoseconds into days": lambda: (cube(), cube(2, units="nanoseconds since 1970-01-01")),
    "days into seconds": lambda: (cube(units="seconds since 1970-01-01"), cube(2)),
    "days into float hours": lambda: (cube(units="hours since 2000-01-01", dtype="f8"), cube(2)),
    "float days into integer hours": lambda: (cube(units="hours since 2000-01-01"), cube(2, dtype="f8")),
    "half days into float days": lambda: (cube(dtype="f8"), cube(5, units="hours since 2024-01-05 18:00")),
    "unsigned and small time": lambda: (cube(dtype="i4"), cube(2, dtype="u2", units="days since 2023-12-31")),
    "standard into proleptic": lambda: (cube(), cube(2, calendar="standard")),
    "proleptic into gregorian": lambda: (cube(calendar="gregorian"), cube(2, units="hours since 2023-05-05")),
    "time zone": lambda: (cube(), cube(2, units="hours since 2024-01-02T02:00:00+02:00")),
    "noleap": lambda: (cf_cube("noleap", (2000, 2, 27), 2, "days since 2000-01-01"), cf_cube("noleap", (2000, 3, 1), 2, "hours since 2000-02-28")),
    "all_leap": lambda: (cf_cube("all_leap", (2001, 2, 28), 2, "days since 2001-01-01"), cf_cube("all_leap", (2001, 3, 1), 2, "seconds since 2001-02-29")),
    "360_day": lambda: (cf_cube("360_day", (2000, 2, 29), 2, "days since 2000-02-30"), cf_cube("360_day", (2000, 3, 1), 3, "days since 2000-03-01", "f8")),
    "julian": lambda: (cf_cube("julian", (1500, 2, 28), 2, "days since 1500-01-01"), cf_cube("julian", (1500, 3, 1), 2, "days since 1500-03-01")),
    "other chunks": lambda: (encoded(cube(0, 3), chunks=(2, 3)), encoded(cube(3, 4), chunks=(3, 1))),
    "other length": lambda: (cube(0, 1), cube(1, 7)),
    "gap": lambda: (cube(0, 2), cube(100, 2)),
    "big endian": lambda: (cube(), encoded(cube(2), dtype=">f4")),
    "float32 into float64": lambda: (encoded(cube(), dtype="f8"), cube(2)),
    "int16 into float32": lambda: (cube(), with_values(cube(2), np.arange(6, dtype="i2").reshape(2, 3))),
    "uint8 into int32": lambda: (
        with_values(cube(), np.full((2, 3), -70000, "i4")),
        with_values(cube(2), np.full((2, 3), 255, "u1")),
    ),
    "float32 into complex": lambda: (with_values(cube(), np.full((2, 3), 1 + 2j)), cube(2)),
    "another marker": lambda: (
        encoded(with_values(cube(), GAPS), _FillValue=-1.0),
        encoded(with_values(cube(2), GAPS), _FillValue=-999.0),
    ),
    "nan into a marker": lambda: (encoded(with_values(cube(), GAPS), _FillValue=-1.0), with_values(cube(2), GAPS)),
    "a marker into nan": lambda: (with_values(cube(), GAPS), encoded(with_values(cube(2), GAPS), _FillValue=-1.0)),
    "integer markers": lambda: (
        encoded(with_values(cube(), GAPS), _FillValue=-1, dtype="i2"),
        encoded(with_values(cube(2), GAPS), _FillValue=77, dtype="i1"),
    ),
    "marker and missing_value": lambda: (
        encoded(with_values(cube(), GAPS), _FillValue=-1.0),
        encoded(with_values(cube(2), GAPS), missing_value=-5.0, _FillValue=-5.0),
    ),
    "packed into float": lambda: (
        cube(),
        encoded(with_values(cube(2), GAPS), dtype="i2", scale_factor=0.5, add_offset=1.0, _FillValue=-3),
    ),
    "float into packed": lambda: (
        encoded(with_values(cube(), GAPS), dtype="i2", scale_factor=0.5, add_offset=1.0, _FillValue=-3),
        with_values(cube(2), GAPS),
    ),
    "packed otherwise": lambda: (
        encoded(with_values(cube(), GAPS), dtype="i2", scale_factor=0.25, add_offset=-4.0, _FillValue=-32768),
        encoded(with_values(cube(2), GAPS), dtype="u1", scale_factor=0.5, add_offset=1.0, _FillValue=255),
    ),
    "negative scale": lambda: (
        encoded(with_values(cube(), GAPS), dtype="i2", scale_factor=-0.25, _FillValue=-1),
        encoded(with_values(cube(2), GAPS), dtype="i4", scale_factor=0.5, _FillValue=-1),
    ),
    "integers of another offset": lambda: (
        encoded(with_values(cube(), GAPS), dtype="i4", _FillValue=-1),
        encoded(with_values(cube(2), GAPS), dtype="i2", add_offset=100.0, _FillValue=-1),
    ),
    "longer text in the target": lambda: (
        cube().assign(t=("time", np.array(["a", "longer"]))),
        cube(2).assign(t=("time", np.array(["é", "漢字"]))),
    ),
    "text of any length": lambda: (
        cube().assign(t=("time", np.array(["a", ""], object))),
        cube(2).assign(t=("time", np.array(["é" * 99, "b"], object))),
    ),
    "bytes": lambda: (
        cube().assign(t=("time", np.array([b"abc", b""]))),
        cube(2).assign(t=("time", np.array([b"d", b"ef"]))),
    ),
    "bool": lambda: (cube().assign(t=("time", [True, False])), cube(2).assign(t=("time", [False, False]))),
    "timedelta": lambda: (
        cube().assign(t=("time", np.array([1, 2], "m8[h]").astype("m8[ns]"))),
        cube(2).assign(t=("time", np.array([5, 7], "m8[h]").astype("m8[ns]"))),
    ),
    "a time that is no label": lambda: (
        cube().assign(made=("time", np.array(["2024-02-01", "NaT"], "M8[ns]"))),
        cube(2).assign(made=("time", np.array(["2024-02-05", "2024-02-07"], "M8[ns]"))),
    ),
    "a time with a marker": lambda: (
        encoded(cube(), "time", _FillValue=np.int64(-9)),
        encoded(cube(2), "time", _FillValue=np.int64(-7)),
    ),
    "scalar variable": lambda: (cube().assign(crs=7), cube(2).assign(crs=7)),
    "static variable absent": lambda: (cube(), cube(2).drop_vars("mask")),
    "coordinate absent": lambda: (cube(), cube(2).drop_vars("x")),
    "static variable of another type": lambda: (cube(), encoded(cube(2), "mask", dtype="f4")),
    "static variable packed": lambda: (cube(), encoded(cube(2), "mask", dtype="i2", scale_factor=0.5, _FillValue=-1)),
    "static variable with gaps": lambda: (
        encoded(with_values(cube(), [1, np.nan, 2], "mask", ("x",)), "mask", _FillValue=-1.0),
        encoded(with_values(cube(2), [1, np.nan, 2], "mask", ("x",)), "mask", _FillValue=-2.0),
    ),
    "static variable of other chunks": lambda: (encoded(cube(), "mask", chunks=(2,)), encoded(cube(2), "mask", chunks=(1,))),
    "bounds without units": lambda: tuple(
        cube(n).assign(time_bnds=(("time", "nv"), np.stack([cube(n).time.values, cube(n + 1).time.values], 1))).assign_coords(
            time=cube(n).time.assign_attrs(bounds="time_bnds")
        )
        for n in (0, 2)
    ),
    "append axis is not the first": lambda: (cube().transpose("x", "time"), cube(2).transpose("x", "time")),
    "dimension without labels": lambda: (cube().drop_vars("time"), cube().drop_vars("time")),
    "dimension of length 0": lambda: (
        cube().assign(z=(("time", "n"), np.zeros((2, 0)))),
        cube(2).assign(z=(("time", "n"), np.zeros((2, 0)))),
    ),
    "odd names": lambda: tuple(
        xr.Dataset({name: ("time", np.arange(2.0) + n) for name in ("0", "c", "µ °C", "漢", "a b", "zarr", "%2F", "v.0", "~")}, {"time": cube(2 * n).time})
        for n in (0, 1)
    ),
    "names in either Unicode form": lambda: tuple(
        xr.Dataset({"caf\u00e9": ("time", [1.0]), "cafe\u0301": ("time", [2.0])}, {"time": cube(n, 1).time}) for n in (0, 1)
    ),
    "dimension with the name of a variable of two dimensions": lambda: tuple(
        cube(2 * n).rename(x="lat").drop_vars("lat").assign(lon=(("lat", "time"), np.ones((3, 2)) * n)) for n in (0, 1)
    ),
    "attributes with NaN": lambda: tuple(
        cube(n).assign(v=cube(n).v.assign_attrs(valid_min=float("nan"), most=float("inf"))) for n in (0, 2)
    ),
    "a single number per step": lambda: (cube().drop_vars(["v", "mask", "x"]).assign(n=("time", [1, 2])), cube(2).drop_vars(["v", "mask", "x"]).assign(n=("time", [3, 4]))),
    "many dimensions": lambda: tuple(
        cube(n).assign(deep=(("a", "time", "b", "c", "d"), np.arange(2 * 2 * 1 * 3 * 2.0).reshape(2, 2, 1, 3, 2) + n)) for n in (0, 2)
    ),
}  # fmt: skip


UNCLEAR = {"another marker", "a marker into nan", "marker and missing_value", "static variable with gaps"}
"""In v2 these markers are fill values that no attribute calls missing, as xarray writes them: a setting says how they are read."""


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepted(case: str, here: Path) -> None:
    first, second = ACCEPTED[case]()
    read_as = {"v2_fill_value": "missing"} if case in UNCLEAR else {}
    paths = {(n, f): write(here / f"{n}-v{f}.zarr", (first, second)[n], f) for n in (0, 1) for f in (2, 3)}
    expected = joined([paths[0, 2], paths[1, 3]])
    formats_of_this_case = [*CROSSED, (2, 2)] if list(ACCEPTED).index(case) % 2 else [(2, 3), (3, 3)]
    for formats in formats_of_this_case:
        target = here / f"cube-v{formats[0]}-from-v{formats[1]}.zarr"
        slices = [paths[0, formats[0]], paths[1, formats[1]]]
        report = zapz.append(target, slices, **FAST, **read_as)
        assert report.appended == 2
        assert report.length == first.sizes["time"] + second.sizes["time"]
        found = opened(target, consolidated=formats in CROSSED)
        xr.testing.assert_equal(found, expected)
        for name, variable in expected.variables.items():
            assert found[name].dims == variable.dims
        if "time" in first.variables and formats != (3, 2):
            before = tree(target)
            again = zapz.append(target, slices, **FAST, **read_as)
            assert (again.appended, again.already) == (0, 2), "running it again is not the same"
            assert tree(target) == before


@pytest.mark.parametrize("formats", CROSSED)
def test_values_are_rounded_to_half_a_quantum(formats: tuple[int, int], here: Path) -> None:
    first = encoded(cube(), dtype="i2", scale_factor=0.1, add_offset=20.0, _FillValue=-32768)
    second = with_values(cube(2), np.random.default_rng(1).uniform(-100, 100, (2, 3)))
    target, slices = two(here, formats, first, second)
    zapz.append(target, slices, **FAST)
    found, expected = opened(target), joined(slices)
    assert float(np.abs(found.v - expected.v).max()) <= 0.05 + 1e-5


def test_shards(here: Path) -> None:
    first = encoded(cube(0, 5), chunks=(1, 3), shards=(4, 3))
    target, slices = two(here, (3, 3), first, encoded(cube(5, 6), chunks=(2, 1), shards=(4, 3)))
    slices.append(write(here / "third.zarr", cube(11, 3), 2))
    zapz.append(target, slices, **FAST)
    check(target, slices)


@pytest.mark.parametrize("formats", CROSSED)
def test_consolidated_or_not(formats: tuple[int, int], here: Path) -> None:
    target = here / "cube.zarr"
    slices = [write(here / f"{n}.zarr", cube(2 * n), formats[n % 2], consolidated=n != 1) for n in range(3)]
    zapz.append(target, slices, **FAST)
    check(target, slices)


def test_long_slice(here: Path) -> None:
    labels = np.arange(200_000, dtype="i8")
    for name, start in (("a", 0), ("b", 200_000)):
        write_group(here / name, zarr_format=3)
        for variable in ("time", "n"):
            write_array(here / name, variable, labels + start, zarr_format=3, dims=["time"], chunks=[50_000])
    report = zapz.append(here / "cube", [here / "a", here / "b"], **FAST)
    assert report.length == 400_000
    with quiet():
        group = zarr.open_group(here / "cube", mode="r")
        np.testing.assert_array_equal(group["n"][...], np.arange(400_000))
    assert zapz.append(here / "cube", [here / "a", here / "b"], **FAST).already == 2


# --- differing attributes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formats", CROSSED)
def test_attributes_of_variables_stay_and_differences_are_reported(formats: tuple[int, int], here: Path) -> None:
    second = cube(2)
    second.v.attrs = {"long_name": "something else", "history": "new"}
    target, slices = two(here, formats, cube(), second)
    report = zapz.append(target, slices, **FAST)
    check(target, slices)
    assert opened(target).v.attrs == {"long_name": "a value"}
    notes = " ".join(report.slices[1].notes)
    assert "long_name of v" in notes
    assert "history of v" in notes


def test_equal_attributes_are_not_reported(here: Path) -> None:
    target, slices = two(here, (2, 3), ACCEPTED["attributes with NaN"]()[0], ACCEPTED["attributes with NaN"]()[1])
    assert zapz.append(target, slices, **FAST).slices[1].notes == ()


@pytest.mark.parametrize("name", ["coordinates", "grid_mapping"])
def test_differing_roles_are_reported(name: str, here: Path) -> None:
    first, second = cube(), cube(2)
    first.v.attrs[name], second.v.attrs[name] = "mask", "x"
    if name == "coordinates":
        first.v.encoding, second.v.encoding = {}, {}
    target, slices = two(here, (2, 2), first, second)
    notes = zapz.append(target, slices, **FAST).slices[1].notes
    assert any(f"{name} of v" in note for note in notes)


# --- what is refused ------------------------------------------------------------------------------------------------------

Refusal = tuple[Callable[[], Pair], type[errors.ZapzError], tuple[str, ...]]


def text_cube(start: int, values: Sequence[Any]) -> xr.Dataset:
    return cube(start).assign(t=("time", np.asarray(values)))


REFUSED: dict[str, Refusal] = {
    "variable missing": (lambda: (cube(), cube(2).drop_vars("v")), errors.VariableError, ("v", "on_missing")),
    "labels missing": (lambda: (cube(), cube(2).drop_vars("time")), errors.VariableError, ("time", "on_missing")),
    "variable too many": (
        lambda: (cube(), cube(2).assign(extra=("time", [1, 2]))),
        errors.VariableError,
        ("extra", "excluded_variables", "on_extra"),
    ),
    "static variable differs": (
        lambda: (cube(), with_values(cube(2), [0.5, 1.5, 2.75], "mask", ("x",))),
        errors.VariableError,
        ("mask", "2.5", "2.75", "largest difference 0.25", "static"),
    ),
    "coordinate differs by rounding": (
        lambda: (cube(), cube(2).assign_coords(x=[10.0, 20.0, np.nextafter(30.0, 31)])),
        errors.VariableError,
        ("second.zarr, x", "30.0", "largest difference", "tolerance"),
    ),
    "static variable has a gap": (
        lambda: (cube(), with_values(cube(2), [0.5, np.nan, 2.5], "mask", ("x",))),
        errors.VariableError,
        ("mask", "1.5", "nan"),
    ),
    "static variable lacks a gap": (
        lambda: (with_values(cube(), [0.5, np.nan, 2.5], "mask", ("x",)), cube(2)),
        errors.VariableError,
        ("mask", "1.5", "nan"),
    ),
    "scalar differs": (lambda: (cube().assign(crs=7), cube(2).assign(crs=8)), errors.VariableError, ("crs", "7", "8")),
    "static text differs": (
        lambda: (cube().assign(n=("x", list("abc"))), cube(2).assign(n=("x", list("abd")))),
        errors.VariableError,
        ("second.zarr, n", "c", "d"),
    ),
    "other size": (lambda: (cube(), cube(2).isel(x=[0, 1])), errors.DimensionError, ("'x'", "3", "2")),
    "other dimension": (
        lambda: (cube(), cube(2).rename(x="z").drop_vars(["z", "mask"])),
        errors.DimensionError,
        ("second.zarr, v", "(time, x)", "(time, z)"),
    ),
    "other order of dimensions": (
        lambda: (cube(), cube(2).transpose("x", "time")),
        errors.DimensionError,
        ("second.zarr, v", "(time, x)", "(x, time)"),
    ),
    "fewer dimensions": (lambda: (cube(), cube(2).assign(v=("time", [1.0, 2.0]))), errors.DimensionError, ("second.zarr, v", "(time, x)", "(time)")),
    "static variable now per step": (
        lambda: (cube(), cube(2).assign(mask=(("time", "x"), np.ones((2, 3))))),
        errors.DimensionError,
        ("mask", "(x)", "(time, x)"),
    ),
    "variable now static": (
        lambda: (cube(), cube(2).assign(v=("x", np.ones(3)))),
        errors.DimensionError,
        ("second.zarr, v", "(time, x)", "(x)"),
    ),
    "no append dimension": (lambda: (cube(), cube(2).isel(time=0, drop=True)), errors.DimensionError, ("'time'", "x", "expand_dims", "append_label")),
    "float64 into float32": (
        lambda: (cube(), encoded(cube(2), dtype="f8")),
        errors.DTypeError,
        ("second.zarr, v", "float32", "float64"),
    ),
    "int64 into int32": (
        lambda: (with_values(cube(), np.ones((2, 3), "i4")), with_values(cube(2), np.ones((2, 3), "i8"))),
        errors.DTypeError,
        ("second.zarr, v", "int32", "int64"),
    ),
    "int32 into float32": (
        lambda: (cube(), with_values(cube(2), np.ones((2, 3), "i4"))),
        errors.DTypeError,
        ("second.zarr, v", "float32", "int32"),
    ),
    "uint8 into int8": (
        lambda: (with_values(cube(), np.ones((2, 3), "i1")), with_values(cube(2), np.ones((2, 3), "u1"))),
        errors.DTypeError,
        ("second.zarr, v", "int8", "uint8"),
    ),
    "float into integer": (
        lambda: (with_values(cube(), np.ones((2, 3), "i4")), cube(2)),
        errors.DTypeError,
        ("second.zarr, v", "int32", "float32"),
    ),
    "complex into float": (
        lambda: (cube(), with_values(cube(2), np.ones((2, 3), "c8"))),
        errors.DTypeError,
        ("second.zarr, v", "float32", "complex64"),
    ),
    "text into number": (
        lambda: (cube(), with_values(cube(2), np.full((2, 3), "1"))),
        errors.DTypeError,
        ("second.zarr, v", "float32", "U1"),
    ),
    "longer text": (lambda: (text_cube(0, ["a", "b"]), text_cube(2, ["a", "bcd"])), errors.EncodingError, ("second.zarr, t", "U1", "bcd")),
    "bytes into text": (lambda: (text_cube(0, ["a", "b"]), text_cube(2, [b"a", b"b"])), errors.DTypeError, ("second.zarr, t",)),
    "marker as a value": (
        lambda: (
            encoded(with_values(cube(), GAPS), _FillValue=-1.0),
            with_values(cube(2), [[1.0, -1.0, 2.0], [3.0, 4.0, 5.0]]),
        ),
        errors.EncodingError,
        ("second.zarr, v", "-1.0", "(0, 1)", "_FillValue"),
    ),
    "packed marker as a value": (
        lambda: (
            encoded(with_values(cube(), GAPS), dtype="i2", scale_factor=0.5, _FillValue=-1),
            with_values(cube(2), [[1.0, 2.0, 2.0], [3.0, -0.5, 5.0]]),
        ),
        errors.EncodingError,
        ("second.zarr, v", "-0.5", "(1, 1)"),
    ),
    "missing cell without a marker": (
        lambda: (
            encoded(with_values(cube(), np.ones((2, 3), "i2")), _FillValue=None),
            encoded(with_values(cube(2), GAPS), dtype="i2", _FillValue=-1),
        ),
        errors.EncodingError,
        ("second.zarr, v", "missing"),
    ),
    "outside the packed range": (
        lambda: (
            encoded(with_values(cube(), GAPS), dtype="i1", scale_factor=0.5, _FillValue=-128),
            with_values(cube(2), np.full((2, 3), 100.0)),
        ),
        errors.EncodingError,
        ("second.zarr, v", "-64 to 63.5", "100.0"),
    ),
    "infinity in packed": (
        lambda: (
            encoded(with_values(cube(), GAPS), dtype="i2", scale_factor=0.5, _FillValue=-1),
            with_values(cube(2), np.full((2, 3), np.inf)),
        ),
        errors.EncodingError,
        ("second.zarr, v", "inf"),
    ),
    "packed halves into integers": (
        lambda: (
            encoded(with_values(cube(), np.ones((2, 3), "i4")), _FillValue=-1),
            encoded(with_values(cube(2), np.full((2, 3), 1.5)), dtype="i2", scale_factor=0.5, _FillValue=-1),
        ),
        errors.EncodingError,
        ("second.zarr, v", "1.5"),
    ),
    "noon in whole days": (
        lambda: (cube(), cube(2, units="hours since 2023-12-31 12:00").assign_coords(time=cube(2).time.values + np.timedelta64(12, "h"))),
        errors.EncodingError,
        ("second.zarr, time", "2024-01-03T12:00", "hours since"),
    ),
    "seconds in float32 days": (
        lambda: (cube(dtype="f4"), encoded(cube(2).assign_coords(time=cube(2).time.values + np.timedelta64(1, "s")), "time", units="seconds since 2024-01-01", dtype="i8")),
        errors.EncodingError,
        ("second.zarr, time", "microsecond"),
    ),
    "other calendar": (
        lambda: (cube(), cf_cube("noleap", (2024, 1, 3), 2, "days since 2024-01-01").rename(v="w").assign(v=cube(2).v.variable, mask=cube(2).mask)),
        errors.EncodingError,
        ("time", "proleptic_gregorian", "noleap"),
    ),
    "labels without units": (
        lambda: (cube(), cube(2).assign_coords(time=[20000, 20001])),
        errors.EncodingError,
        ("second.zarr, time", "days since 2024-01-01", "none"),
    ),
    "other units": (
        lambda: (cube().assign(v=cube().v.assign_attrs(units="K")), cube(2).assign(v=cube(2).v.assign_attrs(units="degC"))),
        errors.EncodingError,
        ("second.zarr, v", "'K'", "'degC'"),
    ),
    "other units of a static variable": (
        lambda: (cube().assign(mask=cube().mask.assign_attrs(units="m")), cube(2).assign(mask=cube(2).mask.assign_attrs(units="km"))),
        errors.EncodingError,
        ("second.zarr, mask", "'m'", "'km'"),
    ),
    "before the last label": (lambda: (cube(5), cube(0)), errors.LabelError, ("second.zarr, time", "2024-01-07", "2024-01-01", "label_order")),
}  # fmt: skip


def refusal(case: str, formats: tuple[int, int], here: Path) -> errors.ZapzError:
    make, kind, words = REFUSED[case]
    target, second = started(here, formats, *make())
    return refused(kind, target, second, *words, facts=False)


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, here: Path) -> None:
    error = refusal(case, [*CROSSED, (2, 2), (3, 3)][list(REFUSED).index(case) % 4], here)
    if case not in {"variable missing", "labels missing", "variable too many"}:
        assert error.expected
        assert error.found


def test_every_refusal_says_what_to_do(here: Path) -> None:
    silent = []
    for number, (case, (make, kind, _)) in enumerate(REFUSED.items()):
        folder = here / str(number)
        folder.mkdir()
        target, slices = two(folder, (2, 2), *make())
        with pytest.raises(kind) as caught:
            zapz.append(target, slices, **FAST)
        if not caught.value.hint:
            silent.append(case)
    assert silent == []


@pytest.mark.parametrize(
    "case",
    ["static variable differs", "marker as a value", "outside the packed range", "noon in whole days", "other size"],
)
def test_dry_run_and_plan_refuse_what_they_can(case: str, here: Path) -> None:
    make, kind, _ = REFUSED[case]
    target, second = started(here, (2, 2), *make())
    before = tree(here)
    if case in {
        "marker as a value",
        "outside the packed range",
    }:  # these checks run with the data; a dry run says which it left out
        plan = zapz.append(target, second, dry_run=True).slices[0].plan
        assert plan is not None
        assert "v" in {check["path"] for check in plan["checks"]}
    else:
        for call in (lambda: zapz.append(target, second, dry_run=True), lambda: zapz.plan(target, second)):
            with pytest.raises(kind):
                call()
    assert tree(here) == before


def test_earlier_slices_of_an_iterator_stay_and_later_ones_are_not_looked_at(here: Path) -> None:
    target, slices = two(here, (2, 3), cube(), cube(2))
    bad = write(here / "bad.zarr", encoded(cube(4), dtype="f8"))
    with pytest.raises(errors.DTypeError, match=r"bad\.zarr"):
        zapz.append(target, iter([*slices, bad, here / "nowhere.zarr"]), **FAST)
    check(target, slices)


def test_first_slice_may_be_refused_too(here: Path) -> None:
    bad = write(here / "bad.zarr", cube(0, 3).isel(time=[0, 2, 1]))
    refused(errors.LabelError, here / "cube.zarr", bad, "2024-01-03", "2024-01-02")


def test_target_errors_come_first(here: Path) -> None:
    target, second = started(here, (2, 2), cube(), encoded(cube(2), dtype="f8"))
    document = target / "v" / ".zarray"
    meta = json.loads(document.read_text())
    meta["shape"][0] = 99
    document.write_text(json.dumps(meta))
    before = tree(here)
    with pytest.raises(errors.FormatError, match="differ in length") as caught:
        zapz.append(target, second, **FAST)
    assert caught.value.exit_code == 4
    assert str(target) in str(caught.value)
    assert tree(here) == before


def test_slice_whose_arrays_disagree(here: Path) -> None:
    target, second = started(here, (2, 2), cube(), cube(2))
    document = second / "mask" / ".zarray"
    meta = json.loads(document.read_text())
    meta["shape"] = [4]
    document.write_text(json.dumps(meta))
    error = refused(errors.DimensionError, target, second, "'x'", "mask")
    assert {"3", "4"} <= set(f"{error.expected} {error.found}".split())


def test_slice_whose_arrays_disagree_about_the_append_dimension(here: Path) -> None:
    target, second = started(here, (3, 3), cube(), cube(2))
    document = second / "v" / "zarr.json"
    meta = json.loads(document.read_text())
    meta["shape"][0] = 1
    document.write_text(json.dumps(meta))
    refused(errors.DimensionError, target, second, "'time'", "v")


def test_first_slice_whose_arrays_disagree(here: Path) -> None:
    slice_ = write(here / "slice.zarr", cube())
    document = slice_ / "mask" / ".zarray"
    meta = json.loads(document.read_text())
    meta["shape"] = [4]
    document.write_text(json.dumps(meta))
    refused(errors.DimensionError, here / "cube.zarr", slice_, "'x'", "mask")


def test_variable_with_the_dimension_twice(here: Path) -> None:
    write_group(here / "s", zarr_format=2)
    write_array(here / "s", "covariance", np.ones((2, 2)), zarr_format=2, dims=["time", "time"])
    before = tree(here)
    with pytest.raises(errors.ZapzError, match="covariance") as caught:
        zapz.append(here / "cube", here / "s", **FAST)
    assert caught.value.exit_code in {3, 4}
    assert tree(here) == before


def test_units_on_one_side_only_are_at_least_reported(here: Path) -> None:
    first = cube()
    first.v.attrs["units"] = "K"
    target, slices = two(here, (2, 2), first, cube(2))
    notes = zapz.append(target, slices, **FAST).slices[1].notes
    assert any("units of v" in note for note in notes)


# --- settings ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formats", CROSSED)
def test_on_missing_fill(formats: tuple[int, int], here: Path) -> None:
    first = cube().assign(u=("time", [1.5, 2.5]), n=("time", np.array([3, 4], "i4")))
    first["n"].encoding["_FillValue"] = np.int32(-1)
    target, second = started(here, formats, first, cube(2))
    report = zapz.append(target, second, on_missing="fill", **FAST)
    assert report.length == 4
    found = opened(target)
    np.testing.assert_array_equal(found.u, [1.5, 2.5, np.nan, np.nan])
    np.testing.assert_array_equal(found.n, [3, 4, np.nan, np.nan])
    xr.testing.assert_equal(found.v, joined([here / "first.zarr", second]).v)
    third = write(here / "third.zarr", first.assign_coords(time=cube(4).time))
    zapz.append(target, third, **FAST)
    np.testing.assert_array_equal(opened(target).u, [1.5, 2.5, np.nan, np.nan, 1.5, 2.5])


@pytest.mark.parametrize("formats", CROSSED)
def test_extra_variables(formats: tuple[int, int], here: Path) -> None:
    target, second = started(here, formats, cube(), cube(2).assign(extra=("time", [1, 2]), more=("time", [1, 2])))
    refused(errors.VariableError, target, second, "more", excluded_variables=["extra"])
    plan = zapz.plan(target, second, excluded_variables=["extra", "more"])
    assert "extra" not in plan.arrays
    report = zapz.append(target, second, on_extra="ignore", **FAST)
    assert any("extra" in note for note in report.slices[0].notes)
    parts = [opened(here / "first.zarr"), opened(second).drop_vars(["extra", "more"])]
    xr.testing.assert_equal(opened(target), xr.concat(parts, "time", data_vars="minimal"))


@pytest.mark.parametrize("formats", CROSSED)
def test_excluded_variables(formats: tuple[int, int], here: Path) -> None:
    extra = {"extra": ("time", [1, 2]), "other": ("x", [1, 2, 3])}
    target, second = started(
        here, formats, cube().assign(extra), cube(2).assign(extra), excluded_variables=["extra", "other", "mask"]
    )
    zapz.append(target, second, excluded_variables=("extra", "mask"), **FAST)
    expected = joined([here / "first.zarr", second]).drop_vars(["extra", "other", "mask"])
    xr.testing.assert_equal(opened(target), expected)
    assert not (target / "extra").exists()
    assert not (target / "other").exists()


def test_excluded_variable_of_the_target_counts_as_missing(here: Path) -> None:
    target, second = started(here, (2, 2), cube(), cube(2))
    refused(errors.VariableError, target, second, "v", excluded_variables=["v"], facts=False)
    zapz.append(target, second, excluded_variables=["v"], on_missing="fill", **FAST)
    assert np.isnan(opened(target).v.values[2:]).all()


def test_excluded_variable_need_not_be_supported(here: Path) -> None:
    slice_ = write(here / "slice.zarr", cube().assign(odd=("time", [1, 2])))
    document = slice_ / "odd" / ".zarray"
    meta = json.loads(document.read_text()) | {"dtype": "|O", "filters": [{"id": "pickle"}], "fill_value": 0}
    document.write_text(json.dumps(meta))
    refused(errors.UnsupportedError, here / "cube.zarr", slice_, "odd", code=4, facts=False)
    zapz.append(here / "cube.zarr", slice_, excluded_variables=["odd"], **FAST)
    xr.testing.assert_equal(opened(here / "cube.zarr").v, cube().v)


@pytest.mark.parametrize("formats", CROSSED)
def test_extra_static_variable_is_ignored_and_said(formats: tuple[int, int], here: Path) -> None:
    target, second = started(here, formats, cube(), cube(2).assign(orography=("x", [1.0, 2.0, 3.0]), z=("other", [1])))
    report = zapz.append(target, second, **FAST)
    assert any("orography" in note for note in report.slices[0].notes)
    assert "orography" not in opened(target)


@pytest.mark.parametrize("formats", CROSSED)
def test_static(formats: tuple[int, int], here: Path) -> None:
    target, second = started(here, formats, cube(), with_values(cube(2), [0.5, 1.5, 2.625], "mask", ("x",)))
    refused(errors.VariableError, target, second, "mask")
    refused(errors.VariableError, target, second, "mask", static=0)
    refused(errors.VariableError, target, second, "mask", "largest difference 0.125", static=0.1)
    zapz.append(target, second, static=0.125, **FAST)
    check(target, [here / "first.zarr", second])
    third = write(here / "third.zarr", with_values(cube(4), [9.0, 9.0, 9.0], "mask", ("x",)))
    zapz.append(target, third, static="ignore", **FAST)
    np.testing.assert_array_equal(opened(target).mask, [0.5, 1.5, 2.5])


def test_static_ignore_does_not_let_other_sizes_pass(here: Path) -> None:
    target, second = started(here, (2, 2), cube(), cube(2).isel(x=[0, 1]))
    refused(errors.DimensionError, target, second, "'x'", static="ignore")


def test_tolerance_never_covers_a_gap(here: Path) -> None:
    target, second = started(here, (2, 2), cube(), with_values(cube(2), [0.5, np.nan, 2.5], "mask", ("x",)))
    refused(errors.VariableError, target, second, "mask", static=1000)


@pytest.mark.parametrize(
    ("scale", "found", "tolerance", "passes"),
    [(10.0, 20.0, 1, False), (10.0, 20.0, 10, True), (0.01, 10.02, 0.1, True), (0.01, 10.02, 0.01, False)],
)
def test_tolerance_is_in_decoded_values(scale: float, found: float, tolerance: float, passes: bool, here: Path) -> None:
    pair = [
        encoded(
            with_values(cube(n), [value] * 3, "mask", ("x",)), "mask", dtype="i2", scale_factor=scale, _FillValue=-1
        )
        for n, value in ((0, 10.0), (2, found))
    ]
    target, second = started(here, (2, 2), *pair)
    if passes:
        assert zapz.append(target, second, static=tolerance, **FAST).length == 4
    else:
        refused(errors.VariableError, target, second, "mask", static=tolerance)


def test_difference_of_packed_static_variables_is_told_in_decoded_values(here: Path) -> None:
    pair = [
        encoded(with_values(cube(n), [value] * 3, "mask", ("x",)), "mask", dtype="i2", scale_factor=0.5, _FillValue=-1)
        for n, value in ((0, 10.0), (2, 12.0))
    ]
    target, second = started(here, (2, 2), *pair)
    assert "largest difference 2)" in str(refused(errors.VariableError, target, second, "mask"))


@pytest.mark.parametrize("formats", CROSSED)
def test_slice_size(formats: tuple[int, int], here: Path) -> None:
    def wide(start: int, steps: int) -> xr.Dataset:
        return cube(start, steps).assign(wide=(("time", "y"), np.ones((steps, 100)), {}, {"chunks": (2, 100)}))

    target, second = started(here, formats, wide(0, 3), wide(3, 2))
    refused(errors.DimensionError, target, second, "3", "2", slice_size=3)
    zapz.append(target, second, slice_size=2, **FAST)
    third = write(here / "third.zarr", wide(5, 3))
    refused(errors.DimensionError, target, third, "2", "3", slice_size="chunk")
    third = write(here / "other.zarr", wide(5, 2))
    zapz.append(target, third, slice_size="chunk", **FAST)
    check(target, [here / "first.zarr", second, third])


def test_slice_size_of_the_first_slice(here: Path) -> None:
    slice_ = write(here / "slice.zarr", cube(0, 2))
    refused(errors.DimensionError, here / "cube.zarr", slice_, "3", "2", slice_size=3)
    assert not (here / "cube.zarr").exists()


@pytest.mark.parametrize("formats", CROSSED)
def test_append_dim(formats: tuple[int, int], here: Path) -> None:
    def strip(start: int) -> xr.Dataset:
        return cube().drop_vars("mask").assign_coords(x=[10.0 + start, 20.0 + start, 30.0 + start])

    target, slices = two(here, formats, strip(0), strip(100))
    zapz.append(target, slices, append_dim="x", **FAST)
    check(target, slices, "x")
    before = tree(here)
    with pytest.raises(errors.ZapzError, match=r"band.*append_dim='time'") as caught:
        zapz.append(target, slices[1], append_dim="band", **FAST)
    assert caught.value.exit_code in {3, 4}
    assert tree(here) == before


@pytest.mark.parametrize(
    "settings", [{"recompress": True}, {"verify": True}, {"workers": 1}, {"workers": 3, "durability": "full"}]
)
def test_settings_that_change_no_value(settings: dict[str, Any], here: Path) -> None:
    target, slices = two(here, (2, 3), encoded(cube(0, 4), chunks=(1, 3)), encoded(cube(4, 4), chunks=(1, 3)))
    zapz.append(target, slices, **{**FAST, **settings})
    check(target, slices)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("append_dimm", "append_dim"),
        ("on_mising", "on_missing"),
        ("exclude_variables", "excluded_variables"),
        ("lable_order", "label_order"),
        ("slicesize", "slice_size"),
        ("zarr_formats", "zarr_format"),
    ],
)
def test_unknown_settings(wrong: str, right: str, here: Path) -> None:
    for call in (
        lambda: zapz.append(here / "cube", here / "slice", **{wrong: 1}),
        lambda: zapz.plan(here / "cube", here / "slice", {wrong: 1}),
        lambda: zapz.info(here / "cube", **{wrong: 1}),
    ):
        with pytest.raises(errors.ConfigError, match=f"'{wrong}'.*'{right}'") as caught:
            call()
        assert caught.value.exit_code == 2
    assert tree(here) == NOTHING


def test_unknown_setting_that_is_near_nothing(here: Path) -> None:
    with pytest.raises(errors.ConfigError, match="zapz config"):
        zapz.append(here / "cube", here / "slice", qqqq=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("append_dim", 1), ("zarr_format", 4), ("zarr_format", "2"), ("zarr_format", True), ("label_chunk", 0), ("label_chunk", "kept"), ("label_chunk", 1.5),
        ("slice_size", 0), ("slice_size", -1), ("slice_size", True), ("slice_size", "chunks"), ("on_missing", "filled"), ("on_extra", "refused"),
        ("excluded_variables", "v"), ("excluded_variables", [1]), ("static", -1), ("static", float("nan")), ("static", "near"), ("static", True), ("label_order", "up"),
        ("append_step", []), ("append_step", True), ("append_step", float("nan")), ("append_step", float("inf")), ("append_step", 0), ("on_existing", "replace"), ("attrs_update_mode", "merge"),
        ("consolidated", "yes"), ("consolidated", 1), ("lock_wait", -1), ("lock_wait", float("nan")), ("workers", 0), ("workers", 1.5), ("target_storage_options", []),
    ],
)  # fmt: skip
def test_wrong_values_of_settings(name: str, value: Any, here: Path) -> None:
    slice_ = write(here / "slice.zarr", cube())
    before = tree(here)
    with pytest.raises(errors.ConfigError, match=name) as caught:
        zapz.append(here / "cube.zarr", slice_, **FAST, **{name: value})
    assert caught.value.exit_code == 2
    assert caught.value.found
    assert tree(here) == before


# --- nothing to do ------------------------------------------------------------------------------------------------------------


def test_nothing_to_append(here: Path) -> None:
    assert zapz.append(here / "cube.zarr", [], **FAST).length == 0
    assert zapz.append(here / "cube.zarr", iter([]), **FAST).appended == 0
    assert tree(here) == NOTHING


@pytest.mark.parametrize("formats", CROSSED)
def test_empty_slices(formats: tuple[int, int], here: Path) -> None:
    empty = write(here / "empty.zarr", cube(0, 0), formats[1])
    report = zapz.append(here / "cube.zarr", empty, **FAST)
    assert [s.outcome for s in report.slices] == ["empty"]
    assert not (here / "cube.zarr").exists()
    slices = [write(here / f"{n}.zarr", cube(2 * n), formats[0]) for n in range(2)]
    report = zapz.append(here / "cube.zarr", [empty, slices[0], empty, slices[1]], **FAST)
    assert [s.outcome for s in report.slices] == ["empty", "appended", "empty", "appended"]
    check(here / "cube.zarr", slices)
    before = tree(here)
    assert zapz.append(here / "cube.zarr", empty, **FAST).length == 4
    assert tree(here) == before


@pytest.mark.parametrize("formats", CROSSED)
def test_target_of_length_0(formats: tuple[int, int], here: Path) -> None:
    target = write(here / "cube.zarr", cube(0, 0, units="hours since 2024-01-01"), formats[0], consolidated=True)
    slices = [write(here / f"{n}.zarr", cube(2 * n), formats[1]) for n in range(2)]
    zapz.append(target, slices, **FAST)
    check(target, slices)


# --- command line ---------------------------------------------------------------------------------------------------------------


def test_exit_codes_and_messages(here: Path) -> None:
    target, second = started(here, (2, 2), cube(), encoded(cube(2), dtype="f8"))
    before = tree(here)
    command = [sys.executable, "-m", "zapz", "append", str(target), str(second)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=here)
    assert done.returncode == 3
    for word in (str(second), "v", "float32", "float64"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(here) == before
