"""Expressions in attribute values: ``{{ ... }}`` in a text is replaced by what it says of the dataset. Pure.

- ``ds.time``, ``ds["time"]``, ``ds["group/time"]``: a variable, by name; at most 1000 values, as a
    list
- ``ds.time[0]``, ``ds.time[-1]``, ``ds.time[0:3]``, ``ds.x[0, 1:3]``: values of it, counted as in
    Python
- ``lower_bound(ds.time)``, ``upper_bound(ds.time)``: the ends of the cells that its labels stand
    for
- ``upper_bound(ds.time, ref="center")``: the same where labels are not the "lower" ends of their
    cells, but their "center" or "upper"
- ``len(ds.time)``, ``ds.sizes.time``, ``ds.dims["time"]``: a length; ``ds.attrs.title``: an
    attribute of the root group
- ``12``, ``-0.5``, ``"text"``: a number or text; ``{{ "{{" }}`` writes two braces

Times become ISO 8601 in their own calendar (``2024-01-02T00:00:00``), lengths of time too
(``PT6H``); a missing time becomes the text NaT, every other missing value and NaN the text NaN. A
text that is one expression and nothing else becomes its value (number, text, list), every other one
stays a text. There is nothing else: no arithmetic, no attributes of results, no other functions;
names are looked up in tables, never in Python.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any, Final, NoReturn, Protocol, TypeAlias, TypeVar

import numpy as np

from zapz.cf.calendars import format_seconds
from zapz.cf.conversion import Encoding, Scalar, to_instants
from zapz.cf.durations import iso_of
from zapz.cf.markers import mask
from zapz.errors import ConfigError, EncodingError
from zapz.expressions.parser import ArrayNode, Attribute, Bound, Constant, Expression, Length, Size, parts_of, shown

MAX_VALUES: Final = 1000
"""Values that one expression may become."""
MAX_DEPTH: Final = 100
"""Tables and lists within one another."""

_CORRECT: Final = "Correct the expression."
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """An instant or a length of time, or a missing one."""

    seconds: Fraction | None
    """Seconds since 1970-01-01T00:00:00 of `calendar`, or of length; None if it is missing."""
    calendar: str
    """Name as in the values of `zapz.cf.calendars.CALENDARS`, or "duration" for a length of time."""

    def iso(self) -> str:
        """Return it as ISO 8601 text, with a fraction of a second only where there is one; NaT if it is missing."""
        if self.seconds is None:
            return "NaT"
        return iso_of(self.seconds) if self.calendar == "duration" else format_seconds(self.calendar, self.seconds)


Cell: TypeAlias = int | float | str | bool | Time | None
"""What one stored value means; None is a missing value that is no time."""


class VariableView(Protocol):
    """What an expression sees of a variable."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension."""

    def cell(self, index: tuple[int, ...]) -> Cell:
        """Return what the value at an index means; the index is inside the shape and not negative."""


