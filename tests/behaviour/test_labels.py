"""Labels of the append dimension: order, gaps, steps, what is there already, calendars, kinds of labels, nested groups."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
import xarray as xr
from kit.cf_cubes import CROSSED, FAST, cf_cube, check, cube, joined, opened, refused, write
from kit.cubes import write_array, write_group
from kit.label_lines import DAYS, line, lines, stored
from kit.trees import tree

import zapz
from zapz import errors


def flat(parts: Sequence[Sequence[Any]]) -> list[Any]:
    return [label for part in parts for label in part]


# --- order ---------------------------------------------------------------------------------------------------------------

ORDERS: list[tuple[str, list[list[int]], dict[str, Any], bool]] = [
    ("increasing", [[1, 2], [3]], {}, True),
    ("gaps", [[1, 2], [30, 400], [5000]], {}, True),
    ("one by one", [[1], [2], [3]], {}, True),
    ("decreasing at the seam", [[1], [0]], {}, False),
    ("decreasing target", [[3, 2], [1]], {"label_order": "decreasing"}, True),
    ("decreasing one by one", [[3], [2], [1]], {"label_order": "decreasing"}, True),
    ("not decreasing", [[3, 2], [4]], {"label_order": "decreasing"}, False),
    ("increasing only", [[1], [0]], {"label_order": "increasing"}, False),
    ("within the slice", [[1], [2, 4, 3]], {}, False),
    ("equal within the slice", [[1], [2, 2]], {}, False),
    ("equal within the first slice", [[2, 2]], {}, False),
    ("any", [[5, 3], [4, 9], [1]], {"label_order": "any"}, True),
    ("any, one of them there", [[5, 3], [4, 3]], {"label_order": "any"}, False),
    ("step says decreasing", [[3], [2, 1]], {"append_step": "-"}, True),
    ("step says increasing", [[3], [2, 1]], {"append_step": "+"}, False),
    ("step of -1", [[3], [2, 1]], {"append_step": -1}, True),
    ("step of 1", [[1], [2, 3]], {"append_step": 1}, True),
    ("step of 1, gap at the seam", [[1], [3, 4]], {"append_step": 1}, False),
    ("step of 1, gap in the slice", [[1], [2, 4]], {"append_step": 1}, False),
    ("step of 1, gap in the first slice", [[1, 3]], {"append_step": 1}, False),
    ("step of 0.5", [[1], [2]], {"append_step": 0.5}, False),
    ("plus lets gaps pass", [[1], [3, 7]], {"append_step": "+"}, True),
]


@pytest.mark.parametrize("attrs", [None, DAYS], ids=["numbers", "days"])
@pytest.mark.parametrize(("name", "parts", "settings", "passes"), ORDERS, ids=[case[0] for case in ORDERS])
def test_order(
    name: str, parts: list[list[int]], settings: dict[str, Any], passes: bool, attrs: dict[str, Any] | None, here: Path
) -> None:
    del name
    slices = lines(here, *parts, attrs=attrs)
    if passes:
        zapz.append(here / "cube", slices, **FAST, **settings)
        assert stored(here / "cube") == flat(parts)
        return
    if len(slices) > 1:
        zapz.append(here / "cube", slices[:-1], **FAST, **settings)
    refused(errors.LabelError, here / "cube", slices[-1], "time", **settings)


def test_every_refusal_says_what_to_do(here: Path) -> None:
    silent = []
    for number, (name, parts, settings, passes) in enumerate(ORDERS):
        if passes:
            continue
        folder = here / str(number)
        folder.mkdir()
        with pytest.raises(errors.LabelError) as caught:
            zapz.append(folder / "cube", lines(folder, *parts), **FAST, **settings)
        if not caught.value.hint:
            silent.append(name)
    assert silent == []


def test_decreasing_target_is_recognised(here: Path) -> None:
    slices = lines(here, [9, 8], [7], [6, 5])
    zapz.append(here / "cube", slices[0], label_order="decreasing", **FAST)
    zapz.append(here / "cube", slices[1:], **FAST)
    assert stored(here / "cube") == [9, 8, 7, 6, 5]
    refused(errors.LabelError, here / "cube", line(here / "up", [10]), "10")
    refused(errors.LabelError, here / "cube", line(here / "down", [4]), "4", label_order="increasing")
    assert zapz.append(here / "cube", slices, **FAST).already == 3


def test_refusal_shows_both_labels_as_dates(here: Path) -> None:
    slices = lines(here, [5, 6], [4], attrs=DAYS)
    zapz.append(here / "cube", slices[0], **FAST)
    error = refused(errors.LabelError, here / "cube", slices[1])
    assert "2024-01-07" in error.expected
    assert "2024-01-05" in error.found


@pytest.mark.parametrize("labels", [[4, 5, 5], [5, 4, 5], [5, 5], [5, 5, 3]], ids=str)
@pytest.mark.parametrize("target", [[], [2, 3]], ids=str)
def test_a_slice_that_has_a_label_twice(target: list[int], labels: list[int], here: Path) -> None:
    """No order makes them two, and label_order = any would append the label twice: neither is offered."""
    if target:
        zapz.append(here / "cube", line(here / "first", target, DAYS), **FAST)
    slice_ = line(here / "twice", labels, DAYS)
    if target:
        error = refused(errors.LabelError, here / "cube", slice_, "two steps of the slice have the same label")
    else:
        with pytest.raises(errors.LabelError, match="two steps of the slice have the same label") as caught:
            zapz.append(here / "cube", slice_, **FAST)
        error = caught.value
    i, j = (n for n, label in enumerate(labels) if label == 5)
    assert error.found == f"2024-01-06T00:00:00 at index {i} and at index {j}"
    assert not error.remedies
    kept = [label for n, label in enumerate(labels) if n != j]
    if kept == sorted(kept):  # the hint, followed
        zapz.append(here / "cube", line(here / "once", kept, DAYS), **FAST)


@pytest.mark.parametrize(
    ("step", "passes"),
    [
        ("1D", True),
        ("24h", True),
        ("1440min", True),
        ("86400s", True),
        ("D", True),
        ("+1D", True),
        ("-1D", False),
        ("12h", False),
        ("1W", False),
        ("1.0D", True),
        (1, True),
        (1.0, True),
        (24, False),
        (86400, False),
    ],
)
@pytest.mark.parametrize("units", ["days since 2024-01-01"])
def test_step_of_times(step: Any, passes: bool, units: str, here: Path) -> None:
    slices = lines(here, [1, 2], [3, 4], attrs={**DAYS, "units": units})
    if passes:
        assert zapz.append(here / "cube", slices, append_step=step, **FAST).length == 4
    else:
        refused(errors.LabelError, here / "cube", slices[0], "time", append_step=step)


def test_step_in_the_labels_own_units(here: Path) -> None:
    """A number counts the label's own units: hours here."""
    slices = lines(here, [6, 12], [18, 24], attrs={**DAYS, "units": "hours since 2024-01-01"})
    assert zapz.append(here / "cube", slices, append_step=6, **FAST).length == 4


