"""Fields of documents that Zarr v2 and v3 have in common: lengths of axes, names of dimensions, members of objects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar

from zapz.errors import MetadataError
from zapz.format import jsontext
from zapz.format.metadata import name

DIMS = "_ARRAY_DIMENSIONS"
_NETCDF = ("_nczarr_array", "_NCZARR_ARRAY")
"""What netCDF-C calls its own metadata of an array, among the attributes or in ``.zarray``,
depending on its version."""
_NETCDF_DIMS = ("dimension_references", "dimrefs")
MAX_LENGTH = 2**62
"""Longest axis accepted, exclusive: beyond it no reader's arithmetic is safe."""
_REMEMBERED = 256
"""Nodes that are remembered,"""
_LONGEST = 16_384
"""if no document of theirs has more bytes."""

P = ParamSpec("P")
T = TypeVar("T")


def remembered(read: Callable[P, T]) -> Callable[P, T]:
    """Return a function that reads a node by its path and documents, and remembers what it has read.

    Most slices of a cube have the same documents. What is returned is shared between calls: do not
        change it.
    """
    again = lru_cache(_REMEMBERED)(read)

    @wraps(read)
    def reading(*given: P.args, **named: P.kwargs) -> T:
        small = all(len(each) <= _LONGEST for each in given if isinstance(each, bytes))
        return again(*given, **named) if small else read(*given, **named)  # type: ignore[arg-type]  # all can be hashed

    return reading


def lengths(value: Any, field: str, where: str, *, least: int) -> tuple[int, ...]:
    """Check a list of axis lengths.

    Raises:
        MetadataError: It is not a list of integers from ``least`` to 2^62.
    """
    good = isinstance(value, list) and all(
        isinstance(n, int) and not isinstance(n, bool) and least <= n < MAX_LENGTH for n in value
    )
    if not good:
        raise MetadataError(
            f"{field} does not make sense",
            where=where,
            expected=f"integers from {least} to 2^62",
            found=repr(value)[:80],
        )
    return tuple(value)


def netcdf_dims(shape: tuple[int, ...], *places: Mapping[str, Any]) -> list[str] | None:
    """Return dimension names as netCDF-C keeps them (NCZarr): full names of dimensions, such as ``/group/time``; None if it does not.

    Args:
        shape: The array's. A scalar is an array of one cell there, whose axis has no name.
        *places: Where they may stand.
    """
    for place in places:
        for own in _NETCDF:
            meta = place.get(own)
            named = next((meta[key] for key in _NETCDF_DIMS if key in meta), None) if isinstance(meta, dict) else None
            if isinstance(named, list) and all(isinstance(n, str) for n in named) and (named or shape != (1,)):
                return [name(full) for full in named]
    return None


def dims_of(value: Any, ndim: int, where: str) -> tuple[str | None, ...]:
    """Check dimension names; None stands for "not given".

    Raises:
        MetadataError: Their number is not that of the axes.
    """
    if value is None:
        return (None,) * ndim
    if not isinstance(value, list) or len(value) != ndim or not all(d is None or isinstance(d, str) for d in value):
        raise MetadataError(
            "dimension names do not fit the array", where=where, expected=f"{ndim} names", found=repr(value)[:80]
        )
    return tuple(value)


def changed_members(
    key: str, text: str, old: Mapping[str, Any], place: jsontext.Path, values: Mapping[str, Any]
) -> dict[str, bytes]:
    """Return a document with other members in one of its objects; nothing if all are what they were."""
    new = {n: jsontext.dumps(v) for n, v in values.items() if n not in old or repr(old[n]) != repr(v)}
    return {key: jsontext.replaced(text, {(*place, n): t for n, t in new.items()}).encode()} if new else {}
