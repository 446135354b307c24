"""The description of a target that ``info`` returns, as plain fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zapz.operations.label_gaps import StepInfo
from zapz.operations.pyramid_info import PyramidInfo
from zapz.operations.thumbnails import Thumbnail
from zapz.operations.variable_info import VariableInfo
from zapz.storage.store import Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoFields:
    """A target, its lock and its journal."""

    uri: str
    """Path or URI of the target."""
    zarr_format: int
    """Zarr format: 2 or 3."""
    dims: Mapping[str, int]
    """Length of every dimension."""
    append_dim: str
    """The requested append dimension."""
    variables: tuple[VariableInfo, ...]
    """All arrays."""
    labels: Mapping[str, tuple[str, str]]
    """First and last label of each label variable of the append dimension."""
    steps: Mapping[str, StepInfo] = field(default_factory=dict)
    """Regular step and gaps of each label variable. Variables whose labels are too many to be read,
    too few, or text are left out."""
    lock: Holder | None
    """Holder of the lock; None if the target is not locked."""
    journal: tuple[str, ...]
    """Transactions that a crashed run left unfinished, one line each."""
    notes: tuple[str, ...] = ()
    """Remarks about the storage, and about data that were not read."""
    consolidated: bool = False
    """Whether there is consolidated metadata at the root."""
    pyramids: tuple[PyramidInfo, ...] = ()
    """Pyramids in the hierarchy: sizes, factors and lengths of their levels, and how these were
    made."""
    thumbnails: tuple[Thumbnail, ...] = ()
    """A small picture of the last step of each variable with two dimensions or more; only if
    requested."""

    @property
    def length(self) -> int:
        """Number of steps along the append dimension."""
        return self.dims.get(self.append_dim, 0)