class DatasetView(Protocol):
    """What an expression sees of a dataset."""

    @property
    def variables(self) -> Mapping[str, VariableView]:
        """Variables by path."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Length of each dimension."""

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Attributes of the root group."""


def check(attributes: Mapping[str, Any], where: str) -> None:
    """Check that every expression can be read, at any depth; none is evaluated.

    Args:
        attributes: Attribute values as in a configuration.
        where: Path of the table, for errors.

    Raises:
        ConfigError: One cannot be read; names its path, the column, and what was expected there.
    """
    _mapped(attributes, where, parts_of)


def has_expressions(attributes: Mapping[str, Any]) -> bool:
    """Whether any value, at any depth, holds an expression, readable or not."""
    found: list[bool] = []
    _mapped(attributes, "attrs", lambda text, _: found.append("{{" in text))
    return any(found)


def evaluate(attributes: Mapping[str, Any], dataset: DatasetView, where: str = "attrs") -> dict[str, Any]:
    """Return attributes with every expression replaced, at any depth.

    Args:
        attributes: Attribute values as in a configuration.
        dataset: What expressions may see.
        where: Path of the table, for errors.

    Returns:
        New attributes that JSON can hold.

    Raises:
        ConfigError: An expression cannot be read, or names what the dataset does not have.
        ZapzError: What reading a cell raises.
    """
    result: dict[str, Any] = _mapped(attributes, where, lambda text, place: _replaced(text, dataset, place))
    return result


def cell_of(encoding: Encoding, stored: Scalar) -> Cell:
    """Return what one stored value means (CF sections 2.5.1, 4.4 and 8.1).

    A time stored as a floating-point number is the shortest decimal of a second that is stored as
    that number.

    Raises:
        ConfigError: It is nothing that an attribute can hold: a structure, or a time in months or
            years.
    """
    axis = encoding.axis
    if axis is not None:
        if axis.opaque:
            _unwritable(f"a time in units of {encoding.units or encoding.dtype}")
        try:
            instant = to_instants(encoding, np.asarray(stored, encoding.dtype))[0]
            if instant is not None and encoding.dtype.kind == "f":
                spacing = np.spacing(np.asarray(stored, encoding.dtype))
                instant = _shortest(instant, Fraction(float(spacing)) * axis.step * Fraction(encoding.packing[0]))
        except EncodingError as error:
            _unwritable(error.found)
        return Time(seconds=instant, calendar=axis.calendar)
    kind = encoding.dtype.kind
    if kind not in "biufUSO" or (kind == "O" and not isinstance(stored, str | bytes)):
        _unwritable(f"a value of type {encoding.dtype if kind != 'O' else type(stored).__name__}")
    plain = encoding.plain
    cells = np.asarray(stored, encoding.dtype).reshape(1)
    cells = cells.view(plain.dtype) if encoding.reinterpreted else cells
    if mask(cells, plain.markers)[0]:
        return None
    value: float | str | bytes = cells[0].item() if isinstance(cells[0], np.generic) else cells[0]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            _unwritable(f"bytes {value[:40]!r}, which are not UTF-8")
    if isinstance(value, str) or (plain.scale is None and plain.offset is None):
        return value
    scale, offset = plain.packing
    return float(value) * scale + offset


def _shortest(instant: Fraction, spacing: Fraction) -> Fraction:
    """The instant with the fewest decimals that is nearer to it than to any neighbour it could be stored as."""
    rounded = (Fraction(round(instant * 10**digits), 10**digits) for digits in range(10))
    return next((near for near in rounded if abs(near - instant) * 2 < abs(spacing)), instant)


def _unwritable(found: str) -> NoReturn:
    expected = "a number, text, truth value, or time in definite units"
    hint = "Take the expression out of the attributes."
    raise ConfigError("this cannot be written as an attribute", expected=expected, found=found, hint=hint)


def _mapped(value: Any, where: str, change: Callable[[str, str], Any], depth: int = 0) -> Any:
    """Change every text, at any depth; tables and lists become new ones."""
    if isinstance(value, str):
        return change(value, where)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == MAX_DEPTH:
        expected = f"at most {MAX_DEPTH} tables or lists within one another"
        raise ConfigError("attributes are nested too deeply", where=where[:80], expected=expected, hint="Flatten them.")
    if isinstance(value, Mapping):
        return {key: _mapped(item, f"{where}.{key}", change, depth + 1) for key, item in value.items()}
    return [_mapped(item, f"{where}[{i}]", change, depth + 1) for i, item in enumerate(value)]


def _replaced(text: str, dataset: DatasetView, where: str) -> Any:
    """A text with its expressions replaced."""
    parts = parts_of(text, where)
    try:
        values = [part if isinstance(part, str) else _value(part, dataset) for part in parts]
    except ConfigError as error:
        raise error.at(f"{where} = {shown(text)}")  # noqa: B904 - it is the same error
    if len(values) == 1:
        return values[0]
    return "".join(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)


def _value(expression: Expression, dataset: DatasetView) -> Any:
    """What one expression becomes."""
    if isinstance(expression, Constant):
        return expression.value
    if isinstance(expression, Attribute):
        return _entry(dataset.attrs, expression.name, "attribute")
    if isinstance(expression, Size):
        return _entry(dataset.sizes, expression.name, "dimension")
    if isinstance(expression, Bound):
        return _written(_bound(expression, _view(expression.of, dataset)))
    if isinstance(expression, Length):
        shape = _view(expression.of, dataset).shape
        if not shape:
            raise ConfigError("a single value has no length", expected="a variable with a dimension", hint=_CORRECT)
        return shape[0]
    return _nested(_view(expression, dataset))


def _entry(table: Mapping[str, _T], name: str, kind: str) -> _T:
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(list(table)[:20]) or 'none'}."
    raise ConfigError(f"the dataset has no such {kind}", found=repr(name), hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A part of a variable; nothing of it has been read."""

    variable: VariableView
    """The variable."""
    taken: tuple[int | range, ...]
    """What is taken along each dimension; a dimension with one index is gone."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension that is left."""
        return tuple(len(part) for part in self.taken if isinstance(part, range))


