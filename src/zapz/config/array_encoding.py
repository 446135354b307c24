"""How an array is stored, as far as anybody says it: a configuration, or a slice that was never stored itself."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, TypeGuard, TypeVar

from zapz.cf.markers import Scalar
from zapz.format.jsontext import JSON

T = TypeVar("T")


class Unset(enum.Enum):
    """Stands for what nobody has said; None is a value."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
Lengths = Sequence[int | None] | Mapping[str, int | None] | None
"""Lengths along axes, or by name of the dimension; None is the whole dimension, or all of them."""


def is_value(setting: T | Unset | None) -> TypeGuard[T]:
    """Return whether a setting is given, and not None."""
    return setting is not None and setting is not UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayEncoding:
    """How an array is stored; a field that is ``UNSET`` leaves that as it is."""

    dtype: str | Unset = UNSET
    """Data type as stored."""
    chunks: Lengths | Unset = UNSET
    """Lengths of chunks, in cells."""
    shards: Lengths | Unset = UNSET
    """Lengths of shards, in cells; None for no shards."""
    fill_value: Scalar | Sequence[float | str] | Unset | None = UNSET
    """Value, as stored, of cells that nobody wrote; None for none."""
    scale_factor: float | Unset | None = UNSET
    """Packing: value = stored * scale_factor + add_offset; None for none."""
    add_offset: float | Unset | None = UNSET
    """See ``scale_factor``."""
    units: str | Unset | None = UNSET
    """Units of stored times."""
    calendar: str | Unset | None = UNSET
    """Calendar of stored times."""
    compressor: Mapping[str, JSON] | Unset | None = UNSET
    """Compressor, as numcodecs configures it; empty for the format's default, None for none."""
    filters: Sequence[Mapping[str, JSON]] | Unset | None = UNSET
    """Filters, as numcodecs configures them; None for none."""
    codecs: Sequence[Mapping[str, JSON]] | Unset = UNSET
    """Codecs with name and configuration, instead of compressor and filters."""
    fill_is_marker: bool = False
    """Whether cells that equal the fill value are missing whatever the cells are: a slice's own
    encoding, or ``_FillValue``, says it."""

    def __bool__(self) -> bool:
        return bool(self.given)

    @property
    def given(self) -> dict[str, Any]:
        """The settings that are given, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "fill_is_marker"}
        return {name: value for name, value in values.items() if value is not UNSET}

    @property
    def word(self) -> str:
        """What the fill value is called where it is given, for messages."""
        return "_FillValue" if self.fill_is_marker else "fill_value"

    def without(self, *names: str) -> ArrayEncoding:
        """Return the encoding with some settings not given."""
        kept = {name: value for name, value in self.given.items() if name not in names}
        return ArrayEncoding(**kept, fill_is_marker=self.fill_is_marker)

    def over(self, other: ArrayEncoding) -> ArrayEncoding:
        """Return the encoding with what is not given taken from another one."""
        return ArrayEncoding(
            **{**other.given, **self.given}, fill_is_marker=self.fill_is_marker or other.fill_is_marker
        )
