"""Labels of the append dimension as comparable values. Pure: they have been read already.

Labels are compared after conversion to the target's encoding. So labels are equal if readers of the
target would see them as equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from zapz.cf.conversion import Conversion, Encoding, format_instant, to_instants
from zapz.errors import EncodingError
from zapz.format.metadata import Dataset

ENDS = 3
"""Number of a target's labels that are read: the first one and the last two."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labels:
    """Labels of one label variable, in target and slice."""

    path: str
    """The label variable."""
    old: Line
    """The target's first label and its last two, if it has that many."""
    new: Line
    """All labels of the slice, converted to the target's encoding."""
    distinct: int
    """Number of different labels of the slice, before the conversion."""

    @property
    def line(self) -> list[Any]:
        """The target's last label, if there is one, followed by those of the slice."""
        return [*self.old.known[-1:], *self.new.values]

    @property
    def jumps(self) -> bool:
        """Whether the step to the slice is longer than the last step of the target."""
        known = len(self.old.values) > 1 and bool(self.new.values)
        if not known or self.new.kind not in {"times", "numbers"} or self.old.kind != self.new.kind:
            return False
        before, last, first = *self.old.values[-2:], self.new.values[0]
        return None not in {before, last, first} and bool(abs(first - last) > abs(last - before))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """Labels in comparable form."""

    kind: Literal["times", "numbers", "texts", "others"]
    """Exact instants in seconds, numbers, text, or values without an order."""
    values: list[Any]
    """One per label; None where it is missing."""
    unit: Fraction
    """Seconds per unit of the labels; 1 if they are not times."""
    grain: Fraction
    """Possible error of a difference of two labels, because floating-point labels are rounded."""
    encoding: Encoding
    """Meaning of the stored labels."""
    stored: np.ndarray[Any, Any]
    """The labels as stored."""

    @classmethod
    def of(cls, encoding: Encoding, stored: np.ndarray[Any, Any]) -> Line:
        """Return stored labels of a variable in comparable form."""
        flat = np.asarray(stored).reshape(-1)
        scale, offset = (Fraction(part) for part in encoding.packing)
        unit = Fraction(1)
        kind: Literal["times", "numbers", "texts", "others"]
        try:
            kind, values = "times", list(to_instants(encoding, flat))
            unit = encoding.axis.step if encoding.axis is not None else unit
        except EncodingError:
            cells = flat.view(encoding.plain.dtype) if encoding.reinterpreted else flat
            values = [None if v != v else v for v in cells.tolist()]  # noqa: PLR0124 - only NaN is unequal to itself
            kind = "numbers" if flat.dtype.kind in "iufbmM" else "texts" if flat.dtype.kind in "USO" else "others"
            if kind == "numbers" and (scale != 1 or offset != 0):
                values = [v if v is None or math.isinf(v) else Fraction(v) * scale + offset for v in values]
        return cls(
            kind=kind,
            values=values,
            unit=unit,
            grain=grain_of(flat) * abs(scale) * unit,
            encoding=encoding,
            stored=flat,
        )

    def joined(self, after: Line) -> Line:
        """Return the first label and the last two of these labels followed by others.

        Both must have the same meaning.
        """
        stored = ends_of(np.concatenate([self.stored, after.stored]))
        if self.kind != after.kind or stored.dtype.kind == "f":  # the grain of floats depends on the numbers
            return Line.of(self.encoding, stored)
        return replace(self, stored=stored, values=ends_of([*self.values, *after.values]))

    @property
    def known(self) -> list[Any]:
        """The values that are not missing."""
        return [v for v in self.values if v is not None]

    @property
    def falls(self) -> bool:
        """Whether the last two labels decrease."""
        known = self.known
        return len(known) > 1 and self.kind != "others" and known[-1] < known[-2]

    def text(self, index: int) -> str:
        """Return label ``index`` as text for display."""
        return format_instant(self.encoding, self.stored[index])


class SeenLabels:
    """Labels of a slice as they were when it was read ahead."""

    __slots__ = ("conversion", "digest", "labels")

    def __init__(self, digest: str) -> None:
        self.digest = digest
        """Digest of the labels as stored in the slice."""
        self.conversion: Conversion | None = None
        """Their conversion to the target; None if only the digest is kept."""
        self.labels: Labels | None = None
        """The converted labels."""


def ends_of(labels: Any) -> Any:
    """Return the first and the last two of a list or array of labels, or all if fewer."""
    if len(labels) <= ENDS:
        return labels
    ends = labels[:1], labels[-2:]
    return np.concatenate(ends) if isinstance(labels, np.ndarray) else [*ends[0], *ends[1]]


def grain_of(stored: np.ndarray[Any, Any]) -> Fraction:
    """Return the possible rounding error of a difference of stored numbers; 0 for integers."""
    if stored.dtype.kind != "f" or not stored.size:
        return Fraction(0)
    finite = np.abs(stored[np.isfinite(stored)])
    return Fraction(2 * float(np.spacing(finite.max()))) if finite.size else Fraction(0)


def day_of(text: str) -> str:
    """Return the text of a label for display: only the day if it is midnight."""
    return text.removesuffix("T00:00:00")


def all_label_paths(target: Dataset, dim: str) -> list[str]:
    """Return all label variables of the append dimension; the root's is first.

    A label variable is one-dimensional and has the dimension's name (CF section 5).
    """
    return [p for p, a in sorted(target.arrays.items()) if a.dims == (dim,) and p.rpartition("/")[2] == dim]
