"""The setting ``append_label``: where the label of a slice comes from that is one step, how it is read, and what is refused."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from kit.command_line import run
from kit.cubes import files, quiet, read, write_array, write_group
from kit.slices_kit import reading

import zapz
from zapz.cf.written_times import instant_of
from zapz.config.label_origin import checked_format, pattern_of
from zapz.config.layers import make

VALUES = np.arange(6.0).reshape(2, 3)
NAME = "S3A_OL_2__20250106T103000_L2.zarr"


@pytest.fixture
def swath(tmp_path: Path) -> Path:
    """Write a slice whose time is in its name, its attributes, and scalars of other names."""
    path = tmp_path / NAME
    attrs = {"time_coverage_start": "2025-01-06T10:30:00Z", "day": 20250106, "orbit": [17], "many": [1, 2], "odd": "6th of January", "yes": True, "a/b": "2025-01-06"}  # fmt: skip
    write_group(path, zarr_format=3, attrs=attrs)
    plain: dict[str, Any] = {"zarr_format": 3, "dims": []}
    write_array(path, "rad", VALUES, zarr_format=3, dims=["y", "x"], attrs={"start": "2025-01-06 10:30"})
    write_array(
        path, "t", np.float64(10.5), attrs={"units": "hours since 2025-01-06", "long_name": "mid-point"}, **plain
    )
    write_array(path, "number", np.int32(20250106), **plain)
    write_array(path, "text", np.array("2025-01-06T10:30:00", "U19"), **plain)
    write_array(path, "bytes", np.array(b"20250106", "S8"), **plain)
    return path


HALF_PAST = "2025-01-06T10:30:00"
LABELS: dict[str, tuple[dict[str, str], Any]] = {
    "a date": ({"from": "value:2025-01-06"}, "2025-01-06"),
    "a time": ({"from": "value:2025-01-06T10:30:00"}, HALF_PAST),
    "a time zone": ({"from": "value:2025-01-06 12:30+02:00"}, HALF_PAST),
    "without dashes": ({"from": "value:20250106T103000Z"}, HALF_PAST),
    "as it is written": ({"from": "value:6.1.25 10h30", "format": "%d.%m.%y %Hh%M"}, HALF_PAST),
    "a zone in the format": ({"from": "value:2025006 1230 +0200", "format": "%Y%j %H%M %z"}, HALF_PAST),
    "iso": ({"from": "value:20250106", "format": "iso"}, "2025-01-06"),
    "an attribute": ({"from": "attr:time_coverage_start"}, HALF_PAST),
    "a number as a date": ({"from": "attr:day", "format": "%Y%m%d"}, "2025-01-06"),
    "an attribute with a slash": ({"from": "attr:a/b"}, "2025-01-06"),
    "of a variable": ({"from": "attr:rad/start"}, HALF_PAST),
    "a name": ({"from": r"name:__(\d+T\d+)_"}, HALF_PAST),
    "a whole match": ({"from": r"name:\d{8}T\d{6}"}, HALF_PAST),
    "a name by format": ({"from": r"name:__(\d{8})", "format": "%Y%m%d"}, "2025-01-06"),
    "a variable": ({"from": "t"}, HALF_PAST),
    "a text": ({"from": "text"}, HALF_PAST),
    "bytes by format": ({"from": "bytes", "format": "%Y%m%d"}, "2025-01-06"),
    "an integer by format": ({"from": "number", "format": "%Y%m%d"}, "2025-01-06"),
    "a number of units": ({"from": "value:630", "units": "minutes since 2025-01-06"}, HALF_PAST),
}
"""Setting, and the label."""


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("target", ["new", "hours", "days as float", "datetime64"])
def test_times(tmp_path: Path, swath: Path, kind: str, target: str) -> None:
    setting, expected = LABELS[kind]
    if target != "new":
        _target(tmp_path / "t", target)
    report = zapz.append(tmp_path / "t", swath, append_label=setting, on_extra="ignore")
    with quiet(), xr.open_zarr(tmp_path / "t") as found:
        assert found.time.values[-1] == np.datetime64(expected, "ns")
        assert found.rad[-1].values.tolist() == VALUES.tolist()
        assert found.time.attrs.get("long_name") == (
            None if target != "new" else "mid-point" if kind == "a variable" else None
        )
    shown = expected.removesuffix("T00:00:00")
    assert report.slices[0].notes[0] == f"time is {shown} (from {setting['from']}): appended as one step"
    assert zapz.append(tmp_path / "t", swath, append_label=setting, on_extra="ignore").already == 1


def _target(path: Path, kind: str) -> None:
    """Write a target with one label, counted in another way."""
    write_group(path, zarr_format=3)
    labels, attrs = {
        "hours": (np.array([0.0]), {"units": "hours since 2025-01-01 00:30", "calendar": "standard"}),
        "days as float": (np.array([20000.25]), {"units": "days since 1970-01-01"}),
        "datetime64": (np.array(["2025-01-01"], "M8[s]"), {}),
    }[kind]
    with quiet():
        write_array(path, "time", labels, dims=["time"], zarr_format=3, attrs=attrs)
        write_array(path, "rad", VALUES[None], dims=["time", "y", "x"], zarr_format=3)


def test_how_a_label_is_stored(tmp_path: Path) -> None:
    """In a new target as seconds, or as is configured; with the attributes that readers look for."""
    slice_ = {"v": (("y", "x"), VALUES)}
    write_group(tmp_path / "slice", zarr_format=3)
    write_array(tmp_path / "slice", "v", VALUES, dims=["y", "x"], zarr_format=3)
    for name, setting, units, stored in (
        ("t", {}, "seconds since 1970-01-01", 1736159400),
        ("u", {"units": "minutes since 2025-01-01"}, "minutes since 2025-01-01", 5 * 1440 + 630),
        ("w", {"units": "minutes since 2025-01-06 10:30"}, "minutes since 2025-01-06 10:30", 0),  # which is kept
    ):
        for kind, given in (("memory", slice_), ("stored", tmp_path / "slice")):
            target = tmp_path / f"{name}-{kind}"
            zapz.append(target, given, append_label={"from": f"value:{HALF_PAST}", **setting})
            found = json.loads((target / "time/zarr.json").read_text())
            assert found["attributes"] == {"standard_name": "time", "units": units, "calendar": "proleptic_gregorian"}
            assert (found["data_type"], read(target)["time"].tolist()) == ("int64", [stored])
        assert "zstd" in (tmp_path / f"{name}-memory/time/zarr.json").read_text()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [("17", None, 17), ("-2.5", None, -2.5), ("1e3", None, 1000), ("17", "f4", 17.0), ("0.1", "f4", np.float32(0.1)), ("17", "u2", 17), ("0.1", "f8", 0.1), ("x", "U3", "x")],
)  # fmt: skip
def test_numbers_and_texts(tmp_path: Path, zarr_format: int, text: str, dtype: Any, expected: Any) -> None:
    """Numbers are what they are; texts are for targets whose labels are some."""
    write_group(tmp_path / "s", zarr_format=zarr_format)
    write_array(tmp_path / "s", "v", VALUES, dims=["y", "x"], zarr_format=zarr_format)
    if dtype is not None:
        write_group(tmp_path / "t", zarr_format=zarr_format)
        with quiet():
            write_array(
                tmp_path / "t",
                "time",
                np.array([0], dtype),
                dims=["time"],
                zarr_format=zarr_format,
                attrs={} if dtype == "U3" else {"units": "m"},
            )
            write_array(tmp_path / "t", "v", VALUES[None], dims=["time", "y", "x"], zarr_format=zarr_format)
    report = zapz.append(tmp_path / "t", tmp_path / "s", append_label={"from": f"value:{text}"})
    with quiet():
        assert read(tmp_path / "t")["time"][-1] == expected
    assert len(report.slices[0].notes) == 1


def test_an_attribute_that_is_a_number(tmp_path: Path, swath: Path) -> None:
    zapz.append(tmp_path / "t", swath, append_label={"from": "attr:orbit"})
    assert read(tmp_path / "t")["time"].tolist() == [17]


def test_a_calendar_of_models(tmp_path: Path) -> None:
    """A time is read in the target's calendar."""
    write_group(tmp_path / "t", zarr_format=3)
    attrs = {"units": "days since 2025-01-01", "calendar": "360_day"}
    write_array(tmp_path / "t", "time", np.array([0]), dims=["time"], zarr_format=3, attrs=attrs)
    write_array(tmp_path / "t", "v", VALUES[None], dims=["time", "y", "x"], zarr_format=3)
    zapz.append(tmp_path / "t", {"v": (("y", "x"), VALUES)}, append_label={"from": "value:2025-02-30"})
    assert read(tmp_path / "t")["time"].tolist() == [0, 59]


