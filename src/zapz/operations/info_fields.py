"""What ``info`` returns of a target, as plain fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zapz.operations.label_gaps import StepInfo
from zapz.operations.thumbnails import Thumbnail
from zapz.operations.variable_info import VariableInfo
from zapz.storage.store import Holder


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoFields:
    """A target, its lock, and its journal."""

    uri: str
    """Where it is."""
    zarr_format: int
    """2 or 3."""
    dims: Mapping[str, int]
    """Length of every dimension."""
    append_dim: str
    """The append dimension asked for."""
    variables: tuple[VariableInfo, ...]
    """All arrays."""
    labels: Mapping[str, tuple[str, str]]
    """First and last label of each label variable of the append dimension."""
    steps: Mapping[str, StepInfo] = field(default_factory=dict)
    """The step that the labels of each of these variables keep, and where steps are missing;
    without those too long to be read."""
    lock: Holder | None
    """Who holds the lock."""
    journal: tuple[str, ...]
    """What a crashed run left."""
    notes: tuple[str, ...] = ()
    """What is worth knowing about the storage."""
    consolidated: bool = False
    """Whether there is consolidated metadata at the root."""
    thumbnails: tuple[Thumbnail, ...] = ()
    """A small picture of the last step of each variable with two dimensions or more; only if
    requested."""

    @property
    def length(self) -> int:
        """Number of steps along the append dimension."""
        return self.dims.get(self.append_dim, 0)