def _view(array: ArrayNode, dataset: DatasetView) -> _View:
    variable = _entry(dataset.variables, array.name, "variable")
    shape, indices = variable.shape, array.indices
    if len(indices) > len(shape):
        expected, found = f"at most {len(shape)}, one per dimension", str(len(indices))
        raise ConfigError(f"too many indices of {array.name}", expected=expected, found=found, hint=_CORRECT)
    taken: list[int | range] = []
    for length, index in zip(shape, (*indices, *[slice(None)] * (len(shape) - len(indices))), strict=True):
        if isinstance(index, slice):
            taken.append(range(length)[index])
        elif -length <= index < length:
            taken.append(index % length)
        else:
            expected = f"{-length} to {length - 1}" if length else "none: there are no values"
            raise ConfigError(f"no such index of {array.name}", expected=expected, found=str(index), hint=_CORRECT)
    return _View(variable=variable, taken=tuple(taken))


def _nested(view: _View) -> Any:
    """The values of a view as lists in lists, one per dimension; a single value if none is left."""
    shape = view.shape
    if math.prod(max(length, 1) for length in shape) > MAX_VALUES:
        found = " x ".join(map(str, shape))
        raise ConfigError(
            "too many values", expected=f"at most {MAX_VALUES}", found=found, hint="Take a part, as in ds.x[0:3]."
        )
    axes = [part if isinstance(part, range) else (part,) for part in view.taken]
    values: list[Any] = [_written(view.variable.cell(index)) for index in product(*axes)]
    for axis in reversed(range(len(shape))):
        length, count = shape[axis], math.prod(shape[:axis])
        values = [values[i * length : (i + 1) * length] for i in range(count)]
    return values[0]


def _bound(bound: Bound, view: _View) -> Cell:
    """One end of the cells of labels; at most three of them are read."""
    if len(view.shape) != 1 or not view.shape[0]:
        found = f"shape {view.shape}"
        raise ConfigError("only labels have bounds", expected="one dimension, not empty", found=found, hint=_CORRECT)
    [axis] = (part for part in view.taken if isinstance(part, range))
    places = (axis[0], axis[min(1, len(axis) - 1)], axis[-1])
    cells = {
        place: view.variable.cell(tuple(place if isinstance(part, range) else part for part in view.taken))
        for place in dict.fromkeys(places)
    }
    first, second, last = (_position(cells[place]) for place in places)
    step = abs(second - first)
    above = {"lower": step, "center": step / 2, "upper": Fraction(0)}[bound.ref]
    end = max(first, last) + above if bound.upper else min(first, last) - (step - above)
    label = cells[axis[0]]
    if isinstance(label, Time):
        return Time(seconds=end, calendar=label.calendar)
    if end.denominator == 1 and all(isinstance(cell, int) for cell in cells.values()):
        return end.numerator
    try:
        return float(end)
    except OverflowError:
        return math.copysign(math.inf, end)


def _position(label: Cell) -> Fraction:
    """Where a label lies: seconds, or the decimal number that it is written as, so that 0.3 and 0.1 make 0.4."""
    if isinstance(label, Time) and label.seconds is not None:
        return label.seconds
    if isinstance(label, int | float) and not isinstance(label, bool) and math.isfinite(label):
        return Fraction(repr(label))
    raise ConfigError(
        "only numbers and times have bounds",
        expected="labels of them, none missing",
        found=repr(_written(label)),
        hint=_CORRECT,
    )


def _written(cell: Cell) -> Any:
    """A value as JSON can hold it."""
    if isinstance(cell, Time):
        return cell.iso()
    if cell is None or cell != cell:  # noqa: PLR0124 - NaN
        return "NaN"
    if isinstance(cell, float) and math.isinf(cell):
        return "Infinity" if cell > 0 else "-Infinity"
    return cell