def test_what_is_configured_wins_over_the_scalar(tmp_path: Path) -> None:
    slice_ = xr.Dataset({"v": (("y", "x"), VALUES)}, {"time": np.datetime64("2000-01-01", "ns")})
    zapz.append(tmp_path / "t", slice_, append_label={"from": "value:2025-01-06"})
    assert reading(tmp_path / "t").time.values == np.datetime64("2025-01-06", "ns")


@pytest.mark.parametrize("excluded", ["excluded_variables", "included_variables"])
def test_from_a_variable_that_does_not_take_part(tmp_path: Path, swath: Path, excluded: str) -> None:
    settings = {excluded: ["rad"] if excluded == "included_variables" else ["t", "number", "text", "bytes"]}
    zapz.append(tmp_path / "t", swath, append_label={"from": "t"}, **settings)
    assert sorted(read(tmp_path / "t")) == ["rad", "time"]
    assert reading(tmp_path / "t").time.values == np.datetime64(HALF_PAST, "ns")


def test_scalars_have_their_values_per_step(tmp_path: Path, swath: Path) -> None:
    """The variable that says when it was is data as well."""
    zapz.append(tmp_path / "t", swath, append_label={"from": "t"})
    assert read(tmp_path / "t")["t"].tolist() == [10.5]


