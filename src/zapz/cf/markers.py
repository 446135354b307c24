"""Missing markers: stored values that mean "missing" (CF section 2.5.1). Pure.

The attributes ``_FillValue`` and ``missing_value`` define them. They are compared as stored: NaN
equals NaN, 1e20 in JSON means the nearest float32, and with ``_Unsigned``, 255 means -1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from zapz.errors import EncodingError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Scalar: TypeAlias = np.generic | str | bytes | int | float
"""One stored value: a NumPy scalar of the array's dtype, or a Python value for object arrays."""
Stored: TypeAlias = np.ndarray[Any, np.dtype[Any]]
"""Stored values, or a mask of them, of any shape."""


def is_nan(value: Scalar | None) -> bool:
    """Return whether a marker is NaN or NaT."""
    return isinstance(value, np.generic) and has_nan(value.dtype) and bool(np.isnan(value))


def among(value: Scalar, others: Iterable[Scalar]) -> bool:
    """Return whether a marker is one of others; NaN equals NaN."""
    return any((is_nan(value) and is_nan(other)) or bool(np.all(value == other)) for other in others)


def nans(cells: Stored) -> Stored:
    """Return a mask of NaN and NaT."""
    return np.isnan(cells) if has_nan(cells.dtype) else np.zeros(cells.shape, dtype=bool)


def mask(cells: Stored, markers: Iterable[Scalar]) -> Stored:
    """Return a mask of the cells that equal one of the markers (CF section 2.5.1)."""
    found = np.zeros(cells.shape, dtype=bool)
    for value in markers:
        found |= nans(cells) if is_nan(value) else np.asarray(cells == value, dtype=bool)
    return found


def missing_values(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> list[Scalar]:
    """Return the stored values that the attribute missing_value lists (CF section 2.5.1).

    Raises:
        EncodingError: The attribute is invalid for this data type.
    """
    listed = attributes.get("missing_value")
    several = listed if isinstance(listed, list | tuple | np.ndarray) else [listed]
    return stored_values("missing_value", several, dtype.newbyteorder("="), attributes)


def stored_values(
    name: str, entries: Iterable[Any], dtype: np.dtype[Any], attributes: Mapping[str, Any]
) -> list[Scalar]:
    """Return the entries of an attribute as scalars of the dtype.

    Entries that are None, or that no stored value can equal, are left out.

    Args:
        name: Name of the attribute, for errors.
        entries: Its values.
        dtype: Data type of the stored values.
        attributes: All attributes of the array.

    Raises:
        EncodingError: An entry is not a value of this data type.
    """
    named = [entry for entry in entries if entry is not None]
    if not named:
        return named
    flipped = is_flipped(dtype, attributes)
    found = (stored_scalar(dtype, entry, name, reinterpreted=flipped) for entry in named)
    return [value for value in found if value is not None]


def is_flipped(dtype: np.dtype[Any], attributes: Mapping[str, Any]) -> bool:
    """Return whether _Unsigned inverts the signedness of stored integers."""
    unsigned = _flag(attributes.get("_Unsigned"))
    return unsigned is not None and dtype.kind == ("i" if unsigned else "u")


def stored_scalar(
    dtype: np.dtype[Any],
    value: Any,
    name: str = "_FillValue",
    *,
    reinterpreted: bool = False,
) -> Scalar | None:
    """Return a marker as a scalar of the dtype, or None if no stored value can equal it.

    Numbers for a floating-point dtype become the nearest one: JSON writes 1e20 where a float32 is
    meant.

    Args:
        dtype: Data type of the stored values.
        value: A NumPy scalar, or a value parsed from JSON.
        name: Name of the attribute, for errors.
        reinterpreted: Whether _Unsigned applies; then the marker may be written with either sign.

    Raises:
        EncodingError: The marker is not a value of this data type, such as text for a number.
    """
    if reinterpreted and (plain := stored_scalar(other_signedness(dtype), value, name)) is not None:
        return scalar_of(np.asarray(plain).view(dtype))
    try:
        with np.errstate(over="ignore"):
            return _scalar(dtype, value)
    except OverflowError:
        return None
    except (TypeError, ValueError):
        raise invalid(name=name, expected=f"a value of type {dtype}", found=value) from None


def _scalar(dtype: np.dtype[Any], value: Any) -> Scalar | None:
    kind = dtype.kind
    if isinstance(value, np.generic) and value.dtype == dtype:
        return scalar_of(np.asarray(value).astype(dtype))  # the byte order may differ
    item = value.item() if isinstance(value, np.generic) and value.dtype.kind not in "mMV" else value
    if kind in "biuf":
        return _real(dtype, item)
    if kind in "USO":
        return _text(dtype, item)
    if kind in "mM" and isinstance(item, int):
        return scalar_of(np.asarray(item, np.int64).view(dtype))
    return scalar_of(np.asarray(tuple(item) if isinstance(item, list) else item).astype(dtype))


def _real(dtype: np.dtype[Any], item: Any) -> Scalar | None:
    if isinstance(item, complex):
        return None if item.imag else _real(dtype, item.real)
    if dtype.kind == "f":
        real = dtype.type(float(item))
        return real if np.isinf(real) == np.isinf(float(item)) else None
    _demand(isinstance(item, int | float))
    if isinstance(item, float) and not item.is_integer():
        return None
    least, most = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    return scalar_of(np.asarray(int(item)).astype(dtype)) if least <= item <= most else None


def _text(dtype: np.dtype[Any], item: Any) -> Scalar | None:
    if dtype.kind == "O":
        _demand(isinstance(item, str | bytes | int | float))
        return None if item != item else item  # noqa: PLR0124 - NaN
    text = np.asarray(item.encode() if dtype.kind == "S" and isinstance(item, str) else item)
    _demand(text.dtype.kind == dtype.kind)
    return scalar_of(text.astype(dtype)) if text.itemsize <= dtype.itemsize or not item else None


def _demand(sound: bool) -> None:  # noqa: FBT001 - a condition
    if not sound:
        raise TypeError


def scalar_of(array: Stored) -> Scalar:
    """Return the only value of a 0-dimensional array."""
    return cast("Scalar", array[()])  # numpy types it as an array


def has_nan(dtype: np.dtype[Any]) -> bool:
    """Return whether values of a type can be NaN or NaT."""
    return dtype.kind in "fcmM"


def other_signedness(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the integer type of the same size and the opposite signedness."""
    return np.dtype(("u" if dtype.kind == "i" else "i") + str(dtype.itemsize))


def _flag(value: Any) -> bool | None:
    if value is None:
        return None
    flags = {"true": True, "false": False}
    if str(value).lower() not in flags:
        raise invalid(name="_Unsigned", expected='"true" or "false"', found=value)
    return flags[str(value).lower()]


def invalid(*, name: str, expected: str, found: object) -> EncodingError:
    """Return the error for an invalid attribute."""
    return EncodingError(f"invalid {name}", expected=expected, found=repr(found), hint="Correct the attribute.")
