"""Convert labels from one time axis to another, exactly or not at all (CF section 4.4).

A label becomes ``label * factor + shift``, with rational factor and shift. Over a common
denominator this is integer arithmetic, for all labels at once: in int64 where they fit, else with
Python integers::

    hours since 2024-01-02 -> days since 2024-01-01    (factor 1/24, shift 1)
    36 h -> (36 * 1 + 24) / 24 = 2.5

A floating-point label is an integer divided by a power of two, so the same arithmetic applies.
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
"""Labels, or a mask of them, one-dimensional."""

MAX_SHIFT: Final = Fraction(1, 10**6)
"""Maximum error of a rounded floating-point label, in seconds."""

_SAFE: Final = 1 << 62  # below it, int64 arithmetic cannot overflow
_EXACT: Final = 1 << 53  # below it, integers are exact in float64


class Words(NamedTuple):
    """Words for errors about a target's labels."""

    units: str
    """Units that a target could have; UNIT stands for a unit that fits."""
    whole: str
    """What an integer label must be."""
    meaning: Callable[[int], str]
    """Returns the meaning of an integer label as text."""


class CellError(Exception):
    """One of many values cannot be converted; `at` creates the `EncodingError` for its array."""

    def __init__(
        self,
        *,
        what: str,
        bad: Values,
        expected: str = "",
        hint: str = "",
        remedies: Mapping[str, Any] | None = None,
        recreate: tuple[str, object] | None = None,
    ) -> None:
        """Describe the value.

        Args:
            what: The problem.
            bad: A mask of such values.
            expected: A valid value.
            hint: What the user can do.
            remedies: Settings that the hint names.
            recreate: A key of ``encoding`` and its value: a target created again with it can hold
                the value.
        """
        super().__init__(what)
        self.what = what
        self.index = int(np.argmax(bad))
        self.expected = expected
        self.hint = hint
        self.remedies = remedies
        self._recreate = recreate

    def at(self, name: str, found: str) -> EncodingError:
        """Return the error for a variable ("" if unknown) and the value that was found in it."""
        if self._recreate is None:
            return EncodingError(self.what, expected=self.expected, found=found, hint=self.hint, remedies=self.remedies)
        key, value = self._recreate
        setting = f"variables.{name or 'NAME'}.encoding.{key}"
        return EncodingError(
            self.what,
            expected=self.expected,
            found=found,
            hint=f"Create the target again ({{force_new}}) with {{{setting}}}, and append all slices again, starting with the first.",
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
        missing: Mask of missing labels; what they become is undefined.
        factor: Target units per source unit.
        shift: Target label of source label 0.
        unit: Seconds per target unit.
        earliest: Smallest target label allowed; None for no limit.
        dtype: Integer or floating type of the result. Integers must be exact, floats within
            ``MAX_SHIFT``.
        words: Words for errors about labels of the target.

    Returns:
        Labels of type ``dtype``, one-dimensional.

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
                what="instant before 1582-10-15, where the calendars differ", bad=early, expected="a later time"
            )
    if dtype.kind == "f":
        return _to_floats(labels, above, below, missing, unit, dtype)
    inexact = (above % below != 0) & ~missing
    if inexact.any():
        finer = words.units.replace("UNIT", _fitting_unit(above[~missing], below, unit))
        raise CellError(
            what="time cannot be stored exactly in the target's integer units",
            bad=inexact,
            expected=words.whole,
            recreate=("units", finer),
        )
    return _to_integers(above // below, missing, words, dtype)


def _to_integers(result: Values, missing: Values, words: Words, dtype: np.dtype[Any]) -> Values:
    limits = np.iinfo(dtype)
    outside = (_compare(result, limits.min) | ~_compare(result, limits.max + 1)) & ~missing
    if outside.any():
        key, value = ("dtype", "int64") if dtype != np.int64 else ("units", words.units.replace("UNIT", "seconds"))
        raise CellError(
            what="time out of range",
            bad=outside,
            expected=f"{words.meaning(limits.min)} to {words.meaning(limits.max)} (the range of {dtype})",
            recreate=(key, value),
        )
    return np.where(missing, 0, result).astype(dtype)


def _to_floats(
    labels: Values, above: Values, below: int, missing: Values, unit: Fraction, dtype: np.dtype[Any]
) -> Values:
    """Return the nearest floats of above / below: distinct, and within ``MAX_SHIFT``."""
    small = above.dtype != object and below < _EXACT and not (np.abs(above) >= _EXACT).any()
    quotient = above / below if small else np.frompyfunc(_ratio, 2, 1)(above.astype(object), below).astype(np.float64)
    with np.errstate(over="ignore"):
        result = np.where(missing, 0.0, quotient).astype(dtype)
    outside = ~np.isfinite(result)
    if outside.any():
        expected = f"a number of type {dtype}"
        raise CellError(what="time out of range", bad=outside, expected=expected, recreate=("dtype", "float64"))
    if result.size and float(np.spacing(np.abs(result)).max()) * abs(unit) > MAX_SHIFT:
        whole, bits = _integers(result)
        moved = np.abs(whole.astype(object) * below - (above.astype(object) << bits))
        limit = MAX_SHIFT / abs(unit) * (below << bits)
        far = ~_compare(moved, limit.numerator // limit.denominator + 1) & ~missing
        if far.any():
            raise CellError(
                what="rounding would change the time",
                bad=far,
                expected="at most 1 microsecond",
                hint="Create the target with finer units.",
                recreate=("dtype", "float64") if dtype != np.float64 else None,
            )
    kept = np.flatnonzero(~missing)
    kept = kept[np.lexsort((labels[kept], result[kept]))]
    equal = (np.diff(result[kept]) == 0) & (labels[kept][1:] != labels[kept][:-1])
    if equal.any():
        bad = np.zeros(labels.shape, dtype=bool)
        bad[kept[1:][equal]] = True
        raise CellError(what="two different labels would become equal", bad=bad, expected="distinct labels")
    return result


def _integers(values: Values) -> tuple[Values, int]:
    """Return integers and a number of bits, so that value = integer / 2**bits.

    The integers are int64, or Python integers (object) where too large.
    """
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
    """Return a mask of integers below a limit, which may exceed int64.

    Integers of int64 arrays are below ``_SAFE``.
    """
    return np.asarray(values < (limit if values.dtype == object else min(max(limit, -_SAFE), _SAFE)), dtype=bool)


def _ratio(above: int, below: int) -> float:
    try:
        return above / below  # for Python integers, this is the nearest float
    except OverflowError:
        return float("inf")


def _fitting_unit(above: Values, below: int, unit: Fraction) -> str:
    """Return the longest unit in which all labels are integers; nanoseconds if there is none."""
    for name, length in UNITS.items():
        ratio = unit / length / below
        if not (above.astype(object) * ratio.numerator % ratio.denominator != 0).any():
            return name
    return "nanoseconds"