def test_labels_of_several_groups(tmp_path: Path) -> None:
    for name in ("s", "t"):
        write_group(tmp_path / name, zarr_format=3)
        for group in ("a", "b"):
            write_group(tmp_path / name, zarr_format=3, name=group)
            dims = ["y", "x"] if name == "s" else ["time", "y", "x"]
            write_array(
                tmp_path / name, f"{group}/v", VALUES if name == "s" else VALUES[None], dims=dims, zarr_format=3
            )
    for group, units in (("a", "days since 2025-01-01"), ("b", "hours since 2025-01-01")):
        write_array(
            tmp_path / "t", f"{group}/time", np.array([0]), dims=["time"], zarr_format=3, attrs={"units": units}
        )
    for target in ("t", "new"):
        zapz.append(tmp_path / target, tmp_path / "s", append_label={"from": "value:2025-01-06"})
    assert (read(tmp_path / "t")["a/time"].tolist(), read(tmp_path / "t")["b/time"].tolist()) == ([0, 5], [0, 120])
    assert [name for name in sorted(read(tmp_path / "new")) if "time" in name] == ["a/time", "b/time"]


# -- refusals ----------------------------------------------------------------------------------------------------------

DAYS = "days since 2025-01-01"
REFUSED: dict[str, tuple[dict[str, Any], str | None, dict[str, str]]] = {
    "no match": ({"from": r"name:_(\d{12})_"}, None, {"expected": r"name:_(\d{12})_", "found": repr(NAME), "where": NAME}),
    "an empty group": ({"from": r"name:(\d*)$"}, None, {"found": repr(NAME)}),
    "another form": ({"from": "attr:odd", "format": "%Y%m%d"}, None, {"expected": "%Y%m%d", "found": "6th of January", "where": "attribute odd"}),
    "no time": ({"from": "attr:odd"}, None, {"expected": "2025-01-06T12:00:00Z, or a number", "found": "6th of January"}),
    "no such day": ({"from": "value:2025-02-30"}, None, {"found": "2025-02-30"}),
    "an hour alone": ({"from": "value:2025-01-06T10"}, None, {"found": "2025-01-06T10"}),
    "no attribute": ({"from": "attr:nope"}, None, {"expected": "nope, text or a number", "found": "time_coverage_start"}),
    "no attribute of the variable": ({"from": "attr:rad/nope"}, None, {"where": "rad", "found": "start"}),
    "no variable of the attribute": ({"from": "attr:nope/start"}, None, {"found": "no attributes"}),
    "several values": ({"from": "attr:many"}, None, {"found": "many = [1, 2]"}),
    "a truth value": ({"from": "attr:yes"}, None, {"found": "yes = True"}),
    "no variable": ({"from": "nope"}, None, {"expected": "nope, a single value", "found": "bytes, number, t, text"}),
    "no scalar": ({"from": "rad"}, None, {"found": "('y', 'x')"}),
    "a number, not a time": ({"from": "value:20250106"}, DAYS, {"expected": "a time", "found": "20250106"}),
    "a time, not a number": ({"from": "value:2025-01-06"}, "m", {"expected": "a number (int64)", "found": "2025-01-06"}),
    "a number of another type": ({"from": "value:2.5"}, "m", {"expected": "int64", "found": "2.5"}),
    "too large a number": ({"from": "value:99999999999999999999"}, None, {"expected": "int64", "found": "9999"}),
    "not exact in the target": ({"from": "value:2025-01-06T10:30"}, DAYS, {"what": "cannot be stored exactly in the target's integer units", "found": "2025-01-06T10:30"}),
    "not exact in new units": ({"from": "value:2025-01-06T10:30", "units": DAYS}, None, {"found": "10:30", "expected": DAYS, "hint": "'units': 'seconds since 2025-01-01'"}),
    "finer than a second": ({"from": "value:2025-01-06T10:30:00.5"}, None, {"hint": "'units': 'milliseconds since 1970-01-01'"}),
    "finer than a nanosecond": ({"from": "value:2025-01-06T10:30:00.1234567891"}, DAYS, {"expected": "nanoseconds"}),
    "beyond the units": ({"from": "value:9999-01-01", "units": "nanoseconds since 1970-01-01"}, None, {"found": "9999"}),
    "no units of time": ({"from": "value:2025-01-06", "units": "m"}, None, {"found": "'m'", "where": "append_label.units"}),
    "no date of units": ({"from": "value:2025-01-06", "units": "days since yesterday"}, None, {"found": "yesterday", "where": "append_label.units"}),
    "before the last": ({"from": "value:2024-01-06"}, DAYS, {"what": "does not follow"}),
}  # fmt: skip
"""Setting, units of the target if it is not new, and what the error says."""


