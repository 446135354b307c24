"""Labels of the append dimension: do a slice's continue the target's? Pure: the values have been read already.

Labels are compared in the target's terms, after conversion: what two readers of the target would see as equal is equal.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from zapz.config import Config
from zapz.errors import ConfigError, EncodingError, LabelError
from zapz.format.cf import Encoding, format_instant, to_instants

_DURATION = re.compile(r"([+-]?\d*(?:\.\d+)?)(s|min|m|h|H|d|D|W)")
_SECONDS = {"s": 1, "min": 60, "m": 60, "h": 3600, "H": 3600, "D": 86400, "d": 86400, "W": 604800}
_STEP = 'a number other than 0, "+", "-", or a duration such as "12h" or "-1D"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """Label values that were read for one label variable."""

    path: str
    """The label variable."""
    old: Line
    """The target's last labels, at most two."""
    new: Line
    """All labels of the slice, converted to the target's terms."""
    distinct: int
    """Number of different labels of the slice before the conversion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Labels in a form that can be compared."""

    kind: Literal["times", "numbers", "texts", "others"]
    """Exact instants in seconds, numbers, text, or something without an order."""
    values: list[Any]
    """One per label; None where it is missing."""
    unit: Fraction
    """Seconds that a step of 1 in the labels' own units means; 1 if they are not times."""
    grain: Fraction
    """By how much a difference of two labels may be off because they are stored as floating-point numbers."""
    encoding: Encoding
    """What the stored labels mean."""
    stored: np.ndarray[Any, Any]
    """The labels as stored."""

    @classmethod
    def of(cls, encoding: Encoding, stored: np.ndarray[Any, Any]) -> Line:
        """Read stored labels of a variable."""
        flat = np.asarray(stored).reshape(-1)
        scale, offset = (Fraction(part) for part in encoding.packing)
        unit = Fraction(1)
        kind: Literal["times", "numbers", "texts", "others"]
        try:
            kind, values = "times", list(to_instants(encoding, flat))
            unit = encoding.axis.step if encoding.axis is not None else unit
        except EncodingError:
            values = [None if v != v else v for v in flat.tolist()]  # noqa: PLR0124 - only NaN is unequal to itself
            kind = "numbers" if flat.dtype.kind in "iufbmM" else "texts" if flat.dtype.kind in "USO" else "others"
            if kind == "numbers" and (scale != 1 or offset != 0):
                values = [v if v is None or math.isinf(v) else Fraction(v) * scale + offset for v in values]
        return cls(
            kind=kind, values=values, unit=unit, grain=_grain(flat) * abs(scale) * unit, encoding=encoding, stored=flat
        )

    @property
    def known(self) -> list[Any]:
        """The values that are not missing."""
        return [v for v in self.values if v is not None]

    @property
    def falls(self) -> bool:
        """Whether the last two labels fall."""
        known = self.known
        return len(known) > 1 and self.kind != "others" and known[-1] < known[-2]

    def text(self, index: int) -> str:
        """Return label ``index`` for people."""
        return format_instant(self.encoding, self.stored[index])


def _grain(stored: np.ndarray[Any, Any]) -> Fraction:
    if stored.dtype.kind != "f" or not stored.size:
        return Fraction(0)
    finite = np.abs(stored[np.isfinite(stored)])
    return Fraction(2 * float(np.spacing(finite.max()))) if finite.size else Fraction(0)