@pytest.mark.parametrize(("seam", "passes"), [(3, True), (4, False)])
def test_step_is_checked_between_calls_too(seam: int, passes: bool, here: Path) -> None:
    slices = lines(here, [1, 2], [seam, seam + 1], attrs=DAYS)
    zapz.append(here / "cube", slices[0], append_step="1D", **FAST)
    if passes:
        zapz.append(here / "cube", slices[1], append_step="1D", **FAST)
    else:
        refused(errors.LabelError, here / "cube", slices[1], "time", append_step="1D")


def test_step_of_floats(here: Path) -> None:
    slices = lines(here, [0.1, 0.2], [0.30000000000000004, 0.4])
    assert zapz.append(here / "cube", slices, append_step=0.1, **FAST).length == 4
    refused(errors.LabelError, here / "cube", line(here / "next", [0.6]), "time", append_step=0.1)


def test_step_of_float_days(here: Path) -> None:
    slices = lines(here, [0.0, 1 / 24, 2 / 24], [3 / 24, 4 / 24], attrs=DAYS)
    assert zapz.append(here / "cube", slices, append_step="1h", **FAST).length == 5


@pytest.mark.parametrize(
    "step", ["", "1", "h1", "1 fortnight", "--1D", "1/0s", "nanD", "infs", "1e999D", "0D", "D1D", "½D"]
)
def test_steps_of_nonsense(step: str, here: Path) -> None:
    slices = lines(here, [1, 2], attrs=DAYS)
    before = tree(here)
    with pytest.raises(errors.ConfigError, match="append_step") as caught:
        zapz.append(here / "cube", slices[0], append_step=step, **FAST)
    assert caught.value.exit_code == 2
    assert tree(here) == before