@pytest.mark.parametrize("kind", REFUSED)
def test_refusals(tmp_path: Path, swath: Path, kind: str) -> None:
    setting, units, parts = REFUSED[kind]
    if units is not None:
        write_group(tmp_path / "t", zarr_format=3)
        write_array(tmp_path / "t", "time", np.array([0]), dims=["time"], zarr_format=3, attrs={"units": units})
        write_array(tmp_path / "t", "rad", VALUES[None], dims=["time", "y", "x"], zarr_format=3)
    before = files(tmp_path / "t")
    with pytest.raises(zapz.SliceError) as caught:
        zapz.append(tmp_path / "t", swath, append_label=setting, on_extra="ignore")
    error = caught.value
    assert {part: text in getattr(error, part) for part, text in parts.items()} == dict.fromkeys(parts, True), error
    assert NAME in error.where
    assert error.exit_code == 3
    assert files(tmp_path / "t") == before


@pytest.mark.parametrize("setting", [{"format": "%Y"}, {"units": "days since 2000-01-01"}])
def test_a_form_without_an_origin(tmp_path: Path, setting: dict[str, str]) -> None:
    with pytest.raises(zapz.ConfigError, match="a label is configured, but not its source"):
        zapz.append(tmp_path / "t", {"v": ("x", [1])}, append_label=setting)


@pytest.mark.parametrize("uri", ["a/b/x_1.zarr/", "x_1.zarr", "s3://u:p@bucket/x_1.zarr?q=1", "memory://x_1.zarr", "zip://x_1.zarr::s3://b/all.zip", "simplecache::s3://b/x_1.zarr", "reference://::file:///d/x_1.zarr"])  # fmt: skip
def test_the_last_part_of_a_path(uri: str) -> None:
    from zapz.sources.label_value import last_part_of
    from zapz.sources.open_slice import OpenSlice

    opened: Any = OpenSlice(uri=uri, store=None, dataset=None)  # type: ignore[arg-type]
    assert last_part_of(opened) == "x_1.zarr"


# -- patterns and formats ----------------------------------------------------------------------------------------------

FOR_EVER = [r"(a+)+$", r"(a|a)*b", r"(.*a){20}", r"(a?){30}", r"((a+))+", r"(?:a+)+", r"(?i:a+)+", r"(?=a+)+", r"(\d+){2}", r"(?P<n>a*)*", r"(a{1,9}){9}", r"(a)(?(1)b+|c)+", r".*.*.*.*.*.*x", "a?" * 11, "(?x)( a+ ) +", "(?x:( a+ ) +)"]  # fmt: skip
SOUND = [r"_(\d{13})_", r"(?:ab){2}", r"(\d{4})-(\d{2})", r"(a+)?", r"[+*(]+", r"\(a+\)+", "[]a]+", r"a{,3}", r"(20|19)\d\d", r"(?P<day>\d+)T(?P=day)", r"(?#note)a+", r"(?<=_)\d+(?=_)", r"{}", r"x{y}", r"(a|b){1}", r"(?i)CHL_(\d+)"]  # fmt: skip


