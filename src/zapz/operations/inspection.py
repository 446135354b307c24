"""Inspect a target's documents and labels, and collect what is wrong with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zapz.cf.conversion import encoding_or_bare
from zapz.checks import soundness
from zapz.checks.all_labels import all_labels
from zapz.checks.findings import Finding, finding_of
from zapz.checks.reading import Reading, label_paths
from zapz.config.settings import Config
from zapz.errors import ChunkError, FormatError, NotFoundError
from zapz.format import documents as doors
from zapz.format.buffers import Cells
from zapz.format.metadata import Dataset
from zapz.operations.existing import unfinished_error
from zapz.operations.label_gaps import StepInfo, steps_of
from zapz.storage.hierarchy import read_documents
from zapz.storage.no_dataset import nothing_error
from zapz.storage.store import Store


@dataclass(slots=True)
class Seen:
    """What was read, and what is wrong with it."""

    documents: Mapping[str, bytes] = field(default_factory=dict)
    """All documents; empty if not all of them could be read."""
    dataset: Dataset | None = None
    """The dataset that the documents describe; None if they are not valid."""
    findings: list[Finding] = field(default_factory=list)
    """What is wrong."""
    labels: dict[str, int] = field(default_factory=dict)
    """Number of labels read, by label variable."""
    steps: dict[str, StepInfo] = field(default_factory=dict)
    """The regular step of the labels, and where steps are missing, by label variable."""
    notes: list[str] = field(default_factory=list)
    """What was not inspected, and why."""


def inspect_target(store: Store, config: Config) -> Seen:
    """Read documents and labels, and collect what is wrong with them.

    Raises:
        LockedError: Another process is creating the target.
        ConflictError: A process died while it created the target.
        FormatError: The target is not a Zarr dataset.
        StoreError: Storage failed; ``NotFoundError`` if the target does not exist.
    """
    seen = Seen()
    try:
        seen.documents = read_documents(store)
        if not seen.documents:
            raise unfinished_error(store) or nothing_error(store)
        seen.dataset = doors.read(seen.documents)
        seen.findings += soundness.of_documents(seen.dataset, config.append_dim)
    except NotFoundError as error:
        raise unfinished_error(store) or error from None
    except FormatError as error:
        if not seen.documents and not store.read_many(doors.NODE_NAMES):
            raise
        seen.findings.append(finding_of(error, store.uri))
    if seen.dataset is None:
        seen.notes.append("labels and chunks were not checked: the documents cannot be read")
        return seen
    dim = config.append_dim
    if not seen.dataset.lengths(dim):
        seen.notes.append(f"no variable has the append dimension {dim!r}: lengths and labels were not checked")
    reading = Reading(store, seen.dataset)
    paths = label_paths(seen.dataset, dim, copies=True)
    stored = {path: _inspect_labels(reading, path, seen, ordered=config.label_order != "any") for path in paths}
    seen.findings += soundness.of_levels(seen.dataset, stored)
    return seen


def _inspect_labels(reading: Reading, path: str, seen: Seen, *, ordered: bool) -> Cells | None:
    array = reading.dataset.arrays[path]
    encoding = encoding_or_bare(array.dtype, array.attributes, array.marker)
    try:
        stored = all_labels(reading, path)
    except ChunkError as error:
        seen.findings.append(finding_of(error, reading.store.uri))
        return None
    seen.labels[path] = stored.size
    seen.findings += soundness.of_labels(path, encoding, stored, ordered=ordered)
    seen.steps[path] = steps_of(encoding, stored)
    return stored