def check_labels(labels: Labels, config: Config, where: str) -> None:
    """Check that the slice's labels continue the target's.

    Raises:
        LabelError: They do not rise (or fall) from the target's last label on, are not a step apart, or one is missing.
        ConfigError: ``append_step`` is not a step, or the labels have none.
    """
    place = f"{where}, {labels.path}"
    new, old = labels.new, labels.old
    if None in new.values:
        found = f"no value at index {new.values.index(None)}"
        raise LabelError("a label is missing", where=place, found=found, hint="Give every step of the slice a label.")
    step = _step(config.append_step, new)
    order = config.label_order or _order(old, step)
    line = [*old.known[-1:], *new.values]
    if order != "any":
        if new.kind == "others":
            hint = 'Set label_order = "any" to append without looking at them.'
            raise LabelError("labels have no order", where=place, found=str(new.stored.dtype), hint=hint)
        _check_order(line, order, old, new, place)
    if isinstance(step, Fraction):
        _check_step(line, step, old, new, place)
    if len(set(new.values)) != labels.distinct:
        hint = "Create the target with finer units of its labels."
        raise LabelError("two labels become equal in the target's units", where=place, hint=hint)


def _order(old: Line, step: Fraction | str | None) -> str:
    if isinstance(step, str):
        return "increasing" if step == "+" else "decreasing"
    if step is not None:
        return "increasing" if step > 0 else "decreasing"
    return "decreasing" if old.falls else "increasing"


def _check_order(line: Sequence[Any], order: str, old: Line, new: Line, where: str) -> None:
    follows = len(line) > len(new.values)
    for i, (a, b) in enumerate(pairwise(line)):
        if (b > a) if order == "increasing" else (b < a):
            continue
        at_seam = follows and i == 0
        before = _last_text(old) if at_seam else new.text(i - follows)
        raise LabelError(
            "the slice does not follow the target" if at_seam else f"labels of the slice are not {order}",
            where=where,
            expected=f"a label {'after' if order == 'increasing' else 'before'} {before}",
            found=new.text(i + 1 - follows),
            hint=f'{"Append slices in order" if at_seam else "Sort the slice"}, or set label_order = "any".',
        )


def _last_text(line: Line) -> str:
    last = max(i for i, v in enumerate(line.values) if v is not None)
    return line.text(last)


def _step(value: float | str | None, line: Line) -> Fraction | str | None:
    """Read ``append_step``: "+", "-", or a difference in the terms of the line's values."""
    if value is None or value in ("+", "-"):
        return value
    if line.kind not in {"times", "numbers"}:
        raise ConfigError(
            "append_step is set, but the labels are neither numbers nor times", where="append_step", found=repr(value)
        )
    try:
        if not isinstance(value, str):
            step = Fraction(value) * line.unit
        else:
            match = _DURATION.fullmatch(value.strip())
            if match is None:
                raise ValueError(value)
            step = Fraction(match[1] if match[1] not in {"", "+", "-"} else f"{match[1]}1") * _SECONDS[match[2]]
    except (ValueError, OverflowError) as error:
        raise ConfigError(
            "append_step is not a step", where="append_step", expected=_STEP, found=repr(value)
        ) from error
    if not step:
        raise ConfigError("append_step is not a step", where="append_step", expected=_STEP, found=repr(value))
    if isinstance(value, str) and line.kind != "times":
        raise ConfigError(
            "append_step is a duration, but the labels are not times", where="append_step", found=repr(value)
        )
    return step


def _check_step(line: Sequence[Any], step: Fraction, old: Line, new: Line, where: str) -> None:
    follows = len(line) > len(new.values)
    allowance = max(old.grain, new.grain)
    for i, (a, b) in enumerate(pairwise(line)):
        gap = Fraction(b) - Fraction(a) if math.isfinite(a) and math.isfinite(b) else None
        if gap is None or abs(gap - step) > allowance:
            raise LabelError(
                "labels are not append_step apart",
                where=where,
                expected=f"a difference of {_amount(step, new)}",
                found=f"{_amount(gap, new) if gap is not None else 'an infinite one'} at {new.text(i + 1 - follows)}",
                hint="Append the slice that is missing first, or unset append_step.",
            )


def _amount(step: Fraction, line: Line) -> str:
    return f"{float(step):.12g} s" if line.kind == "times" else f"{float(step):.12g}"
