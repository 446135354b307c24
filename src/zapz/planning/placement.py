"""The position of a slice in the target, and the conversion of its values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zapz.cf.conversion import Conversion
from zapz.planning.derivation import Derivation


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Position of a slice in the target, and conversion of its values (``compatibility.place``)."""

    dim: str
    """The append dimension."""
    offset: int
    """Length of the target before, in steps. The slice's first step is written here."""
    length: int
    """Number of steps of the slice."""
    conversions: Mapping[str, Conversion]
    """Conversion of stored values, for each variable that is written from the slice."""
    derived: Mapping[str, Derivation] = field(default_factory=dict)
    """Arrays of coarser levels that are derived from the slice's finest level."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """The slice's own path of each array and group, by the path at which it is presented; empty if
    it is presented as it is stored."""
    filled: tuple[str, ...] = ()
    """Variables that grow although the slice lacks them."""
    static: tuple[str, ...] = ()
    """Static variables that must equal the target's."""
    notes: tuple[str, ...] = ()
    """Differences that change nothing, as notes for the user."""
    labels: str = ""
    """Digest of the slice's labels, so that a plan is not executed with another slice; "" without
    labels."""

    @property
    def rounded(self) -> dict[str, str]:
        """Variables whose numbers are rounded to a configured shorter type, and that type."""
        found = {path: (each.source.dtype, each.target.dtype) for path, each in self.conversions.items() if each.narrow}
        return {
            path: str(target)
            for path, (source, target) in found.items()
            if source.kind == target.kind == "f" and target.itemsize < source.itemsize
        }

    def to_json(self) -> dict[str, object]:
        """Return the placement as values that JSON stores exactly."""
        return {
            "dim": self.dim,
            "offset": self.offset,
            "length": self.length,
            "conversions": {path: c.to_json() for path, c in self.conversions.items()},
            "derived": {path: d.to_json() for path, d in self.derived.items()},
            "paths": dict(self.paths),
            "filled": list(self.filled),
            "static": list(self.static),
            "notes": list(self.notes),
            "labels": self.labels,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Placement:
        """Return the placement that ``to_json`` returned as JSON values."""
        return cls(
            dim=data["dim"],
            offset=data["offset"],
            length=data["length"],
            conversions={path: Conversion.from_json(c) for path, c in data["conversions"].items()},
            derived={path: Derivation.from_json(d) for path, d in data.get("derived", {}).items()},
            paths=data.get("paths", {}),
            filled=tuple(data["filled"]),
            static=tuple(data["static"]),
            notes=tuple(data["notes"]),
            labels=data.get("labels", ""),
        )
