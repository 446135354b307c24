"""How an array is stored, as far as the configuration, or a slice in memory, defines it."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeGuard, TypeVar

from zapz.cf.markers import Scalar
from zapz.format.jsontext import JSON

T = TypeVar("T")


class Unset(enum.Enum):
    """Marks a setting without a value; None is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
Lengths = Sequence[int | None] | Mapping[str, int | None] | None
"""Lengths along axes, in order or by dimension name; None is the whole dimension, or all
dimensions."""


def is_value(setting: T | Unset | None) -> TypeGuard[T]:
    """Return whether a setting has a value that is not None."""
    return setting is not None and setting is not UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayEncoding:
    """How an array is stored; a field that is ``UNSET`` makes no requirement."""

    dtype: str | Unset = UNSET
    """Stored data type."""
    chunks: Lengths | Unset = UNSET
    """Lengths of chunks, in cells."""
    shards: Lengths | Unset = UNSET
    """Lengths of shards, in cells; None for no shards."""
    fill_value: Scalar | Sequence[float | str] | Unset | None = UNSET
    """Stored value of cells that were never written; None for none."""
    scale_factor: float | Unset | None = UNSET
    """Packing: value = stored * scale_factor + add_offset; None for none."""
    add_offset: float | Unset | None = UNSET
    """See ``scale_factor``."""
    units: str | Unset | None = UNSET
    """Units of stored times."""
    calendar: str | Unset | None = UNSET
    """Calendar of stored times."""
    compressor: Mapping[str, JSON] | Unset | None = UNSET
    """Compressor, as configured in numcodecs; empty for the default of the format, None for
    none."""
    filters: Sequence[Mapping[str, JSON]] | Unset | None = UNSET
    """Filters, as configured in numcodecs; None for none."""
    codecs: Sequence[Mapping[str, JSON]] | Unset = UNSET
    """Codecs with name and configuration, instead of compressor and filters."""
    fill_is_marker: bool = False
    """Whether cells that equal the fill value are missing even if the array has no missing marker.
    Set by ``_FillValue``, or by a slice's own encoding."""

    def __bool__(self) -> bool:
        return bool(self.given)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that have a value, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "fill_is_marker"}
        return {name: value for name, value in values.items() if value is not UNSET}

    @property
    def word(self) -> str:
        """Name under which the fill value was configured, for messages."""
        return "_FillValue" if self.fill_is_marker else "fill_value"

    def without(self, *names: str) -> ArrayEncoding:
        """Return the encoding without some settings."""
        kept = {name: value for name, value in self.given.items() if name not in names}
        return ArrayEncoding(**kept, fill_is_marker=self.fill_is_marker)

    def over(self, other: ArrayEncoding) -> ArrayEncoding:
        """Return the encoding, with unset settings taken from another one."""
        return ArrayEncoding(
            **{**other.given, **self.given}, fill_is_marker=self.fill_is_marker or other.fill_is_marker
        )
