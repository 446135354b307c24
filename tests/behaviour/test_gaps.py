"""Gaps in labels: what was left out is found again, whatever the labels are stored as; an append and ``info`` tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from kit.command_line import run

import zapz
from zapz.cf.conversion import Encoding, encoding_of
from zapz.checks import all_labels
from zapz.planning.gaps import Gap, rhythm_of
from zapz.testing import ObjectService, file_operations

DAY = "days since 2000-01-01"
FORMS: dict[str, tuple[Any, str | None, Any]] = {
    "days": ("i4", DAY, 1),
    "hours as days": ("f8", DAY, 1 / 24),
    "hours as days in single precision": ("f4", DAY, 1 / 24),
    "hours": ("i8", "hours since 1970-01-01", 1),
    "minutes": ("u4", "minutes since 1970-01-01", 15),
    "datetime": ("M8[ns]", None, 3600 * 10**9),
    "lead time": ("m8[h]", None, 6),
    "numbers": ("i2", None, 5),
    "unsigned numbers": ("u8", None, 3),
    "tenths": ("f8", None, 0.1),
}
"""Data type, units and step of labels."""


def meaning(dtype: Any, units: str | None, calendar: str = "standard", **more: Any) -> Encoding:
    attributes = {"units": units, "calendar": calendar} if units else {}
    return encoding_of(np.dtype(dtype), {**attributes, **more}, None)


@given(st.sampled_from(sorted(FORMS)), st.integers(3, 200), st.integers(0, 1000), st.booleans(), st.data())
def test_what_was_left_out_is_found(form: str, size: int, start: int, falling: bool, data: st.DataObject) -> None:
    dtype, units, step = FORMS[form]
    inner = range(1, size - 1)
    out = sorted(data.draw(st.sets(st.sampled_from(inner), max_size=size // 5)) if inner else ())
    kept = [i for i in range(size) if i not in out]
    jumps = np.diff(kept)
    assume(2 * np.sum(jumps == 1) >= jumps.size)
    labels = ((np.array(kept) + start) * step).astype(dtype)[:: -1 if falling else 1]
    found = rhythm_of(meaning(dtype, units), labels)
    expected = [(i, int(n) - 1) for i, n in enumerate(jumps[:: -1 if falling else 1]) if n > 1]
    assert found is not None
    assert ([(gap.start, gap.missing) for gap in found.gaps], found.irregular) == (expected, 0)
    assert found.missing == len(out)


@pytest.mark.parametrize(
    ("dtype", "units", "step", "text"),
    [
        ("i4", DAY, 1, "1 day"),
        ("i4", DAY, 7, "7 days"),
        ("f8", DAY, 0.25, "6 hours"),
        ("f8", DAY, 1 / 24, "1 hour"),
        ("i8", "hours since 2000-01-01", 36, "36 hours"),
        ("i8", "hours since 2000-01-01", 48, "2 days"),
        ("i8", "minutes since 2000-01-01", 90, "90 minutes"),
        ("i8", "milliseconds since 2000-01-01", 1500, "1500 milliseconds"),
        ("M8[D]", None, 1, "1 day"),
        ("M8[W]", None, 2, "2 weeks"),
        ("M8[M]", None, 1, "1 month"),
        ("M8[3M]", None, 1, "3 months"),
        ("M8[Y]", None, 10, "10 years"),
        ("m8[ns]", None, 10**9, "1 second"),
        ("i8", None, 3, "3"),
        ("f8", None, 0.1, "0.1"),
        ("i8", "months since 2000-01-01", 1, "1"),
    ],
)
def test_the_step_is_told_in_its_largest_unit(dtype: Any, units: str | None, step: Any, text: str) -> None:
    found = rhythm_of(meaning(dtype, units), (np.arange(50, 60) * step).astype(dtype))
    assert found is not None
    assert found.step == text


def _days(*dates: str) -> np.ndarray[Any, Any]:
    return (np.array(dates, "M8[D]") - np.datetime64("2000-01-01")).astype("i8")


MONTHS = [f"{year}-{month:02d}" for year in range(2020, 2025) for month in range(1, 13)]


@pytest.mark.parametrize(
    ("labels", "step"),
    [
        (_days(*(f"{month}-01" for month in MONTHS)), "1 month"),
        (_days(*(f"{month}-28" for month in MONTHS)), "1 month"),
        (_days(*(f"{month}-01" for month in MONTHS)) - 1, "1 month"),
        (_days(*(f"{month}-01" for month in MONTHS[::3])), "3 months"),
        (_days(*(f"{year}-07-01" for year in range(1990, 2020))), "1 year"),
        (_days(*(f"{month}-01" for month in MONTHS))[::-1], "1 month"),
    ],
)
@pytest.mark.parametrize(("dtype", "scale"), [("i8", 1), ("f8", 24)])
def test_months_are_steps(labels: np.ndarray[Any, Any], step: str, dtype: str, scale: int) -> None:
    """Whatever their lengths: on the same day and time, or on the last days of months."""
    encoding = meaning(dtype, DAY if scale == 1 else "hours since 2000-01-01")
    stored = (labels * scale + (scale > 1) * 0.5).astype(dtype)
    whole = rhythm_of(encoding, stored)
    assert whole is not None
    assert (whole.step, whole.gaps, whole.irregular) == (step, (), 0)
    found = rhythm_of(encoding, np.delete(stored, [4, 9, 10]))
    assert found is not None
    assert (found.step, found.gaps) == (step, (Gap(start=3, missing=1), Gap(start=7, missing=2)))


@pytest.mark.parametrize(("calendar", "days", "step"), [("360_day", 30, "1 month"), ("noleap", 365, "1 year")])
def test_months_of_other_calendars(calendar: str, days: int, step: str) -> None:
    found = rhythm_of(meaning("i8", DAY, calendar), np.delete(np.arange(20) * days, 4))
    assert found is not None
    assert (found.step, found.gaps) == (step, (Gap(start=3, missing=1),))


@pytest.mark.parametrize(
    ("dtype", "units", "labels"),
    [
        ("i8", DAY, []),
        ("i8", DAY, [4]),
        ("i8", DAY, [4, 9]),
        ("i8", DAY, [1, 1, 1]),
        ("i8", DAY, [0, 1, 5, 11, 13, 20, 22]),
        ("f8", DAY, [0, 1, np.nan, 3]),
        ("f8", DAY, [0, 1, np.inf, 3]),
        ("M8[ns]", None, np.array(["2000-01-01", "NaT", "2000-01-03", "2000-01-04"], "M8[ns]")),
        ("U3", None, ["a", "b", "c", "d"]),
        (object, None, ["a", "b", "c", "d"]),
        ("?", None, [True, False, True]),
        ("f8", None, [-1.7e308, 0, 1.7e308]),
        ("f8", None, [-1.7e308, 1.7e308, 1.7e308]),
    ],
)
def test_labels_that_keep_no_step(dtype: Any, units: str | None, labels: Any) -> None:
    assert rhythm_of(meaning(dtype, units), np.asarray(labels, dtype)) is None


def test_a_label_that_is_irregular_hides_no_gap() -> None:
    labels = [*range(20), 20.5, *range(22, 30), *range(33, 40)]
    found = rhythm_of(meaning("f8", DAY), np.array(labels, "f8"))
    assert found is not None
    assert (found.gaps, found.irregular) == ((Gap(start=28, missing=3),), 2)


def test_numbers_as_far_apart_as_they_can_be() -> None:
    found = rhythm_of(meaning("i8", None), np.array([-(2**63) + 1, 0, 2**63 - 1]))
    assert found is not None
    assert found.gaps == ()


# -- appending -----------------------------------------------------------------------------------------------------------


def notes(target: Path, *slices: list[Any], **settings: Any) -> list[str]:
    """Append slices with these labels, and return what is said of gaps."""
    found: list[str] = []
    for labels in slices:
        stored = np.array(labels, "M8[ns]") if isinstance(labels[0], str) else np.array(labels)
        report = zapz.append(target, {"time": ("time", stored), "v": ("time", np.zeros(len(labels)))}, **settings)
        found += [note for each in report.slices for note in each.notes if "missing" in note]
    return found


HOURS = {"variables": {"time": {"encoding": {"units": "hours since 2025-01-01"}}}}


@pytest.mark.parametrize(
    ("slices", "settings", "says"),
    [
        ([["2025-01-04", "2025-01-05"], ["2025-01-09"]], {}, "3 steps are missing between 2025-01-05 and 2025-01-09 (step so far 1 day)"),
        ([["2025-01-04"], ["2025-01-05"], ["2025-01-07", "2025-01-08"]], {}, "1 step is missing between 2025-01-05 and 2025-01-07 (step so far 1 day)"),
        ([["2025-01-01T00", "2025-01-01T06"], ["2025-01-02T06"]], HOURS, "3 steps are missing between 2025-01-01T06:00:00 and 2025-01-02T06:00:00 (step so far 6 hours)"),
        ([["2025-01-01", "2025-02-01"], ["2025-03-01"], ["2025-06-01"]], {}, "2 steps are missing between 2025-03-01 and 2025-06-01 (step so far 1 month)"),
        ([["2025-01-31", "2025-02-28"], ["2025-04-30"]], {}, "1 step is missing between 2025-02-28 and 2025-04-30 (step so far 1 month)"),
        ([[5, 6], [9]], {}, "2 steps are missing between 6 and 9 (step so far 1)"),
        ([[9, 6], [0]], {"append_step": "-"}, "1 step is missing between 6 and 0 (step so far 3)"),
        ([[0.1, 0.2], [0.5]], {}, "2 steps are missing between 0.2 and 0.5 (step so far 0.1)"),
    ],
)  # fmt: skip
def test_an_append_says_that_steps_are_missing(
    tmp_path: Path, slices: list[list[Any]], settings: dict[str, Any], says: str
) -> None:
    assert notes(tmp_path / "cube.zarr", *slices, **settings) == [says]


@pytest.mark.parametrize(
    "slices",
    [
        [["2025-01-04"], ["2025-01-09"]],  # one label tells no step
        [["2025-01-04", "2025-01-05", "2025-01-06"]],
        [["2025-01-04", "2025-01-05"], ["2025-01-06"]],
        [["2025-01-04", "2025-01-08"], ["2025-01-09"]],  # nearer
        [["2025-01-04", "2025-01-06"], ["2025-01-09"]],  # no whole number of steps
        [["2025-01-04", "2025-01-05"], ["2025-01-09", "2025-01-11"]],  # the slice keeps another step
        [["2025-01-01", "2025-02-01"], ["2025-03-01"], ["2025-04-01"]],
        [["2025-02-01", "2025-03-01"], ["2025-04-01"]],  # a longer month
        [["2025-01-31", "2025-02-28"], ["2025-03-31"]],
        [["2025-02-01", "2025-03-01"], ["2025-03-31"]],  # another day of the month
    ],
)
def test_an_append_says_nothing_where_nothing_can_be_told(tmp_path: Path, slices: list[list[Any]]) -> None:
    assert notes(tmp_path / "cube.zarr", *slices) == []


def test_labels_in_any_order_have_no_gaps(tmp_path: Path) -> None:
    assert notes(tmp_path / "cube.zarr", [1, 2], [9], label_order="any") == []


def test_a_dry_run_says_so_too(tmp_path: Path) -> None:
    slices = [{"time": ("time", np.array([n])), "v": ("time", np.zeros(1))} for n in (1, 2, 5)]
    report = zapz.append(tmp_path / "cube.zarr", slices, dry_run=True)
    assert [each.notes for each in report.slices] == [(), (), ("2 steps are missing between 2 and 5 (step so far 1)",)]


# -- info ----------------------------------------------------------------------------------------------------------------


def written(target: Any, labels: Any, units: str | None = DAY, *, chunk: int = 1024) -> Any:
    """Make a target with these labels."""
    attributes = {"units": units, "calendar": "standard"} if units else {}
    values = np.asarray(labels)
    source = {"time": ("time", values, attributes), "v": ("time", np.zeros(len(values), "i1"))}
    zapz.append(target, source, variables={"time": {"encoding": {"chunks": [chunk]}}})
    return target


def test_info_lists_gaps(tmp_path: Path) -> None:
    target = written(tmp_path / "cube.zarr", np.delete(np.arange(20), [4, 5, 9]))
    (steps,) = zapz.info(target).steps.values()
    assert (steps.step, steps.gaps, steps.missing) == ("1 day", 2, 3)
    assert [(gap.after, gap.before, gap.missing) for gap in steps.first] == [
        ("2000-01-04", "2000-01-07", 2),
        ("2000-01-09", "2000-01-11", 1),
    ]
    code, out, _ = run("info", target)
    assert code == 0
    assert "time  2000-01-01 → 2000-01-20   17 steps, every 1 day, 3 missing in 2 gaps" in out.splitlines()
    assert "      missing: 2000-01-05 to 2000-01-06; 2000-01-10" in out.splitlines()
    assert [(gap.index, gap.first, gap.last) for gap in steps.first] == [
        (3, "2000-01-05", "2000-01-06"),
        (6, "2000-01-10", "2000-01-10"),
    ]
    line = "steps of time: 1 day, 3 missing in 2 gaps: 2 between 2000-01-04 and 2000-01-07, 1 between 2000-01-09 and 2000-01-11"
    assert line in run("check", target)[1].splitlines()
    assert json.loads(run("info", "--json", target)[1])["steps"]["time"]["gaps"] == 2


@pytest.mark.parametrize(
    ("labels", "units", "says"),
    [
        (range(5), DAY, "time  2000-01-01 → 2000-01-05   5 steps, every 1 day, none missing"),
        ([1, 5, 6, 20, 100], DAY, "time  2000-01-02 → 2000-04-10   5 steps, no regular step"),
        (range(0, 300, 3), None, "time  0 → 297   100 steps, every 3, none missing"),
        (np.flatnonzero(np.arange(40) % 5), DAY, "2000-01-16; 2000-01-21; 2000-01-26; and 2 more gaps"),
        (np.delete(np.arange(9.0), 4), None, "time  0.0 → 8.0   8 steps, every 1, 1 missing in 1 gap"),
        ([4, 9], DAY, "time  2000-01-05 → 2000-01-10   2 steps"),
        (["a", "b", "c"], None, "time  'a' → 'c'   3 steps"),
        ([1e300, 2e300, 3e300], DAY, "days, none missing"),
    ],
)
def test_what_info_says_of_steps(tmp_path: Path, labels: Any, units: str | None, says: str) -> None:
    lines = run("info", written(tmp_path / "cube.zarr", labels, units))[1].splitlines()
    assert says in lines or any(line.endswith(says) for line in lines)


def test_info_looks_for_no_gaps_in_very_many_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = written(tmp_path / "cube.zarr", range(20), chunk=2)
    few = file_operations(target, lambda: zapz.info(target))
    monkeypatch.setattr(all_labels, "MOST_CHUNKS", 9)
    found = zapz.info(target)
    assert not found.steps
    assert found.labels["time"][1].startswith("2000-01-20")
    assert "gaps in time were not searched: its 20 labels are in 10 chunks" in found.notes
    assert few - file_operations(target, lambda: zapz.info(target)) >= 20


def test_info_of_damaged_labels(tmp_path: Path) -> None:
    """What is in the middle says nothing about the rest."""
    target = written(tmp_path / "cube.zarr", range(20), chunk=5)
    (tmp_path / "cube.zarr/time/c/1").write_bytes(b"x")
    found = zapz.info(target)
    assert found.labels["time"][0].startswith("2000-01-01")
    assert found.notes[-1].startswith("gaps in time were not searched: ")
    assert "time/c/1" in found.notes[-1]


def test_info_reads_labels_of_object_services_at_once() -> None:
    service = ObjectService()
    target = written(service.store("bucket/cube"), np.delete(np.arange(200), 50), chunk=2)
    assert zapz.info(target).steps["time"].missing == 1
    assert zapz.info(target).steps["time"].step == "1 day"


def test_unsigned_and_packed_labels_are_shown_and_ordered_as_readers_see_them(tmp_path: Path) -> None:
    """``_Unsigned`` bytes go on after 127; a packed label is what its numbers stand for."""
    target = tmp_path / "cube.zarr"

    def append(labels: list[int]) -> zapz.Report:
        stored = np.array(labels, "u1").view("i1")
        own = {"_Unsigned": "true", "scale_factor": 0.5}
        return zapz.append(target, {"n": ("n", stored, own), "v": ("n", np.zeros(len(labels)))}, append_dim="n")

    append([124, 125, 126, 127])
    assert append([130, 131]).slices[0].notes == ("2 steps are missing between 63.5 and 65.0 (step so far 0.5)",)
    with pytest.raises(zapz.LabelError, match=r"after 65\.5, found 64\.5"):
        append([129])
    found = zapz.info(target, append_dim="n")
    assert found.labels == {"n": ("62.0", "65.5")}
    assert [(gap.first, gap.last) for gap in found.steps["n"].first] == [("64.0", "64.5")]
