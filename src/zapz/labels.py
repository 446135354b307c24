"""Labels of the append dimension: do a slice's continue the target's? Pure: the values have been read already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from zapz.config import Config
from zapz.errors import (
    ConfigError,
    EncodingError,
    LabelError,
    SliceError,
)
from zapz.format.cf import Encoding, format_instant, to_instants
from zapz.steps import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Label values that ``append`` has read for one label variable."""

    path: str
    """The label variable."""
    old: Line
    """The target's last labels, at most two."""
    new: Line
    """All labels of the slice."""


def check_labels(labels: Labels, placement: Placement, config: Config, where: str) -> None:
    """Check that the slice's labels continue the target's.

    Raises:
        LabelError: They do not rise (or fall) from the target's last label on, are not a step apart, or one is missing.
        ConfigError: ``append_step`` is not a step.
    """
    place_ = f"{where}, {labels.path}"
    new, old = labels.new, labels.old
    if old.values and new.values and old.timed != new.timed:
        raise LabelError(
            "labels are not of the same kind",
            where=place_,
            expected="times" if old.timed else "numbers",
            found="times" if new.timed else "numbers",
        )
    if any(v is None for v in new.values):
        raise LabelError("a label is missing", where=place_, found=f"no value at index {new.values.index(None)}")
    step = _step(config.append_step, timed=new.timed)
    order = config.label_order or _order(old, step)
    line = [v for v in (*old.values[-1:], *new.values) if v is not None]
    if order != "any":
        _check_order(line, order, bool(old.values), old, new, place_)
    if step is not None and not isinstance(step, str):
        _check_step(line, step, old, new, place_)
    _check_converted(labels, placement, place_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Labels in a form that can be compared: exact instants, numbers, or text."""

    values: list[Any]
    """One per label; None where it is missing."""
    timed: bool
    """Whether they are instants, in seconds."""
    encoding: Encoding
    """What the stored labels mean."""
    stored: np.ndarray[Any, Any]
    """The labels as stored."""

    @classmethod
    def of(cls, encoding: Encoding, stored: np.ndarray[Any, Any]) -> Line:
        """Read stored labels of a variable."""
        flat = np.asarray(stored).reshape(-1)
        try:
            values, timed = list(to_instants(encoding, flat)), True
        except EncodingError:
            values, timed = [None if v != v else v for v in flat.tolist()], False  # noqa: PLR0124 - only NaN is unequal to itself
        return cls(values=values, timed=timed, encoding=encoding, stored=flat)

    def text(self, index: int) -> str:
        """Return label ``index`` for people."""
        return format_instant(self.encoding, self.stored[index])


def _order(old: Line, step: Any) -> str:
    if isinstance(step, str):
        return "increasing" if step == "+" else "decreasing"
    if step is not None:
        return "increasing" if step > 0 else "decreasing"
    known = [v for v in old.values if v is not None]
    return "decreasing" if len(known) > 1 and known[-1] < known[-2] else "increasing"


def _check_order(line: Sequence[Any], order: str, follows: bool, old: Line, new: Line, where: str) -> None:
    for i, (a, b) in enumerate(zip(line, line[1:], strict=False)):
        if (b > a) if order == "increasing" else (b < a):
            continue
        at_seam = follows and i == 0
        before = old.text(len(old.values) - 1) if at_seam else new.text(i - 1 if follows else i)
        here = new.text(i if follows else i + 1)
        raise LabelError(
            "the slice does not follow the target" if at_seam else f"labels of the slice are not {order}",
            where=where,
            expected=f"a label {'after' if order == 'increasing' else 'before'} {before}",
            found=here,
            hint='Append slices in order, or set label_order = "any".'
            if at_seam
            else 'Sort the slice, or set label_order = "any".',
        )


_DURATIONS = {"s": 1, "min": 60, "m": 60, "h": 3600, "H": 3600, "D": 86400, "d": 86400, "W": 604800}


def _step(value: float | str | None, *, timed: bool) -> Any:
    if value is None or value in {"+", "-"}:
        return value
    if isinstance(value, str):
        number = value.rstrip("".join(sorted({c for u in _DURATIONS for c in u})))
        unit = value[len(number) :]
        try:
            step = Fraction(number or "1") if number not in {"-", "+"} else Fraction(f"{number}1")
            step *= _DURATIONS[unit]
        except (ValueError, KeyError) as error:
            raise ConfigError(
                "append_step is not a step",
                expected='a number, "+", "-", or a duration such as "12h" or "1D"',
                found=repr(value),
            ) from error
        if not timed:
            raise ConfigError(
                "append_step is a duration, but the labels are not times", where="append_step", found=repr(value)
            )
        return step
    return float(value)


def _check_step(line: Sequence[Any], step: Any, old: Line, new: Line, where: str) -> None:
    for i, (a, b) in enumerate(zip(line, line[1:], strict=False)):
        wanted = a + step
        same = b == wanted if isinstance(step, Fraction) else np.isclose(float(b - a), float(step), rtol=1e-9, atol=0)
        if not same:
            follows = bool(old.values)
            here = new.text(i if follows else i + 1)
            difference = f"{float(b - a):g}{' s' if new.timed else ''}"
            raise LabelError(
                "labels are not append_step apart",
                where=where,
                expected=f"{float(step):g}{' s' if new.timed else ''} after the one before",
                found=f"{difference} at {here}",
            )


def _check_converted(labels: Labels, placement: Placement, where: str) -> None:
    """Labels must stay apart in the target's terms too."""
    conversion_ = placement.conversions.get(labels.path)
    if conversion_ is None:
        return
    try:
        stored = conversion_.apply(labels.new.stored)
    except SliceError as error:
        raise error.at(where) from None
    distinct = len(set(np.asarray(stored).reshape(-1).tolist()))
    if distinct != len(set(labels.new.stored.tolist())):
        raise LabelError("two labels become equal in the target's units", where=where)
