"""Evaluate expressions in attribute values: ``{{ ... }}`` is replaced by its value. Pure.

- ``ds.time``, ``ds["time"]``, ``ds["group/time"]``: a variable by name, as a list of at most 1000
  values
- ``ds.time[0]``, ``ds.time[-1]``, ``ds.time[0:3]``, ``ds.x[0, 1:3]``: some of its values, with
  indices as in Python
- ``lower_bound(ds.time)``, ``upper_bound(ds.time)``: the ends of the cells of its labels
- ``upper_bound(ds.time, ref="center")``: the same if labels are the "center" or "upper" end of
  their cells, and not the "lower" end
- ``len(ds.time)``, ``ds.sizes.time``, ``ds.dims["time"]``: a length
- ``ds.attrs.title``: an attribute of the root group
- ``12``, ``-0.5``, ``"text"``: a number or text; ``{{ "{{" }}`` writes two braces

Times become ISO 8601 text in their own calendar (``2024-01-02T00:00:00``), and so do durations
(``PT6H``). A missing time becomes the text NaT; other missing values, and NaN, become the text NaN.
Text that is a single expression becomes its value (number, text, list). All other text stays text.

Nothing else is possible: no arithmetic, no attributes of results, no other functions. Names are
looked up in tables, never in Python.
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
"""Maximum number of values of one expression."""
MAX_DEPTH: Final = 100
"""Maximum nesting depth of tables and lists."""

_CORRECT: Final = "Correct the expression."
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Time:
    """An instant or a duration, which may be missing."""

    seconds: Fraction | None
    """Seconds since 1970-01-01T00:00:00 of ``calendar``, or of a duration; None if missing."""
    calendar: str
    """A value of ``zapz.cf.calendars.CALENDARS``, or "duration"."""

    def iso(self) -> str:
        """Return the time as ISO 8601 text; NaT if missing.

        A fraction of a second is written only if it is not 0.
        """
        if self.seconds is None:
            return "NaT"
        return iso_of(self.seconds) if self.calendar == "duration" else format_seconds(self.calendar, self.seconds)


Cell: TypeAlias = int | float | str | bool | Time | None
"""Meaning of one stored value; None for a missing value that is not a time."""


class VariableView(Protocol):
    """The part of a variable that an expression can read."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each dimension, in cells."""

    def cell(self, index: tuple[int, ...]) -> Cell:
        """Return the meaning of the value at an index inside the shape, not negative."""


class DatasetView(Protocol):
    """The part of a dataset that an expression can read."""

    @property
    def variables(self) -> Mapping[str, VariableView]:
        """Variables by path."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Length of each dimension, in cells."""

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Attributes of the root group."""


def check(attributes: Mapping[str, Any], where: str) -> None:
    """Check that every expression can be parsed, at any depth; none is evaluated.

    Args:
        attributes: Attribute values as in a configuration.
        where: Path of the table, for errors.

    Raises:
        ConfigError: An expression is invalid; names its path, the column, and what was expected
            there.
    """
    _mapped(attributes, where, parts_of)


def has_expressions(attributes: Mapping[str, Any]) -> bool:
    """Return whether any value contains an expression, at any depth, valid or not."""
    found: list[bool] = []
    _mapped(attributes, "attrs", lambda text, _: found.append("{{" in text))
    return any(found)


def evaluate(attributes: Mapping[str, Any], dataset: DatasetView, where: str = "attrs") -> dict[str, Any]:
    """Return attributes with every expression replaced, at any depth.

    Args:
        attributes: Attribute values as in a configuration.
        dataset: The dataset that expressions may read.
        where: Path of the table, for errors.

    Returns:
        New attributes that JSON can hold.

    Raises:
        ConfigError: An expression is invalid, or names what the dataset does not have.
        ZapzError: A cell cannot be read.
    """
    result: dict[str, Any] = _mapped(attributes, where, lambda text, place: _replaced(text, dataset, place))
    return result


def cell_of(encoding: Encoding, stored: Scalar) -> Cell:
    """Return the meaning of one stored value (CF sections 2.5.1, 4.4 and 8.1).

    A time stored as a floating-point number becomes the shortest decimal number of seconds that is
    stored as that number.

    Raises:
        ConfigError: An attribute cannot hold the value: a structure, or a time in months or years.
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
    """Return the instant with the fewest decimals that is stored as the same number."""
    rounded = (Fraction(round(instant * 10**digits), 10**digits) for digits in range(10))
    return next((near for near in rounded if abs(near - instant) * 2 < abs(spacing)), instant)


def _unwritable(found: str) -> NoReturn:
    expected = "a number, text, true, false, or a time in units of fixed length"
    hint = "Remove the expression from the attributes."
    raise ConfigError("value cannot be written as an attribute", expected=expected, found=found, hint=hint)


