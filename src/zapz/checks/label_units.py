"""Choose time units for a new target that also fit later slices."""

from __future__ import annotations

from dataclasses import replace

from zapz.cf.conversion import to_instants
from zapz.checks.reading import Reading
from zapz.config.array_encoding import UNSET, ArrayEncoding, is_value
from zapz.config.settings import Config
from zapz.errors import EncodingError
from zapz.format.metadata import Array
from zapz.planning.compatibility import SMALL_STEP
from zapz.planning.label_units import units_to_come
from zapz.planning.meaning import meaning_of
from zapz.sources.open_slice import OpenSlice


def with_label_units(source: OpenSlice, config: Config) -> tuple[OpenSlice, list[str]]:
    """Return the first slice of a new target with finer units for its times, and notes about them.

    A slice of one step often stores its label as 0 "days since" that label, which is too coarse for
    later slices. Finer units are chosen for labels, their bounds, and other small time variables of
    one step, unless their units or data type are configured. A bounds variable without units
    inherits those of its parent (CF section 7.1).
    """
    found = dict(source.encodings)
    alike: dict[tuple[str, str], list[str]] = {}
    for path, array in source.dataset.arrays.items():
        units = _finer(source, array, config)
        if units is not None:
            found[path] = ArrayEncoding(units=units, dtype="int64").over(found.get(path, ArrayEncoding()))
            units, coarse = (each.partition(" since ")[0] for each in (units, _units_of(source, array)))
            alike.setdefault((units, coarse), []).append(path)
    notes = [
        f"{', '.join(paths)} {'is' if len(paths) == 1 else 'are'} stored in {units}, so that labels between whole "
        f"{coarse} can follow; the setting label_units can keep the slice's units"
        for (units, coarse), paths in alike.items()
    ]
    return replace(source, encodings=found), notes


def _units_of(source: OpenSlice, array: Array) -> str:
    hint = source.encodings.get(array.path, ArrayEncoding()).units
    return str(hint if is_value(hint) else array.attributes.get("units", ""))


def _is_integer(hint: ArrayEncoding, array: Array) -> bool:
    """Return whether the slice's encoding or data type stores labels as integers."""
    if hint.dtype is UNSET:
        return array.dtype.kind in "iu"
    return isinstance(hint.dtype, str) and hint.dtype.startswith(("int", "uint"))


def _finer(source: OpenSlice, array: Array, config: Config) -> str | None:
    axis, units = array.axis(config.append_dim), _units_of(source, array)
    if isinstance(config.append_step, int | float) or (source.one_step and config.append_label.get("units") == units):
        return None  # the step is a number in the slice's own units, or the units were chosen
    if axis is None or array.shape[axis] != 1 or not units or array.step_bytes(axis) > SMALL_STEP:
        return None
    hint, given = source.encodings.get(array.path, ArrayEncoding()), config.variable(array.path).encoding.given
    if {"units", "dtype"} & given.keys() or not _is_integer(hint, array):
        return None
    try:
        meaning = meaning_of(source.dataset, array.path)
        cells = Reading(source.store, source.dataset).rows(array.path, axis, 0, 1)
        values = [value for value in to_instants(meaning, cells) if value is not None]
        counted = meaning.axis is not None and meaning.axis.calendar == "duration"
        said = "duration" if counted else hint.calendar
        calendar = said if is_value(said) else array.attributes.get("calendar", "standard")
        return units_to_come(units, str(calendar), values) if values else None
    except EncodingError:  # not times, or unsupported ones: the append reports what is wrong with them
        return None