@pytest.mark.parametrize("step", ["1D", "-2h"])
def test_durations_are_for_times(step: str, here: Path) -> None:
    slices = lines(here, [1, 2])
    before = tree(here)
    with pytest.raises(errors.ConfigError, match="append_step"):
        zapz.append(here / "cube", slices[0], append_step=step, **FAST)
    assert tree(here) == before


# --- there already ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attrs", [None, DAYS], ids=["numbers", "days"])
@pytest.mark.parametrize("settings", [{"label_chunk": 1}, {"label_chunk": 2}, {}], ids=str)
@pytest.mark.parametrize("falling", [False, True])
def test_every_slice_is_found_again(
    falling: bool, settings: dict[str, Any], attrs: dict[str, Any] | None, here: Path
) -> None:
    zarr_format = 2 if settings else 3
    parts = [[1], [3, 4], [7, 8, 9], [20]]
    parts = [part[::-1] for part in parts[::-1]] if falling else parts
    slices = lines(here, *parts, attrs=attrs, zarr_format=zarr_format)
    order = {"label_order": "decreasing"} if falling else {}
    zapz.append(here / "cube", slices, **FAST, **settings, **order)
    before = tree(here)
    for slice_ in slices:
        for how, outcome in (("resume", "already"), ("skip", "skipped")):
            assert zapz.append(here / "cube", slice_, on_existing=how, **FAST).slices[0].outcome == outcome
        with pytest.raises(errors.LabelError, match="already"):
            zapz.append(here / "cube", slice_, on_existing="refuse", **FAST)
    partly = [
        [2, 3],
        [3],
        [4],
        [4, 7],
        [8, 9, 20],
        [20, 21],
        [3, 4, 5],
        [3, 4, 7],
        [1, 3, 4, 7, 8, 9, 20, 30],
        [0, 1],
        [25] if falling else [0],
        [2],
        [5, 6],
        [10],
    ]
    for number, labels in enumerate(partly):
        new = line(
            here.parent / f"partly{number}.zarr", labels[::-1] if falling else labels, attrs, zarr_format=zarr_format
        )
        for how in ("resume", "skip", "refuse"):
            if how == "skip" and labels in (
                [3],
                [4],
                [4, 7],
                [8, 9, 20],
                [3, 4, 7],
            ):  # all of its labels are there, in one run
                assert zapz.append(here / "cube", new, on_existing=how, **FAST).skipped == 1
                continue
            with pytest.raises(errors.LabelError, match=new.name):
                zapz.append(here / "cube", new, on_existing=how, **FAST)
    assert tree(here) == before


def test_labels_there_with_other_values(here: Path) -> None:
    slices = lines(here, [1, 2], [3, 4])
    zapz.append(here / "cube", slices, **FAST)
    for position in (0, 1):
        values = [2, 3]
        values[position] = 999
        other = line(here / f"other{position}", [3, 4], values=values)
        error = refused(errors.LabelError, here / "cube", other, "other values", "v", facts=False)
        assert "on_existing" in error.hint
        assert zapz.append(here / "cube", other, on_existing="skip", **FAST).skipped == 1


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_resume_with_missing_cells_of_every_kind(zarr_format: int, here: Path) -> None:
    record = np.zeros(2, [("a", "<f4"), ("b", "<i2")])
    record["a"] = np.nan
    for name in "ab":
        line(here / name, [1, 2], zarr_format=zarr_format)
        for variable, data in {
            "f": [np.nan, 1.0],
            "c": [1j, np.nan],
            "m": np.array(["NaT", "2020-01-01"], "M8[ns]"),
            "r": record,
        }.items():
            if variable == "r" and zarr_format == 3:
                continue
            write_array(here / name, variable, np.asarray(data), zarr_format=zarr_format, dims=["time"])
    zapz.append(here / "cube", here / "a", **FAST)
    assert zapz.append(here / "cube", here / "a", **FAST).already == 1
    refused(errors.LabelError, here / "cube", here / "b", "b, v", facts=False)


