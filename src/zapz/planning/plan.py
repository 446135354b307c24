"""An append as a value: what is copied, what is encoded, and where; it is executed elsewhere.

A plan holds two hierarchies, a placement, and the documents to write. All else follows by integer
arithmetic (``steps.py``). So a plan is as small for ten million chunks as for ten, each step is
found directly (``Plan.step``), and a plan can be serialised and executed elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from zapz.config.append_label import AppendLabelDict
from zapz.errors import MetadataError
from zapz.format import documents as doors
from zapz.format.grid import Index, indices
from zapz.format.metadata import Dataset
from zapz.planning.placement import Placement
from zapz.planning.steps import ArrayPlan, Step, plan_array
from zapz.reports import PlanSummary

JSON_FORMAT = 1
"""Version of the serialised plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticEqual:
    """The slice's static variable must equal the target's."""

    path: str
    """The variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoMarkerAsValue:
    """No valid value of the slice may equal the target's missing marker."""

    path: str
    """The variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InPackedRange:
    """Every value must fit the target's packing or time units; checked while it is encoded."""

    path: str
    """The variable."""


Check = StaticEqual | NoMarkerAsValue | InPackedRange
"""A check that needs the data; done before the commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A complete append of one slice to one target: another process can execute it."""

    target_uri: str
    """URI of the target."""
    slice_uri: str
    """URI of the slice."""
    creates: bool
    """Whether the target does not exist yet."""
    before: Dataset
    """The target before the append; for a new target its form, with length 0."""
    after: Dataset
    """The target after the append."""
    slice: Dataset
    """The slice."""
    placement: Placement
    """Position of the slice, and conversion of its values."""
    documents: Mapping[str, bytes]
    """Documents to write, in the order in which they become visible. The root's consolidated
    metadata are last."""
    recompress: bool = False
    """Whether compressor parameters must be the target's."""
    slice_has_place: bool = True
    """Whether the slice can be opened again by its URI. Otherwise it must be passed to execute the
    plan."""
    append_label: AppendLabelDict = field(default_factory=AppendLabelDict)
    """The setting of this name with which the slice was read as one step; empty if not needed."""
    arrays: Mapping[str, ArrayPlan] = field(compare=False)
    """Plans of the arrays that are written."""

    def __repr__(self) -> str:
        from zapz.pictures.plan_words import headline  # imported where used: appends do without

        return f"<zapz.Plan for {self.target_uri}: {headline(self.summary())}>"

    def _repr_html_(self) -> str:
        """Return the plan as HTML, for notebooks."""
        from zapz.pictures.append_pages import plan_page  # imported where used

        return plan_page(self.summary(), [f"from {self.slice_uri}"])

    @property
    def base(self) -> dict[str, str | None]:
        """Digest of every document before the append: the state on which this plan is based."""
        absent: dict[str, str | None] = dict.fromkeys(self.documents)
        if self.creates:
            return absent
        return absent | {key: hashlib.sha256(data).hexdigest() for key, data in self.before.documents.items()}

    @property
    def checks(self) -> tuple[Check, ...]:
        """The checks that need the data."""
        checks: list[Check] = [StaticEqual(path=path) for path in self.placement.static]
        for path, conversion in self.placement.conversions.items():
            if conversion.guards_marker:
                checks.append(NoMarkerAsValue(path=path))
            if not conversion.identity:
                checks.append(InPackedRange(path=path))
        return tuple(checks)

    def step(self, path: str, index: Index) -> Step:
        """Return the step that writes one touched chunk (shard), without computing any other.

        Raises:
            KeyError: The plan does not write this array.
            IndexError: The plan does not touch this chunk: see ``touches``.
        """
        array = self.arrays[path]
        if not array.touches(index):
            raise IndexError(f"the plan does not touch chunk {index} of {path!r}, but {array.spans}")
        return array.step(index)

    def touches(self, path: str, index: Index) -> bool:
        """Return whether a chunk (shard) is written, or may be; all others stay unchanged."""
        return path in self.arrays and self.arrays[path].touches(index)

    def steps(self) -> Iterator[Step]:
        """Yield every step, lazily: arrays in order of their paths."""
        for path in sorted(self.arrays):
            yield from self.arrays[path].steps()

    def keys(self, path: str) -> Iterator[str]:
        """Yield the key of every touched chunk of an array; keys depend on integers alone."""
        plan = self.arrays[path]
        return (plan.target.key(index) for index in indices(plan.spans))

    def summary(self) -> PlanSummary:
        """Return a summary: chunks copied and encoded, reasons, bytes of new cells, working set.

        The working set is the largest one of a worker, in bytes.
        """
        from zapz.planning.reasons import decoded_bytes, variables_of  # imported here: appends do not need it

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
            "levels": len(self.after.levels),
            "decoded_bytes": decoded_bytes(plans),
            "working_set": max((p.working_set for p in plans), default=0),
            "checks": [{"check": type(c).__name__, "path": c.path} for c in self.checks],
            "variables": variables_of(plans, recompress=self.recompress),
            "notes": list(self.placement.notes),
        }

    def to_json(self) -> str:
        """Return the plan as JSON; documents are contained as text."""
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
        """Return the plan in JSON text from ``to_json``.

        Raises:
            MetadataError: The text is not a plan, or one of another version.
        """
        try:
            data = json.loads(text)
            version = data["zapz_plan"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise MetadataError("invalid plan", found=str(error)) from error
        if version != JSON_FORMAT:
            raise MetadataError("unsupported plan version", expected=str(JSON_FORMAT), found=repr(version))
        try:
            return cls._from_data(data)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise MetadataError("invalid plan", found=f"{type(error).__name__} {error}") from error

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
    append_label: AppendLabelDict | None = None,
    after: Dataset | None = None,
) -> Plan:
    """Return the plan that follows from the two hierarchies, the placement, and the documents.

    Args:
        target_uri: URI of the target.
        slice_uri: URI of the slice.
        creates: Whether the target does not exist yet.
        before: The target before the append.
        slice_: The slice.
        placement: Position of the slice, and conversion of its values.
        documents: Documents to write.
        recompress: Whether compressor parameters must be the target's.
        slice_has_place: Whether the slice can be opened again by its URI.
        append_label: The setting of this name, if the slice was read as one step.
        after: The result of writing ``documents`` to ``before``, if known; else it is read from
            them.
    """
    if after is None:
        after = doors.read({**before.documents, **documents})
    arrays = {}
    for path, array in after.arrays.items():
        axis = array.axis(placement.dim)
        if axis is None and not (creates and path in placement.conversions):
            continue
        derivation = placement.derived.get(path)
        known = path if derivation is None else derivation.source
        source = None if path in placement.filled else slice_.arrays[known]
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