@pytest.mark.parametrize("pattern", FOR_EVER)
def test_patterns_that_could_take_for_ever(pattern: str) -> None:
    with pytest.raises(ValueError):
        pattern_of(pattern)
    with pytest.raises(zapz.ConfigError, match="append_label"):
        make({"append_label": {"from": f"name:{pattern}"}})


@pytest.mark.parametrize("pattern", SOUND)
def test_patterns_that_are_taken(pattern: str) -> None:
    """None of them takes long, whatever the text."""
    started = time.perf_counter()
    for text in ("a" * 255, "1" * 255, "(" * 255, "_" * 255, "{}+*" * 60):
        pattern_of(pattern).search(text)
    assert time.perf_counter() - started < 1


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"from": "name:("}, "Invalid regular expression"),
        ({"from": "name:"}, "Nothing follows name:"),
        ({"from": "attr: "}, "Nothing follows attr:"),
        ({"from": "name:" + "a" * 256}, "at most 255"),
        ({"from": ""}, "The value is empty"),
        ({"from": 3}, "scalar variable"),
        ({"format": "%q"}, "%q is not a directive of Python's strptime"),
        ({"format": "%Y%"}, "% is not a directive of Python's strptime"),
        ({"format": "%d.%m."}, "The year is missing: %Y"),
        ({"variables": "a"}, "list"),
        ({"frm": "t"}, "Did you mean 'from'"),
    ],
)
def test_settings_that_are_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(zapz.ConfigError) as caught:
        make({"append_label": setting})
    assert says in str(caught.value)
    assert caught.value.where.startswith("append_label")


def test_a_format_says_a_year() -> None:
    assert [checked_format(each) for each in ("%y%j", "%G-%V-%u", "iso")] == ["%y%j", "%G-%V-%u", "iso"]


@pytest.mark.parametrize("calendar", ["standard", "proleptic_gregorian", "noleap"])
def test_times_agree_however_they_are_written(calendar: str) -> None:
    written = {instant_of(text, style, calendar) for text, style in [("2025-03-01T06:00:00.25Z", None), ("20250301T060000.25", None), ("2025-03-01 08:00:00.25+02:00", None), ("2025/060 06:00:00.250000", "%Y/%j %H:%M:%S.%f")]}  # fmt: skip
    assert len(written) == 1
    assert None not in written
    assert instant_of("2025-03-01", "%Y", calendar) is None


# -- the command line --------------------------------------------------------------------------------------------------


def test_flags(tmp_path: Path, swath: Path) -> None:
    target = tmp_path / "t"
    code, out, err = run("append", target, swath, "--label", r"name:__(\d{8})", "--label-format", "%Y%m%d")
    assert (code, err) == (0, "")
    assert "time is 2025-01-06" in out
    assert reading(target).time.values == np.datetime64("2025-01-06", "ns")
    code, _, err = run("append", target, swath, "--label", r"name:(\d{9})")
    assert code == 3
    assert all(part in err for part in (NAME, r"name:(\d{9})", "--label"))


def test_hints_show_the_flags(tmp_path: Path, swath: Path) -> None:
    """What a refusal shows does what it says, word for word."""
    target = tmp_path / "t"
    code, _, err = run("append", target, swath)
    assert code == 3
    assert "`--label attr:time_coverage_start`" in err
    assert run("append", target, swath, "--label", "attr:time_coverage_start")[0] == 0
    code, _, err = run("append", target, swath, "--label", "attr:day")
    assert code == 3
    assert "`--label-format %Y%m%d`" in err


def test_flags_win_over_a_file(tmp_path: Path, swath: Path) -> None:
    (tmp_path / "c.toml").write_text('[append_label]\nfrom = "attr:day"\nformat = "%d%m%Y"\n')
    assert run("append", "-c", tmp_path / "c.toml", tmp_path / "t", swath, "--label-format", "%Y%m%d")[0] == 0
    assert reading(tmp_path / "t").time.values == np.datetime64("2025-01-06", "ns")