@pytest.mark.parametrize("hours", range(1, 9))
def test_resume_after_a_conversion_to_float_days(hours: int, here: Path) -> None:
    """25 h are no float of days: what is there is the nearest one, and the slice is there all the same."""
    first = line(here / "first", [0.0], DAYS)
    second = line(here / "second", [hours, 24 + hours], {**DAYS, "units": "hours since 2024-01-01"})
    zapz.append(here / "cube", [first, second], **FAST)
    again = zapz.append(here / "cube", [first, second], **FAST)
    assert (again.appended, again.already, again.length) == (0, 2, 3)


@pytest.mark.parametrize("hours", [1, 2, 5, 7, 8])
def test_a_label_is_not_appended_twice_by_rounding(hours: int, here: Path) -> None:
    """The seam is compared as the target stores it."""
    first = line(here / "first", [0.0, hours / 24], DAYS)
    second = line(here / "second", [hours, 24], {**DAYS, "units": "hours since 2024-01-01"})
    zapz.append(here / "cube", first, **FAST)
    refused(errors.LabelError, here / "cube", second, "time")


def test_the_same_slice_twice_in_one_call(here: Path) -> None:
    a, b = lines(here, [1, 2], [3, 4], attrs=DAYS)
    real = zapz.append(here / "cube", [a, a, b, a, b], **FAST)
    assert [s.outcome for s in real.slices] == ["appended", "already", "appended", "already", "already"]


def test_dry_run_tells_what_the_run_would_do(here: Path) -> None:
    a, b = lines(here, [1, 2], [3, 4], attrs=DAYS)
    for items in ([a, a], [a, b, b], [a, b, a]):
        before = tree(here)
        dry = [s.outcome for s in zapz.append(here / "cube", items, dry_run=True, **FAST).slices]
        assert tree(here) == before
        assert dry.count("planned") == len(set(items))
        assert dry.count("already") == len(items) - len(set(items))


def test_reversed_slice_is_not_there(here: Path) -> None:
    a, b = line(here / "a", [1, 2, 3]), line(here / "b", [3, 2, 1])
    zapz.append(here / "cube", a, **FAST)
    for how in ("resume", "skip", "refuse"):
        refused(errors.LabelError, here / "cube", b, "time", on_existing=how)


def test_any_order_appends_once(here: Path) -> None:
    a = line(here / "a", [2, 1])
    report = zapz.append(here / "cube", [a, a], label_order="any", **FAST)
    assert stored(here / "cube") == [2, 1]
    assert (report.appended, report.already) == (1, 1)


# --- kinds of labels -----------------------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[list[Any], Any]] = {
    "uint8": ([[1], [2, 255]], "u1"),
    "beyond int64": ([[1, 2**63], [2**63 + 1, 2**64 - 1]], "u8"),
    "near in int64": ([[2**62], [2**62 + 1]], "i8"),
    "negative": ([[-5, -4], [-3]], "i2"),
    "float": ([[0.5], [np.nextafter(0.5, 1), np.inf]], "f8"),
    "big endian": ([[1], [2]], ">i4"),
    "text": ([["a", "b"], ["ba", "c"]], "<U2"),
    "bytes": ([[b"a", b"b"], [b"ba"]], "S2"),
    "objects": ([["a", "b"], ["ba", "é" * 50]], object),
    "datetime64[ns]": ([["2024-01-01", "2024-01-02"], ["2024-01-03T12:00:00.000000001"]], "M8[ns]"),
    "datetime64[s]": ([["1900-01-01"], ["2200-01-02"]], "M8[s]"),
    "timedelta64": ([[1, 2], [3]], "m8[h]"),
    "bool": ([[False], [True]], "?"),
}  # fmt: skip


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_kinds(kind: str, zarr_format: int, here: Path) -> None:
    parts, dtype = KINDS[kind]
    slices = lines(here, *parts, dtype=dtype, zarr_format=zarr_format)
    zapz.append(here / "cube", slices, **FAST)
    assert stored(here / "cube") == flat([np.asarray(p, dtype).tolist() for p in parts])
    assert zapz.append(here / "cube", slices, **FAST).already == 2
    assert zapz.info(here / "cube").labels["time"]
    if len(parts[0]) > 1:
        refused(
            errors.LabelError,
            here / "cube",
            line(here / "part", parts[0][1:] + parts[1][:1], dtype=dtype, zarr_format=zarr_format),
            facts=False,
        )
    refused(
        errors.LabelError,
        here / "down",
        line(here / "reversed", flat(parts)[::-1], dtype=dtype, zarr_format=zarr_format),
        "time",
    )


