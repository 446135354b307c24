"""Fields that Zarr v2 and v3 share: axis lengths, dimension names, members of objects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

from zapz.errors import MetadataError
from zapz.format import jsontext
from zapz.format.metadata import name

DIMS = "_ARRAY_DIMENSIONS"
_NETCDF = ("_nczarr_array", "_NCZARR_ARRAY")
"""Names under which netCDF-C stores its own metadata of an array, as an attribute or, depending on
its version, in ``.zarray``."""
_NETCDF_DIMS = ("dimension_references", "dimrefs")
MAX_LENGTH = 2**62
"""Exclusive limit for the length of an axis: beyond it, readers' arithmetic can overflow."""
_REMEMBERED = 256
"""Number of nodes that are cached."""
_LONGEST = 16_384
"""Maximum size of a cached node's documents, in bytes each."""

P = ParamSpec("P")
T = TypeVar("T")


def remembered(read: Callable[P, T]) -> Callable[P, T]:
    """Return ``read`` with a cache; ``read`` reads a node from its path and documents.

    Most slices of a cube have the same documents. Callers share the returned values and must not
    change them.
    """
    again = lru_cache(_REMEMBERED)(read)

    @wraps(read)
    def reading(*given: P.args, **named: P.kwargs) -> T:
        small = all(len(each) <= _LONGEST for each in given if isinstance(each, bytes))
        return again(*given, **named) if small else read(*given, **named)  # type: ignore[arg-type]  # all arguments are hashable

    return reading


def lengths(value: Any, field: str, where: str, *, least: int) -> tuple[int, ...]:
    """Check a list of axis lengths, and return it.

    Args:
        value: The parsed JSON value.
        field: Name of the field, for messages.
        where: Key of the document, for messages.
        least: Smallest length allowed, in cells.

    Raises:
        MetadataError: The value is not a list of integers from ``least`` to 2^62.
    """
    good = isinstance(value, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and least <= n < MAX_LENGTH for n in value
    )
    if not good:
        raise MetadataError(
            f"invalid {field}",
            where=where,
            expected=f"integers from {least} to 2^62",
            found=repr(value)[:80],
        )
    return tuple(value)


def netcdf_dims(shape: tuple[int, ...], *places: Mapping[str, Any]) -> list[str] | None:
    """Return the dimension names that netCDF-C stores (NCZarr), or None.

    netCDF-C stores full names, such as ``/group/time``; the last part is returned.

    Args:
        shape: Shape of the array. netCDF-C stores a scalar as one cell, whose axis has no name.
        *places: Objects that may hold the names.
    """
    for place in places:
        for own in _NETCDF:
            meta = place.get(own)
            named = next((meta[key] for key in _NETCDF_DIMS if key in meta), None) if isinstance(meta, dict) else None
            if isinstance(named, list) and all(isinstance(n, str) for n in named) and (named or shape != (1,)):
                return [name(full) for full in named]
    return None


def dims_of(value: Any, ndim: int, where: str) -> tuple[str | None, ...]:
    """Check dimension names; None means that they are not given.

    Raises:
        MetadataError: There is not one name, or null, per axis.
    """
    if value is None:
        return (None,) * ndim
    if not isinstance(value, list) or len(value) != ndim or not all(d is None or isinstance(d, str) for d in value):
        raise MetadataError("invalid dimension names", where=where, expected=f"{ndim} names", found=repr(value)[:80])
    return tuple(value)


def changed_members(
    key: str, text: str, old: Mapping[str, Any], place: jsontext.Path, values: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return a document with new values for members of one object; nothing if all are equal.

    Args:
        key: Key of the document.
        text: Its text.
        old: The present members of the object.
        place: Path to the object in the document.
        values: The members to set.
    """
    new = {n: jsontext.dumps(v) for n, v in values.items() if n not in old or repr(old[n]) != repr(v)}
    return {key: jsontext.replaced(text, {(*place, n): t for n, t in new.items()}).encode()} if new else {}
