"""``append_step``: how steps are written, which series keep one, calendar months in every calendar."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit.cf_cubes import FAST, refused
from kit.label_lines import DAYS, line, lines
from kit.trees import tree

import zapz
from zapz import errors
from zapz.cf import calendars
from zapz.cf.durations import Duration, check_step, iso_of, parse_step
from zapz.cf.encoding import encoding_of
from zapz.config.layers import make
from zapz.errors import ConfigError, LabelError, ZapzError
from zapz.planning.label_order import check_labels
from zapz.planning.labels import Labels, Line

HOUR, DAY = 3600, 86400

# --- how steps are written -----------------------------------------------------------------------------------------------

WRITTEN: list[tuple[Any, Any]] = [
    ("+", "+"),
    (" - ", "-"),
    (2, Fraction(2)),
    (-0.5, Fraction(-1, 2)),
    ("12h", 12 * HOUR),
    ("-1D", -DAY),
    ("+2d", 2 * DAY),
    ("W", 7 * DAY),
    ("-h", -HOUR),
    ("30min", 1800),
    ("15m", 900),
    ("0.1h", 360),
    ("250ms", Fraction(1, 4)),
    ("5us", Fraction(1, 200_000)),
    ("1ns", Fraction(1, 10**9)),
    ("PT1H", HOUR),
    ("-PT1H", -HOUR),
    ("+P1D", DAY),
    ("P1DT12H", 36 * HOUR),
    ("-P1W", -7 * DAY),
    ("P1W1D", 8 * DAY),
    ("PT1M", 60),
    ("PT1H30M", 5400),
    ("PT0.5S", Fraction(1, 2)),
    ("PT1,5H", 5400),
    ("PT1H0.5M", 3630),
    ("PT0H1S", 1),
    ("P0DT1S", 1),
    ("P1M", "1 months"),
    ("-P1M", "-1 months"),
    ("P1Y2M", "14 months"),
    ("P1Y", "12 months"),
    ("P0Y3M", "3 months"),
]


@pytest.mark.parametrize(("value", "meaning"), WRITTEN, ids=[str(case[0]) for case in WRITTEN])
def test_what_a_step_means(value: Any, meaning: Any) -> None:
    check_step(value)
    step = parse_step(value)
    if not isinstance(step, Duration):
        assert (step, type(step)) == (meaning, type(meaning))
    elif isinstance(meaning, str):
        assert (f"{step.months} months", step.seconds) == (meaning, 0)
    else:
        assert (step.months, step.seconds) == (0, meaning)


NO_STEPS: list[Any] = [
    "", " ", "++", "1", "P", "PT", "P1", "P1DT", "PT1", "P1H", "PT1D", "P1M1D", "P1YT1H", "P0.5M", "P1.5Y", "PT1.5H1M", "P1D1W", "PT1S1M", "P-1D", "p1d", "pt1h",
    "P1m", "--P1D", "P 1D", "P1D ago", "P0D", "PT0S", "P0M", "0h", "0.0D", "1M", "1Y", "1e3s", "½D", "\u0661D", "P\u0661D", "1_0s", "nan", "infD", "9" * 70 + "D", "P" + "9" * 70 + "Y",
    0, 0.0, float("nan"), float("inf"), True, [], {}, b"1D",
]  # fmt: skip


@pytest.mark.parametrize("value", NO_STEPS, ids=repr)
def test_what_is_no_step_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        check_step(value)
    assert caught.value.where == "append_step"
    assert caught.value.expected
    assert caught.value.found
    assert caught.value.hint


@given(st.text(alphabet="P T0123456789YMWDHSmhsd+-.,", max_size=70))
def test_any_text_is_a_step_or_a_config_error(text: str) -> None:
    try:
        check_step(text)
    except ConfigError:
        return
    assert text.strip()


@given(st.integers(-(10**24), 10**24).filter(bool))
def test_a_written_length_is_read_back(nanoseconds: int) -> None:
    length = Fraction(nanoseconds, 10**9)
    assert parse_step(iso_of(length)).seconds == length  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "PT0S"), (1, "PT1S"), (60, "PT1M"), (DAY, "P1D"), (-DAY - 3661, "-P1DT1H1M1S"), (Fraction(1, 2), "PT0.5S"), (Fraction(-1, 10**10), "PT0S")],
)  # fmt: skip
def test_how_a_length_is_written(seconds: Any, text: str) -> None:
    assert iso_of(Fraction(seconds)) == text


# --- which series keep a step ---------------------------------------------------------------------------------------------


def verdict(old: list[Any], new: list[Any], step: Any, dtype: str, attributes: dict[str, Any]) -> ZapzError | None:
    """What is said of a slice with labels ``new`` behind a target that ends with ``old``."""
    encoding = encoding_of(np.dtype(dtype), attributes, None)
    before, after = (Line.of(encoding, np.asarray(values, dtype)) for values in (old, new))
    try:
        found = Labels(path="time", old=before, new=after, distinct=len(set(new)))
        check_labels(found, make({"append_step": step}), "slice")
    except ZapzError as error:
        return error
    return None


HOURS = {"units": "hours since 2024-01-01"}
NUMBERS: list[tuple[str, list[Any], Any, dict[str, Any], bool]] = [
    ("f8", [0.1, 0.2, 0.3], 0.1, {}, True),
    ("f8", [0.1, 0.2, 0.31], 0.1, {}, False),
    ("f8", [0.1, 0.2, 0.3 + 1e-13], 0.1, {}, False),
    ("f8", [0.3, 0.2, 0.1], -0.1, {}, True),
    ("f8", [0.3, 0.2, 0.1], 0.1, {}, False),
    ("f4", [0.1, 0.2, 0.3], 0.1, {}, True),
    ("f4", [0.1, 0.2, 0.30001], 0.1, {}, False),
    ("f4", [1000.1, 1000.2, 1000.3], 0.1, {}, True),
    ("f8", [1, 2, float("inf")], 1, {}, False),
    ("i2", [0, 3, 6], 0.3, {"scale_factor": 0.1}, True),
    ("i2", [0, 3, 7], 0.3, {"scale_factor": 0.1}, False),
    ("i8", [2**60, 2**60 + 1], 1, {}, True),
    ("i8", [2**60, 2**60 + 2], 1, {}, False),
    ("i4", [0, 1, 2], "PT1H", HOURS, True),
    ("i4", [0, 1, 3], "PT1H", HOURS, False),
    ("i4", [0, 36], "P1DT12H", HOURS, True),
    ("i4", [336, 168, 0], "-P1W", HOURS, True),
    ("i4", [0, 6], 6, HOURS, True),
    ("f8", [0, 0.1, 0.2, 0.3], "PT6M", HOURS, True),
    ("f8", [0, 0.1, 0.2, 0.3001], "PT6M", HOURS, False),
    ("f4", [0.1, 0.2, 0.3], "6m", HOURS, True),
    ("i8", [0, 250, 500], "PT0.25S", {"units": "milliseconds since 2024-01-01"}, True),
    ("i8", [0, 250, 501], "PT0.25S", {"units": "milliseconds since 2024-01-01"}, False),
    ("i8", [10**18, 10**18 + 1], "1ns", {"units": "nanoseconds since 1970-01-01"}, True),
    ("i8", [10**18, 10**18 + 2], "1ns", {"units": "nanoseconds since 1970-01-01"}, False),
    ("f8", [1e308, 1.1e308], 1, {"units": "days since 2000-01-01"}, False),
    ("m8[s]", [0, 3600], "PT1H", {}, True),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "labels", "step", "attributes", "passes"), NUMBERS)
def test_steps_of_fixed_length(
    dtype: str, labels: list[Any], step: Any, attributes: dict[str, Any], passes: bool
) -> None:
    """Wherever the target ends; what breaks a series here is its last label."""
    for cut in range(len(labels)):
        error = verdict(labels[:cut][-2:], labels[cut:], step, dtype, attributes)
        assert error is None if passes else isinstance(error, LabelError)


@given(
    start=st.integers(-(10**9), 10**9),
    step=st.integers(-(10**7), 10**7).filter(bool),
    count=st.integers(2, 10),
    slip=st.integers(-5, 5),
    where=st.integers(0, 9),
)
def test_times_keep_a_step_exactly(start: int, step: int, count: int, slip: int, where: int) -> None:
    labels = [start + i * step for i in range(count)]
    labels[where % count] += slip
    error = verdict([], labels, iso_of(Fraction(step)), "i8", {"units": "seconds since 2000-01-01"})
    assert (error is None) == (slip == 0)


WRONG_LABELS: list[tuple[str, list[Any], Any, dict[str, Any], str]] = [
    ("i4", [1, 2], "PT1H", {}, "not times"),
    ("i4", [1, 2], "P1M", {}, "not times"),
    ("i4", [0, 1], "P1M", {"units": "months since 2000-01-01"}, "not times"),
    ("m8[D]", [0, 31], "P1M", {}, "the labels are durations"),
    ("U1", ["a", "b"], 1, {}, "neither numbers nor times"),
    ("M8[M]", ["2024-01", "2024-02"], 1, {}, "neither numbers nor times"),
]


@pytest.mark.parametrize(("dtype", "labels", "step", "attributes", "what"), WRONG_LABELS)
def test_steps_that_labels_cannot_keep(
    dtype: str, labels: list[Any], step: Any, attributes: dict[str, Any], what: str
) -> None:
    error = verdict([], labels, step, dtype, attributes)
    assert isinstance(error, ConfigError)
    assert what in error.what
    assert error.hint


# --- calendar months ------------------------------------------------------------------------------------------------------

MONTHS: list[
    tuple[str, str, str, str, str]
] = [  # calendar, labels in the target, labels of the slice, step, what is refused
    ("standard", "", "2024-01-01 2024-02-01 2024-03-01", "P1M", ""),
    ("standard", "2024-01-15", "2024-02-15", "P1M", ""),
    ("standard", "2024-01-15", "2024-02-16", "P1M", "2024-02-15"),
    ("standard", "2024-01-15", "2024-03-15", "P1M", "2024-02-15"),
    ("standard", "2024-03-15", "2024-02-15 2024-01-15", "-P1M", ""),
    ("standard", "2024-03-15", "2024-04-15", "-P1M", "before"),
    ("standard", "2024-01-15T06:00:00.5", "2024-02-15T06:00:00.5", "P1M", ""),
    ("standard", "2024-01-15T06", "2024-02-15T07", "P1M", "06:00:00"),
    ("standard", "2020-02-01", "2021-04-01 2022-06-01", "P1Y2M", ""),
    ("standard", "2023-11-30", "2024-02-29", "P3M", ""),
    ("standard", "2024-02-29", "2028-02-29", "P4Y", ""),
    ("standard", "2024-02-29", "2025-02-28", "P1Y", ""),
    ("standard", "2024-02-29", "2025-03-01", "P1Y", "2025-02-28"),
    ("standard", "", "2024-01-31 2024-02-29 2024-03-31 2024-04-30", "P1M", ""),
    ("standard", "2024-01-31 2024-02-29", "2024-03-31", "P1M", ""),
    ("standard", "2024-01-31 2024-02-29", "2024-03-29", "P1M", "2024-03-31"),
    ("standard", "2024-01-29 2024-02-29", "2024-03-31", "P1M", "2024-03-29"),
    ("standard", "2024-02-29", "2024-03-31", "P1M", ""),
    ("standard", "2024-02-29", "2024-03-29", "P1M", ""),
    ("standard", "2024-02-29", "2024-03-30", "P1M", "2024-03-29T00:00:00 or 2024-03-31"),
    ("standard", "", "2023-02-28 2023-03-28 2023-04-30", "P1M", "2023-04-28"),
    ("standard", "2019-05-05 2024-01-31", "2024-02-29", "P1M", ""),
    ("standard", "2024-01-30", "2024-02-29", "P1M", "does not exist"),
    ("standard", "2024-01-30", "2024-03-01", "P1M", "does not exist"),
    ("standard", "2024-01-31", "2024-03-02", "P1M", "2024-02-29"),
    ("standard", "1582-09-04", "1582-10-04 1582-11-04", "P1M", ""),
    ("standard", "1582-09-10", "1582-10-20", "P1M", "does not exist"),
    ("standard", "-0001-12-15", "0001-01-15", "P1M", ""),
    ("proleptic_gregorian", "1582-09-10", "1582-10-10", "P1M", ""),
    ("julian", "1900-01-29", "1900-02-29", "P1M", ""),
    ("noleap", "2024-01-31", "2024-02-28 2024-03-31", "P1M", ""),
    ("noleap", "2024-01-29", "2024-02-28", "P1M", "does not exist"),
    ("all_leap", "2023-01-29", "2023-02-29", "P1M", ""),
    ("360_day", "2024-01-30", "2024-02-30 2024-03-30", "P1M", ""),
    ("360_day", "2024-01-30", "2024-03-01", "P1M", "2024-02-30"),
]


def seconds_of(calendar: str, date: str) -> Fraction:
    axis = calendars.parse_axis(f"seconds since {date if 'T' not in date or ':' in date else date + ':00'}", calendar)
    assert axis is not None
    return axis.origin


@pytest.mark.parametrize(("dtype", "unit"), [("i8", "milliseconds"), ("f8", "days"), ("f8", "hours")])
@pytest.mark.parametrize(("calendar", "old", "new", "step", "refusal"), MONTHS)
def test_calendar_months(calendar: str, old: str, new: str, step: str, refusal: str, dtype: str, unit: str) -> None:
    zero = (old or new).split()[0][:10]
    start = seconds_of(calendar, zero)

    def labels(dates: str) -> list[float]:
        counts = [(seconds_of(calendar, date) - start) / calendars.UNITS[unit] for date in dates.split()]
        return [int(n) if dtype == "i8" else float(n) for n in counts]

    attributes = {"units": f"{unit} since {zero}", "calendar": calendar}
    error = verdict(labels(old), labels(new), step, dtype, attributes)
    if not refusal:
        assert error is None
        return
    assert isinstance(error, LabelError)
    assert refusal in str(error)
    assert error.hint


def test_months_of_labels_rounded_below_midnight() -> None:
    """In floating point a label may lie a little before the day that it means, here the last of its month."""
    attributes = {"units": "days since 1999-12-31 23:40", "calendar": "standard"}
    days = (
        np.array(["2024-03-31", "2024-04-30", "2024-05-31"], "M8[s]") - np.datetime64("1999-12-31T23:40")
    ) / np.timedelta64(1, "D")
    rounded = np.nextafter(days, 0)
    assert verdict([], rounded.tolist(), "P1M", "f8", attributes) is None


@given(
    calendar=st.sampled_from(["standard", "proleptic_gregorian", "julian", "noleap", "all_leap", "360_day"]),
    year=st.integers(1, 3000),
    month=st.integers(1, 12),
    day=st.integers(1, 31),
    months=st.integers(-30, 30),
    clock=st.fractions(0, DAY - 1, max_denominator=1000),
)
def test_months_are_those_of_cftime(
    calendar: str, year: int, month: int, day: int, months: int, clock: Fraction
) -> None:
    def midnight(year: int, month: int, day: int) -> int | None:
        try:
            date = cftime.datetime(year, month, day, calendar=calendar)
        except ValueError:
            return None
        epoch = "1969-12-19" if calendar == "julian" else "1970-01-01"  # the same day in both
        return int(cftime.date2num(date, f"days since {epoch}", calendar=calendar)) * DAY

    def last(year: int, month: int) -> int:
        return next(found for d in (31, 30, 29, 28) if (found := midnight(year, month, d)) is not None)

    start = midnight(year, month, day)
    other = (year * 12 + month - 1 + months) // 12, (month - 1 + months) % 12 + 1
    if start is None or other[0] < 1:
        return
    same, end = midnight(*other, day), last(*other) if start == last(year, month) else None
    assert calendars.months_after(calendar, start + clock, months) == (None if same is None else same + clock)
    assert calendars.month_end_after(calendar, start + clock, months) == (None if end is None else end + clock)


# --- in a target -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "attrs", "step"),
    [
        ([[0, 31], [60], [91, 121]], DAYS, "P1M"),
        ([[30], [59], [90]], DAYS, "P1M"),
        ([[0], [365], [730]], {**DAYS, "calendar": "noleap"}, "P1Y"),
        ([[60], [31], [0]], DAYS, "-P1M"),
        ([[0, 7], [14]], DAYS, "P1W"),
    ],
)
def test_a_step_holds_across_slices_and_calls(
    parts: list[list[int]], attrs: dict[str, Any], step: str, here: Path
) -> None:
    slices = lines(here, *parts, attrs=attrs)
    for slice_ in slices:
        zapz.append(here / "cube", slice_, append_step=step, **FAST)
    assert zapz.append(here / "again", slices, append_step=step, **FAST).appended == len(slices)
    last, previous = parts[-1][-1], parts[-2][-1]
    wrong = line(here / "wrong.zarr", [2 * last - previous + 1], attrs)
    refused(errors.LabelError, here / "cube", wrong, "time", append_step=step)


def test_months_need_times(here: Path) -> None:
    [slice_] = lines(here, [1, 2])
    before = tree(here)
    with pytest.raises(ConfigError, match="append_step"):
        zapz.append(here / "cube", slice_, append_step="P1M", **FAST)
    assert tree(here) == before