@pytest.mark.parametrize("step", [1, "1D", "+"])
@pytest.mark.parametrize("kind", ["text", "bytes", "objects"])
def test_step_of_text(kind: str, step: Any, here: Path) -> None:
    parts, dtype = KINDS[kind]
    slices = lines(here, *parts, dtype=dtype)
    before = tree(here)
    if step == "+":
        assert zapz.append(here / "cube", slices, append_step=step, **FAST).appended == 2
    else:
        with pytest.raises(errors.ZapzError, match=r"append_step|labels"):
            zapz.append(here / "cube", slices, append_step=step, **FAST)
        assert tree(here) == before


@pytest.mark.parametrize(
    ("dtype", "step", "passes"),
    [
        ("M8[ns]", "1D", True),
        ("M8[ns]", "1h", False),
        ("M8[D]", "1D", True),
        ("m8[D]", "24h", True),
        ("m8[h]", 24, True),
    ],
)
def test_step_of_numpy_times(dtype: str, step: Any, passes: bool, here: Path) -> None:
    labels = np.arange(1, 5).astype("m8[D]").astype(dtype.replace("M", "m"))
    parts = labels.view("i8").astype("i8").view(dtype) if dtype[0] == "M" else labels
    slices = lines(here, parts[:2], parts[2:], dtype=dtype)
    if passes:
        assert zapz.append(here / "cube", slices, append_step=step, **FAST).length == 4
    else:
        refused(errors.LabelError, here / "cube", slices[0], "time", append_step=step)


def test_complex_labels_have_no_order(here: Path) -> None:
    slice_ = line(here / "s", [1 + 1j, 2 + 2j])
    before = tree(here)
    with pytest.raises(errors.ZapzError, match="time"):
        zapz.append(here / "cube", slice_, **FAST)
    assert tree(here) == before
    zapz.append(here / "cube", slice_, label_order="any", **FAST)


@pytest.mark.parametrize("kind", ["times", "numbers"])
def test_missing_label(kind: str, here: Path) -> None:
    attrs = {**DAYS, "_FillValue": -1} if kind == "times" else None
    labels = [3, -1, 5] if kind == "times" else [3.0, float("nan"), 5.0]
    target = line(here / "first", [1, 2], attrs, dtype=None if kind == "times" else "f8")
    zapz.append(here / "cube", target, **FAST)
    for order in (None, "any"):
        error = refused(
            errors.LabelError,
            here / "cube",
            line(here / "gap", labels, attrs) if order is None else here / "gap",
            "time",
            "index 1",
            label_order=order,
            facts=False,
        )
        assert "missing" in error.what


def test_missing_numpy_label(here: Path) -> None:
    refused(
        errors.LabelError,
        here / "cube",
        line(here / "gap", ["2024-01-01", "NaT"], dtype="M8[s]"),
        "time",
        "index 1",
        facts=False,
    )


@pytest.mark.parametrize("chunk", [1, 2, 3, 6])
@pytest.mark.parametrize("gap", range(6))
def test_target_with_a_missing_label(gap: int, chunk: int, here: Path) -> None:
    """Others wrote it so: appending goes on, and nothing falls over it."""
    labels = np.arange(6)
    labels[gap] = -1
    attrs = {**DAYS, "_FillValue": -1}
    cube_ = line(here / "cube", labels, attrs, chunk=chunk, values=range(6))
    for start in (0, 2, 4):
        mine = line(here / f"s{start}", [start, start + 1], attrs, values=[start, start + 1])
        if gap in {start, start + 1}:
            if start != 4:
                refused(errors.LabelError, cube_, mine, "time")
        elif gap != 5:  # with its last label missing, nobody knows
            assert zapz.append(cube_, mine, **FAST).already == 1
    if gap != 5:
        assert zapz.append(cube_, line(here / "next", [6, 7], attrs), **FAST).length == 8
        assert zapz.append(cube_, here / "next", **FAST).already == 1


