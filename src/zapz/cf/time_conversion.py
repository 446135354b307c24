"""Labels of one time axis moved to another, exactly or not at all (CF section 4.4).

A label moves by ``label * factor + shift`` with rational factor and shift. Over a common
denominator that is integer arithmetic, done for all labels at once: in int64 where it fits, with
Python's integers where not::

    hours since 2024-01-02 -> days since 2024-01-01      factor 1/24, shift 1:      36 h -> (36 * 1 + 24) / 24 = 2.5

Floating-point labels are integers over a power of two, so they take the same way.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, lcm
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from zapz.cf.calendars import UNITS
from zapz.errors import EncodingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Values: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""Labels, or a mask of them."""

MAX_SHIFT: Final = Fraction(1, 10**6)
"""Seconds that rounding may move a floating-point label."""

_SAFE: Final = 1 << 62  # int64 arithmetic below it cannot overflow
_EXACT: Final = 1 << 53  # integers below it are exact in float64


class Words(NamedTuple):
    """What errors say of a target's labels."""

    units: str
    """Units as a target would name them; UNIT in it becomes a unit that fits."""
    whole: str
    """What a label has to be for an integer to hold it."""
    meaning: Callable[[int], str]
    """Says what an integer means as a label."""


class CellError(Exception):
    """One value of many cannot be converted; whoever knows the array makes an `EncodingError` of it."""

    def __init__(
        self,
        *,
        what: str,
        bad: Values,
        expected: str = "",
        hint: str = "",
        remedies: Mapping[str, Any] | None = None,
        anew: tuple[str, object] | None = None,
    ) -> None:
        """Describe it.

        Args:
            what: What is wrong with the value.
            bad: A mask of such values.
            expected: What would have been right.
            hint: What the user can do.
            remedies: Settings that the hint names.
            anew: A key of ``encoding`` and its value, with which a target that is made anew can
                hold the value.
        """
        super().__init__(what)
        self.what = what
        self.index = int(np.argmax(bad))
        self.expected = expected
        self.hint = hint
        self.remedies = remedies
        self._anew = anew

    def at(self, name: str, found: str) -> EncodingError:
        """Return the error for a variable, whose name is empty if it is not known, and for what was found in it."""
        if self._anew is None:
            return EncodingError(self.what, expected=self.expected, found=found, hint=self.hint, remedies=self.remedies)
        key, value = self._anew
        setting = f"variables.{name or 'NAME'}.encoding.{key}"
        return EncodingError(
            self.what,
            expected=self.expected,
            found=found,
            hint=f"Make the target anew ({{force_new}}) with {{{setting}}}, and append all slices again, the first one first.",
            remedies={"force_new": True, setting: value},
        )