def _mapped(value: Any, where: str, change: Callable[[str, str], Any], depth: int = 0) -> Any:
    """Return a value with every text in it changed, at any depth, in new tables and lists."""
    if isinstance(value, str):
        return change(value, where)
    if not isinstance(value, Mapping | list | tuple):
        return value
    if depth == MAX_DEPTH:
        expected = f"at most {MAX_DEPTH} levels of tables and lists"
        raise ConfigError(
            "attributes are nested too deeply", where=where[:80], expected=expected, hint="Reduce the nesting."
        )
    if isinstance(value, Mapping):
        return {key: _mapped(item, f"{where}.{key}", change, depth + 1) for key, item in value.items()}
    return [_mapped(item, f"{where}[{i}]", change, depth + 1) for i, item in enumerate(value)]


def _replaced(text: str, dataset: DatasetView, where: str) -> Any:
    """Return a text with its expressions replaced."""
    parts = parts_of(text, where)
    try:
        values = [part if isinstance(part, str) else _value(part, dataset) for part in parts]
    except ConfigError as error:
        raise error.at(f"{where} = {shown(text)}")  # noqa: B904 - the same error
    if len(values) == 1:
        return values[0]
    return "".join(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for value in values)


def _value(expression: Expression, dataset: DatasetView) -> Any:
    """Return the value of one expression."""
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
    hint = f"Did you mean {near[0]!r}?" if near else f"Available: {', '.join(list(table)[:20]) or 'none'}."
    raise ConfigError(f"the dataset has no such {kind}", found=repr(name), hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """A part of a variable; no cell of it has been read."""

    variable: VariableView
    """The variable."""
    taken: tuple[int | range, ...]
    """Selected indices along each dimension; a single index removes the dimension."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each remaining dimension, in cells."""
        return tuple(len(part) for part in self.taken if isinstance(part, range))


def _view(array: ArrayNode, dataset: DatasetView) -> _View:
    variable = _entry(dataset.variables, array.name, "variable")
    shape, indices = variable.shape, array.indices
    if len(indices) > len(shape):
        expected, found = f"at most {len(shape)}, one per dimension", str(len(indices))
        raise ConfigError(f"too many indices for {array.name}", expected=expected, found=found, hint=_CORRECT)
    taken: list[int | range] = []
    for length, index in zip(shape, (*indices, *[slice(None)] * (len(shape) - len(indices))), strict=True):
        if isinstance(index, slice):
            taken.append(range(length)[index])
        elif -length <= index < length:
            taken.append(index % length)
        else:
            expected = f"{-length} to {length - 1}" if length else "no index: the dimension is empty"
            raise ConfigError(
                f"index out of range for {array.name}", expected=expected, found=str(index), hint=_CORRECT
            )
    return _View(variable=variable, taken=tuple(taken))


def _nested(view: _View) -> Any:
    """Return the values of a view as nested lists, one level per dimension; else a single value."""
    shape = view.shape
    if math.prod(max(length, 1) for length in shape) > MAX_VALUES:
        found = " x ".join(map(str, shape))
        raise ConfigError(
            "too many values", expected=f"at most {MAX_VALUES}", found=found, hint="Select a part, as in ds.x[0:3]."
        )
    axes = [part if isinstance(part, range) else (part,) for part in view.taken]
    values: list[Any] = [_written(view.variable.cell(index)) for index in product(*axes)]
    for axis in reversed(range(len(shape))):
        length, count = shape[axis], math.prod(shape[:axis])
        values = [values[i * length : (i + 1) * length] for i in range(count)]
    return values[0]


def _bound(bound: Bound, view: _View) -> Cell:
    """Return one end of the cells of labels, after reading at most three labels."""
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
    """Return a label as a number: in seconds, or as the decimal number that is written.

    So 0.3 and 0.1 are 0.4 together.
    """
    if isinstance(label, Time) and label.seconds is not None:
        return label.seconds
    if isinstance(label, int | float) and not isinstance(label, bool) and math.isfinite(label):
        return Fraction(repr(label))
    raise ConfigError(
        "only numbers and times have bounds",
        expected="number or time labels, none missing",
        found=repr(_written(label)),
        hint=_CORRECT,
    )


def _written(cell: Cell) -> Any:
    """Return a value as JSON can hold it."""
    if isinstance(cell, Time):
        return cell.iso()
    if cell is None or cell != cell:  # noqa: PLR0124 - NaN
        return "NaN"
    if isinstance(cell, float) and math.isinf(cell):
        return "Infinity" if cell > 0 else "-Infinity"
    return cell