@pytest.mark.parametrize("second", [(2, -2.0), (0, -1.0), (0, 0.5)])
def test_packed_labels_are_compared_by_their_values(second: tuple[int, float], here: Path) -> None:
    start, offset = second
    a = line(here / "a", [0, 1], {"scale_factor": 0.5, "add_offset": 0.0})
    b = line(here / "b", [start, start + 1], {"scale_factor": 0.5, "add_offset": offset})
    zapz.append(here / "cube", a, **FAST)
    refused(errors.LabelError, here / "cube", b, "time")


def test_packed_labels_that_follow(here: Path) -> None:
    a = line(here / "a", [0, 1], {"scale_factor": 0.5, "add_offset": 0.0})
    b = line(here / "b", [0, 1], {"scale_factor": 0.5, "add_offset": 1.0})
    assert zapz.append(here / "cube", [a, b], **FAST).appended == 2
    assert opened(here / "cube")["time"].values.tolist() == [0.0, 0.5, 1.0, 1.5]
    assert zapz.append(here / "cube", [a, b], **FAST).already == 2


def test_labels_that_fall_by_a_negative_scale(here: Path) -> None:
    a = line(here / "a", [1, 2, 3], {"scale_factor": -1.0})
    refused(errors.LabelError, here / "cube", a, "time")
    zapz.append(here / "cube", a, label_order="decreasing", **FAST)