def relabel(
    labels: Values,
    missing: Values,
    *,
    factor: Fraction,
    shift: Fraction,
    unit: Fraction,
    earliest: Fraction | None,
    dtype: np.dtype[Any],
    words: Words,
) -> Values:
    """Compute ``label * factor + shift`` exactly, then store it in ``dtype`` (CF section 4.4).

    Args:
        labels: Integers or floats, one-dimensional.
        missing: Mask of labels that are none; what they become is undefined.
        factor: Target units per source unit.
        shift: Target label of source label 0.
        unit: Seconds per target unit.
        earliest: Least target label allowed; None: any.
        dtype: Integer or floating type of the result; integers must be exact, floats within
            `MAX_SHIFT`.
        words: What errors say of labels of the target.

    Raises:
        CellError: A label cannot be stored, or (floats) two different labels would become equal.
    """
    if labels.dtype.kind == "f":
        infinite = ~np.isfinite(labels) & ~missing
        if infinite.any():
            raise CellError(what="label is not a time", bad=infinite, expected="a finite number")
    whole, bits = _integers(np.where(missing, labels.dtype.type(0), labels))
    common = lcm(factor.denominator, shift.denominator)
    scale, start, below = int(factor * common), int(shift * common) << bits, common << bits
    largest = max(abs(int(whole.max())), abs(int(whole.min()))) if whole.size else 0
    if whole.dtype == object or max(largest * abs(scale) + abs(start), below) >= _SAFE:
        whole = whole.astype(object)
    above = whole * scale + start  # the new label is above / below
    if earliest is not None:
        sign = 1 if unit > 0 else -1
        early = _compare(above * sign, ceil(earliest * sign * below)) & ~missing
        if early.any():
            raise CellError(
                what="instant before 1582-10-15, where the calendars differ", bad=early, expected="a later one"
            )
    if dtype.kind == "f":
        return _to_floats(labels, above, below, missing, unit, dtype)
    inexact = (above % below != 0) & ~missing
    if inexact.any():
        finer = words.units.replace("UNIT", _fitting_unit(above[~missing], below, unit))
        raise CellError(
            what="time is no whole number of the target's units",
            bad=inexact,
            expected=words.whole,
            anew=("units", finer),
        )
    return _to_integers(above // below, missing, words, dtype)


def _to_integers(result: Values, missing: Values, words: Words, dtype: np.dtype[Any]) -> Values:
    limits = np.iinfo(dtype)
    outside = (_compare(result, limits.min) | ~_compare(result, limits.max + 1)) & ~missing
    if outside.any():
        key, value = ("dtype", "int64") if dtype != np.int64 else ("units", words.units.replace("UNIT", "seconds"))
        raise CellError(
            what="time does not fit",
            bad=outside,
            expected=f"{words.meaning(limits.min)} to {words.meaning(limits.max)} (what {dtype} holds)",
            anew=(key, value),
        )
    return np.where(missing, 0, result).astype(dtype)


def _to_floats(
    labels: Values, above: Values, below: int, missing: Values, unit: Fraction, dtype: np.dtype[Any]
) -> Values:
    """Nearest floats of above / below, none moved by more than `MAX_SHIFT`, no two made equal."""
    small = above.dtype != object and below < _EXACT and not (np.abs(above) >= _EXACT).any()
    quotient = above / below if small else np.frompyfunc(_ratio, 2, 1)(above.astype(object), below).astype(np.float64)
    with np.errstate(over="ignore"):
        result = np.where(missing, 0.0, quotient).astype(dtype)
    outside = ~np.isfinite(result)
    if outside.any():
        expected = f"a number of type {dtype}"
        raise CellError(what="time does not fit", bad=outside, expected=expected, anew=("dtype", "float64"))
    if result.size and float(np.spacing(np.abs(result)).max()) * abs(unit) > MAX_SHIFT:
        whole, bits = _integers(result)
        moved = np.abs(whole.astype(object) * below - (above.astype(object) << bits))
        limit = MAX_SHIFT / abs(unit) * (below << bits)
        far = ~_compare(moved, limit.numerator // limit.denominator + 1) & ~missing
        if far.any():
            raise CellError(
                what="time would move by rounding",
                bad=far,
                expected="at most 1 microsecond",
                hint="Create the target with finer units.",
                anew=("dtype", "float64") if dtype != np.float64 else None,
            )
    kept = np.flatnonzero(~missing)
    kept = kept[np.lexsort((labels[kept], result[kept]))]
    equal = (np.diff(result[kept]) == 0) & (labels[kept][1:] != labels[kept][:-1])
    if equal.any():
        bad = np.zeros(labels.shape, dtype=bool)
        bad[kept[1:][equal]] = True
        raise CellError(what="two different labels would become equal", bad=bad, expected="labels that stay apart")
    return result


def _integers(values: Values) -> tuple[Values, int]:
    """Integers (int64, or objects where too large) and the bits below the point: value = integer / 2**bits."""
    if values.dtype.kind != "f":
        return (values.astype(object) if values.dtype == np.uint64 else values.astype(np.int64)), 0
    mantissa, exponent = np.frexp(values.astype(np.float64))
    whole, exponent = (mantissa * _EXACT).astype(np.int64), exponent.astype(np.int64) - 53
    lowest = np.where(whole == 0, 1, whole & -whole)
    zeros = np.frexp(lowest.astype(np.float64))[1].astype(np.int64) - 1
    whole, exponent = whole >> zeros, np.where(whole == 0, 0, exponent + zeros)
    bits = max(0, -int(exponent.min())) if exponent.size else 0
    shift = exponent + bits
    if whole.size and int((np.frexp(np.abs(whole).astype(np.float64))[1] + shift).max()) >= 62:  # noqa: PLR2004
        return whole.astype(object) << shift.astype(object), bits
    return whole << shift, bits


def _compare(values: Values, limit: int) -> Values:
    """Mask of integers below a limit, which may be beyond int64 (the integers of int64 arrays stay below `_SAFE`)."""
    return np.asarray(values < (limit if values.dtype == object else min(max(limit, -_SAFE), _SAFE)), dtype=bool)


def _ratio(above: int, below: int) -> float:
    try:
        return above / below  # of Python integers: the nearest float
    except OverflowError:
        return float("inf")


def _fitting_unit(above: Values, below: int, unit: Fraction) -> str:
    """The coarsest unit in which all labels are integers; nanoseconds if none is."""
    for name, length in UNITS.items():
        ratio = unit / length / below
        if not (above.astype(object) * ratio.numerator % ratio.denominator != 0).any():
            return name
    return "nanoseconds"
