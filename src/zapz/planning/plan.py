"""An append as a value: what is copied, what is encoded, where it goes; running it is a loop elsewhere.

A plan holds two hierarchies, a placement, and the documents to write; everything else follows by
integer arithmetic (``steps.py``). So it is as small for ten million chunks as for ten, any of its
steps is found at once (``Plan.step``), and it can be serialised and executed elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zapz.errors import MetadataError
from zapz.format import documents as doors
from zapz.format.grid import Index, indices
from zapz.format.metadata import Dataset
from zapz.planning.placement import Placement
from zapz.planning.steps import ArrayPlan, Step, plan_array

JSON_FORMAT = 1
"""Version of the serialised plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticEqual:
    """The slice's static variable must equal the target's."""

    path: str
    """Variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMarkerAsValue:
    """No real value of the slice may be the target's missing marker."""

    path: str
    """Variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InPackedRange:
    """Every value must fit the target's packing or time units; found out as it is encoded."""

    path: str
    """Variable."""


Check = StaticEqual | NoMarkerAsValue | InPackedRange
"""What only the data can tell; done before the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An append of one slice to one target, complete: a fresh process can execute it."""

    target_uri: str
    """Where the target is."""
    slice_uri: str
    """Where the slice is."""
    creates: bool
    """Whether the target does not exist yet."""
    before: Dataset
    """The target as it is (of a new target: its form, with length 0)."""
    after: Dataset
    """The target as it will be."""
    slice: Dataset
    """The slice."""
    placement: Placement
    """Where the slice goes."""
    documents: Mapping[str, bytes]
    """Documents to write, in the order in which they become visible; the root's consolidated
    metadata last."""
    recompress: bool = False
    """Whether compressor parameters must be the target's."""
    slice_has_place: bool = True
    """Whether the slice lies in a place, from which it can be opened again; otherwise it must be
    given to execute the plan."""
    append_label: Mapping[str, Any] = field(default_factory=dict)
    """The setting of that name by which the slice was seen as one step; empty if it was not needed."""
    arrays: Mapping[str, ArrayPlan] = field(compare=False)
    """What happens to each array that is written."""

    def __repr__(self) -> str:
        from zapz.pictures.plan_words import headline  # imported where used: appends do without

        return f"<zapz.Plan for {self.target_uri}: {headline(self.summary())}>"

    def _repr_html_(self) -> str:
        """Return the plan as HTML, for notebooks."""
        from zapz.pictures.append_pages import plan_page  # imported where used

        return plan_page(self.summary(), [f"from {self.slice_uri}"])

    @property
    def base(self) -> dict[str, str | None]:
        """Digest of every document before: the state that this plan builds on."""
        absent: dict[str, str | None] = dict.fromkeys(self.documents)
        if self.creates:
            return absent
        return absent | {key: hashlib.sha256(data).hexdigest() for key, data in self.before.documents.items()}

    @property
    def checks(self) -> tuple[Check, ...]:
        """What only the data can tell."""
        checks: list[Check] = [StaticEqual(path=path) for path in self.placement.static]
        for path, conversion in self.placement.conversions.items():
            if conversion.guards_marker:
                checks.append(NoMarkerAsValue(path=path))
            if not conversion.identity:
                checks.append(InPackedRange(path=path))
        return tuple(checks)

    def step(self, path: str, index: Index) -> Step:
        """Return the step that makes one touched chunk (shard), without looking at any other.

        Raises:
            KeyError: The plan touches no such array.
            IndexError: It does not touch that chunk: see ``touches``.
        """
        array = self.arrays[path]
        if not array.touches(index):
            raise IndexError(f"the plan does not touch chunk {index} of {path!r}, but {array.spans}")
        return array.step(index)

    def touches(self, path: str, index: Index) -> bool:
        """Return whether a chunk (shard) is made anew, or may have to be; all others stay as they are."""
        return path in self.arrays and self.arrays[path].touches(index)

    def steps(self) -> Iterator[Step]:
        """Yield every step, lazily: arrays in order of their paths."""
        for path in sorted(self.arrays):
            yield from self.arrays[path].steps()

    def keys(self, path: str) -> Iterator[str]:
        """Yield the key of every touched chunk of an array: from integers alone."""
        plan = self.arrays[path]
        return (plan.target.key(index) for index in indices(plan.spans))

    def summary(self) -> dict[str, Any]:
        """Return counts: chunks copied and encoded, and why; bytes of the slice's cells; largest working set of a worker."""
        from zapz.planning.reasons import decoded_bytes, variables_of  # imported where used: appends do without

        plans = self.arrays.values()
        return {
            "target": self.target_uri,
            "slice": self.slice_uri,
            "creates": self.creates,
            "dim": self.placement.dim,
            "offset": self.placement.offset,
            "length": self.placement.length,
            "copied_chunks": sum(p.copies for p in plans),
            "encoded_chunks": sum(p.encodes for p in plans),
            "bytes": sum(math.prod(b - a for a, b in p.new_box) * p.target.dtype.itemsize for p in plans),
            "decoded_bytes": decoded_bytes(plans),
            "working_set": max((p.working_set for p in plans), default=0),
            "checks": [{"check": type(c).__name__, "path": c.path} for c in self.checks],
            "variables": variables_of(plans, recompress=self.recompress),
            "notes": list(self.placement.notes),
        }

    def to_json(self) -> str:
        """Serialise; documents go along as their own text."""
        data = {
            "zapz_plan": JSON_FORMAT,
            "target": self.target_uri,
            "slice": self.slice_uri,
            "slice_has_place": self.slice_has_place,
            "append_label": dict(self.append_label),
            "creates": self.creates,
            "recompress": self.recompress,
            "placement": self.placement.to_json(),
            "before": _texts(self.before.documents),
            "documents": _texts(self.documents),
            "slice_documents": _texts(self.slice.documents),
        }
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Undo ``to_json``.

        Raises:
            MetadataError: The text is not a plan, or one of a newer zapz.
        """
        try:
            data = json.loads(text)
            version = data["zapz_plan"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MetadataError("not a plan", found=str(error)) from error
        if version != JSON_FORMAT:
            raise MetadataError("a plan of another version", expected=str(JSON_FORMAT), found=repr(version))
        try:
            return cls._from_data(data)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise MetadataError("not a plan", found=f"{type(error).__name__} {error}") from error

    @classmethod
    def _from_data(cls, data: Mapping[str, Any]) -> Plan:
        return make_plan(
            target_uri=data["target"],
            slice_uri=data["slice"],
            creates=data["creates"],
            before=doors.read(_bytes(data["before"])),
            slice_=doors.read(_bytes(data["slice_documents"])),
            placement=Placement.from_json(data["placement"]),
            documents=_bytes(data["documents"]),
            recompress=data["recompress"],
            slice_has_place=data.get("slice_has_place", True),
            append_label=data.get("append_label", {}),
        )


def _texts(documents: Mapping[str, bytes]) -> dict[str, str]:
    return {key: data.decode("utf-8", "surrogateescape") for key, data in documents.items()}


def _bytes(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {key: text.encode("utf-8", "surrogateescape") for key, text in texts.items()}


def make_plan(
    *,
    target_uri: str,
    slice_uri: str,
    creates: bool,
    before: Dataset,
    slice_: Dataset,
    placement: Placement,
    documents: Mapping[str, bytes],
    recompress: bool,
    slice_has_place: bool = True,
    append_label: Mapping[str, Any] | None = None,
    after: Dataset | None = None,
) -> Plan:
    """Derive a whole plan from what cannot be derived: the two hierarchies, the placement, and the documents to write.

    Args:
        target_uri: Where the target is.
        slice_uri: Where the slice is.
        creates: Whether the target does not exist yet.
        before: The target as it is.
        slice_: The slice.
        placement: Where the slice goes.
        documents: Documents to write.
        recompress: Whether compressor parameters must be the target's.
        slice_has_place: Whether the slice can be opened again by its URI.
        append_label: The setting of that name, if the slice was seen as one step.
        after: What ``documents`` make of ``before``, if that is known; else they are read.
    """
    if after is None:
        after = doors.read({**before.documents, **documents})
    arrays = {}
    for path, array in after.arrays.items():
        axis = array.axis(placement.dim)
        if axis is None and not (creates and path in placement.conversions):
            continue
        source = None if path in placement.filled else slice_.arrays[path]
        arrays[path] = plan_array(array, source, axis, placement, recompress=recompress)
    return Plan(
        target_uri=target_uri,
        slice_uri=slice_uri,
        creates=creates,
        before=before,
        after=after,
        slice=slice_,
        placement=placement,
        documents=documents,
        recompress=recompress,
        slice_has_place=slice_has_place,
        append_label=append_label or {},
        arrays=arrays,
    )