def test_no_labels_no_check(here: Path) -> None:
    for name in "ab":
        write_group(here / name, zarr_format=3)
        write_array(here / name, "v", np.arange(3), zarr_format=3, dims=["time"])
    assert zapz.append(here / "cube", [here / "a", here / "b", here / "a"], **FAST).length == 9
    assert (
        zapz.append(
            here / "cube", here / "a", label_order="decreasing", append_step="1D", on_existing="refuse", **FAST
        ).length
        == 12
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_variable_of_the_name_that_is_no_label(zarr_format: int, here: Path) -> None:
    for name in "ab":
        write_group(here / name, zarr_format=zarr_format)
        write_array(here / name, "time", np.ones((2, 2)), zarr_format=zarr_format, dims=["time", "n"])
    assert zapz.append(here / "cube", [here / "a", here / "b"], **FAST).length == 4


# --- times -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("formats", CROSSED)
@pytest.mark.parametrize("calendar", ["noleap", "all_leap", "360_day", "julian", "standard", "proleptic_gregorian"])
def test_calendars(calendar: str, formats: tuple[int, int], here: Path) -> None:
    starts = [(1980, 2, 27), (1980, 3, 2), (2300, 12, 29)]
    slices = [
        write(
            here / f"{n}.zarr",
            cf_cube(calendar, start, 2, f"days since {start[0]}-{start[1]:02d}-{start[2]:02d}"),
            formats[n % 2],
        )
        for n, start in enumerate(starts)
    ]
    zapz.append(here / "cube", slices, **FAST)
    times = xr.coders.CFDatetimeCoder(use_cftime=True)
    found = check(here / "cube", slices, times=times)
    assert [str(t)[:10] for t in found.time.values[::2]] == ["1980-02-27", "1980-03-02", "2300-12-29"]
    assert isinstance(found.time.values[0], cftime.datetime)
    assert zapz.append(here / "cube", slices, **FAST).already == 3
    first, last = zapz.info(here / "cube").labels["time"]
    assert first.startswith("1980-02-27")
    assert last.startswith("2300-12-30")
    back = write(here / "back.zarr", cf_cube(calendar, (1981, 1, 1), 2, "hours since 1850-01-01"))
    refused(errors.LabelError, here / "cube", back, "time", "1981-01-01", "2300-12-30")


def test_daily_steps_over_the_end_of_february(here: Path) -> None:
    slices = [
        write(here / f"{n}.zarr", cf_cube("noleap", start, 2, "hours since 2000-01-01"))
        for n, start in enumerate([(2000, 2, 27), (2000, 3, 1)])
    ]
    assert zapz.append(here / "cube", slices, append_step="1D", **FAST).length == 4
    slices = [
        write(here / f"s{n}.zarr", cf_cube("standard", start, 2, "hours since 2000-01-01"))
        for n, start in enumerate([(2000, 2, 27), (2000, 3, 1)])
    ]
    zapz.append(here / "other", slices[0], append_step="1D", **FAST)
    refused(errors.LabelError, here / "other", slices[1], "time", append_step="1D")


@pytest.mark.parametrize("formats", CROSSED)
def test_days_since_that_day(formats: tuple[int, int], here: Path) -> None:
    slices = [write(here / f"{n}.zarr", cube(n, 1), formats[n % 2]) for n in range(5)]
    assert [stored(s) for s in slices] == [[0]] * 5
    zapz.append(here / "cube", slices, append_step="1D", label_units="keep", **FAST)
    check(here / "cube", slices)
    assert stored(here / "cube") == [0, 1, 2, 3, 4]
    assert zapz.append(here / "cube", slices[::-1], **FAST).already == 5


def test_noon_is_not_rounded(here: Path) -> None:
    first = write(here / "first.zarr", cube(0, 1))
    noon = cube(1, 1)
    noon = noon.assign_coords(time=noon.time.values + np.timedelta64(12, "h"))
    noon.time.encoding = {"units": "hours since 2024-01-02 12:00", "dtype": "i8"}
    second = write(here / "second.zarr", noon)
    zapz.append(here / "cube", first, label_units="keep", **FAST)
    error = refused(errors.EncodingError, here / "cube", second, "time", "2024-01-02T12:00")
    assert "hours since" in error.hint


@pytest.mark.parametrize(
    ("target", "slice_", "passes"),
    [("i8", "M8[ns]", False), ("M8[ns]", "i8", True), ("M8[s]", "M8[ms]", True), ("M8[D]", "M8[s]", False)],
)
def test_numpy_times_and_numbers(target: str, slice_: str, passes: bool, here: Path) -> None:
    def one(name: str, kind: str, when: str) -> Path:
        if kind == "i8":
            return line(here / name, [int(np.datetime64(when, "h").astype("i8"))], {"units": "hours since 1970-01-01"})
        return line(here / name, [when], dtype=kind)

    slices = [
        one("a", target, "2024-01-01"),
        one("b", slice_, "2024-01-02T00:30" if not passes else "2024-01-02T06:00"),
    ]
    zapz.append(here / "cube", slices[0], **FAST)
    if passes:
        zapz.append(here / "cube", slices[1], **FAST)
        found = opened(here / "cube").time.values
        assert found[1] == np.datetime64("2024-01-02T06:00")
        assert zapz.append(here / "cube", slices, **FAST).already == 2
    else:
        refused(errors.EncodingError, here / "cube", slices[1], "time")


@pytest.mark.parametrize("units", ["months since 2000-01-01", "years since 2000-01-01"])
def test_indefinite_units_are_numbers(units: str, here: Path) -> None:
    slices = lines(here, [1, 2], [3], attrs={"units": units})
    zapz.append(here / "cube", slices, **FAST)
    assert stored(here / "cube") == [1, 2, 3]
    refused(errors.LabelError, here / "cube", line(here / "back", [0], {"units": units}), "time")
    refused(
        errors.EncodingError,
        here / "cube",
        line(here / "other", [9], {"units": units.replace("2000", "2001")}),
        "time",
        "2001",
    )


def test_before_the_switch_of_calendars(here: Path) -> None:
    a = line(here / "a", [-200_000], {"units": "days since 2000-01-01", "calendar": "proleptic_gregorian"})
    b = line(here / "b", [-199_000], {"units": "days since 2000-01-01", "calendar": "standard"})
    zapz.append(here / "cube", a, **FAST)
    refused(errors.EncodingError, here / "cube", b, "time", "1582-10-15")


# --- nested groups -----------------------------------------------------------------------------------------------------------


def nested(path: Path, root: Sequence[int], deep: Sequence[int], zarr_format: int = 2) -> Path:
    line(path, root, DAYS, zarr_format=zarr_format, values=root)
    write_group(path, zarr_format=zarr_format, name="deep")
    line(path / "deep", deep, {**DAYS, "units": "hours since 2024-01-01"}, zarr_format=zarr_format, values=deep)
    return path


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_labels_of_nested_groups(zarr_format: int, here: Path) -> None:
    slices = [nested(here / f"{n}", [2 * n, 2 * n + 1], [10 * n, 10 * n + 1], zarr_format) for n in range(3)]
    zapz.append(here / "cube", slices[:2], **FAST)
    assert stored(here / "cube") == [0, 1, 2, 3]
    assert stored(here / "cube", "deep/time") == [0, 1, 10, 11]
    for group in (None, "deep"):
        xr.testing.assert_equal(
            opened(here / "cube", group=group, consolidated=False), joined(slices[:2], group=group, consolidated=False)
        )
    assert zapz.append(here / "cube", slices[:2], **FAST).already == 2
    refused(errors.LabelError, here / "cube", nested(here / "bad", [4, 5], [5, 12], zarr_format), "deep/time")
    refused(errors.LabelError, here / "cube", nested(here / "worse", [2, 4], [20, 21], zarr_format), "time")
    zapz.append(here / "cube", slices[2], **FAST)
    assert sorted(zapz.info(here / "cube").labels) == ["deep/time", "time"]


@pytest.mark.parametrize("how", ["resume", "skip", "refuse"])
@pytest.mark.parametrize(("root", "deep"), [([4, 5], [0, 1]), ([0, 1], [40, 50]), ([4, 5], [10, 11]), ([2, 3], [0, 1])])
def test_labels_of_some_groups_are_there(root: list[int], deep: list[int], how: str, here: Path) -> None:
    """A slice that is new in one group and old in another is partly there, whatever ``on_existing`` says."""
    zapz.append(here / "cube", [nested(here / "a", [0, 1], [0, 1]), nested(here / "b", [2, 3], [10, 11])], **FAST)
    refused(errors.LabelError, here / "cube", nested(here / "c", root, deep), "time", on_existing=how, facts=False)


def test_groups_with_other_sizes_of_a_dimension_of_the_same_name(here: Path) -> None:
    for n in range(2):
        path = nested(here / f"{n}", [2 * n, 2 * n + 1], [2 * n, 2 * n + 1])
        write_array(path, "x", np.arange(3), zarr_format=2, dims=["x"], fill=None)
        write_array(path, "deep/x", np.arange(5), zarr_format=2, dims=["x"], fill=None)
        write_array(path, "deep/cube", np.ones((2, 5)) * n, zarr_format=2, dims=["time", "x"])
        write_array(path, "deep/deep", np.ones(2) * n, zarr_format=2, dims=["time"])
    zapz.append(here / "cube", [here / "0", here / "1"], **FAST)
    xr.testing.assert_equal(
        opened(here / "cube", group="deep", consolidated=False),
        joined([here / "0", here / "1"], group="deep", consolidated=False),
    )


def test_group_whose_time_has_another_length(here: Path) -> None:
    path = nested(here / "s", [0, 1], [0])
    refused(errors.DimensionError, here / "cube", path, "'time'", "deep")


def test_gaps_do_not_touch_the_last_step(here: Path) -> None:
    """A refused step in the middle of several slices: those before stay, if they were not known before."""
    a, b, c = lines(here, [1, 2], [3], [5], attrs=DAYS)
    with pytest.raises(errors.LabelError, match="append_step"):
        zapz.append(here / "cube", [a, b, c], append_step="1D", **FAST)
    assert not (here / "cube").exists()
    with pytest.raises(errors.LabelError, match="append_step"):
        zapz.append(here / "cube", iter([a, b, c]), append_step="1D", **FAST)
    assert stored(here / "cube") == [1, 2, 3]


@pytest.mark.parametrize(
    ("first", "then", "note"),
    [
        ([1, 2], [0], "2024-01-01T00:00:00 is appended after 2024-01-03T00:00:00"),
        ([3], [5, 4], "2024-01-06T00:00:00 is appended after 2024-01-04T00:00:00"),
        ([1, 2], [3, 4], ""),
        ([4, 3], [2], ""),
        ([3], [2], ""),
    ],
)
def test_labels_that_come_into_no_order_are_told(first: list[int], then: list[int], note: str, tmp_path: Path) -> None:
    """Each time: the setting that allows it may have been set long ago."""
    for number, labels in enumerate((first, then)):
        report = zapz.append(
            tmp_path / "cube",
            line(tmp_path / f"s{number}", labels, DAYS),
            label_order="any",
            label_units="keep",
            **FAST,
        )
    expected = [f"time: {note}: the labels are not in order (label_order: any)"] if note else []
    assert list(report.slices[0].notes) == expected
    if note:
        again = line(tmp_path / "again", [-1], DAYS)
        assert (
            "the labels are not in order"
            in zapz.append(tmp_path / "cube", again, label_order="any", **FAST).slices[0].notes[0]
        )
