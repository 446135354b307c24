"""Find problems in the documents and labels of a dataset."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from zapz.cf.conversion import Encoding, encoding_or_bare, format_instant
from zapz.cf.markers import mask, nans
from zapz.checks.findings import Finding
from zapz.errors import as_argument
from zapz.format.agreement import disagreements
from zapz.format.buffers import Cells
from zapz.format.metadata import Dataset, parent
from zapz.planning.labels import Line
from zapz.planning.levels import copies_of

_CONSOLIDATE = "Consolidate the metadata again; the next append also does that."


def of_documents(dataset: Dataset, dim: str) -> Iterator[Finding]:
    """Yield contradictions between documents.

    Args:
        dataset: The dataset.
        dim: The append dimension. All arrays in all groups must have the same length along it.

    Raises:
        MetadataError: A document is invalid.
    """
    for found in disagreements(dataset.documents):
        yield Finding(
            code="metadata",
            path=found.document,
            what=f"consolidated metadata ({found.consolidated}) disagree with the document",
            expected=found.expected,
            found=found.found,
            hint=_CONSOLIDATE,
        )
    yield from _of_lengths(dataset, dim)


def _of_lengths(dataset: Dataset, dim: str) -> Iterator[Finding]:
    """Yield dimensions along which arrays differ in length.

    The append dimension is compared in all groups, any other dimension within its group.
    """
    lengths: dict[tuple[str, str], dict[str, int]] = {}
    for path, array in sorted(dataset.arrays.items()):
        for name, length in zip(array.dims, array.shape, strict=True):
            if name is not None:
                own = path if path in dataset.levels else parent(path)  # levels have sizes of their own
                group = "" if name == dim else own
                lengths.setdefault((group, name), {})[path] = length
    for (group, name), found in lengths.items():
        if len(set(found.values())) > 1:
            counts = list(found.values())
            usual = max(sorted(set(counts)), key=counts.count)
            others = [f"{path} has {n}" for path, n in found.items() if n != usual]
            yield Finding(
                code="dimension",
                path=group,
                what=f"arrays differ in length along {name!r}",
                expected=f"{usual}, as {counts.count(usual)} of {len(counts)} have",
                found=", ".join(others[:3]) + (f", and {len(others) - 3} more" if others[3:] else ""),
                hint="Another tool has shortened or extended some of them. Restore them, or shorten all to the shortest.",
            )


def of_labels(path: str, encoding: Encoding, stored: Cells, *, ordered: bool = True) -> Iterator[Finding]:
    """Yield problems of the labels of a variable.

    Args:
        path: The variable.
        encoding: The encoding of the labels.
        stored: All labels as stored; shape (steps,).
        ordered: Whether the labels must be in order.
    """
    labels = np.asarray(stored).reshape(-1)

    def text(index: int) -> str:
        return f"{format_instant(encoding, labels[index])} at index {index}"

    places, values = _known(encoding, labels)
    gone = sorted(set(range(labels.size)) - set(places.tolist())) if places.size < labels.size else []
    if gone:
        found = f"none at index {gone[0]}" + _more(len(gone))
        hint = "Every step needs a label. Write the missing labels."
        yield Finding(code="label", path=path, what="labels are missing", found=found, hint=hint)
    yield from _of_order(path, places, values, text, ordered=ordered)


def of_levels(dataset: Dataset, stored: Mapping[str, Cells | None]) -> Iterator[Finding]:
    """Yield levels of a pyramid whose labels differ from those of the first level.

    Args:
        dataset: The dataset.
        stored: All labels as stored, by label variable; None where they could not be read.
    """
    for path, first in copies_of(dataset, list(stored)).items():
        here, there = (_line(dataset, each, stored[each]) for each in (path, first))
        if here is None or there is None:
            continue
        wrong = (i for i, pair in enumerate(zip(here.values, there.values, strict=False)) if pair[0] != pair[1])
        if (place := next(wrong, None)) is not None:
            yield Finding(
                code="label",
                path=path,
                what="the labels of the levels differ",
                expected=f"{there.text(place)} at index {place}, as in {first}",
                found=here.text(place),
                hint="Create the levels again, with the tool that created them.",
            )


def _line(dataset: Dataset, path: str, stored: Cells | None) -> Line | None:
    array = dataset.arrays[path]
    encoding = encoding_or_bare(array.dtype, array.attributes, array.marker)
    return None if stored is None else Line.of(encoding, stored)


def _known(encoding: Encoding, labels: Cells) -> tuple[np.ndarray[Any, Any], Any]:
    """Return the indices of the labels that are not missing, and their values for comparison.

    Indices and values have the shape (known labels,); text values are a list.
    """
    if labels.dtype.kind in "USO":
        lost = np.array([value is None or value != value for value in labels.tolist()], bool)  # noqa: PLR0124 - NaN
        places = np.flatnonzero(~lost)
        return places, [labels[i] for i in places.tolist()]
    plain = encoding.plain
    cells = labels.astype(encoding.dtype, casting="equiv").view(plain.dtype)
    places = np.flatnonzero(~(mask(cells, plain.markers) | nans(cells)))
    return places, cells[places].view(np.int64) if cells.dtype.kind in "mM" else cells[places]


def _of_order(
    path: str, places: np.ndarray[Any, Any], values: Any, text: Callable[[int], str], *, ordered: bool
) -> Iterator[Finding]:
    at = places.tolist()
    try:
        several = _repeated(values)
        rises, falls = _compared(values, operator.gt), _compared(values, operator.lt)
    except TypeError:  # they have no order
        return
    if several:
        first, second = several[0]
        found = f"{text(at[first])} and index {at[second]}" + _more(len(several))
        hint = "Readers that select by label return one of them, or fail. Remove the repeated steps."
        yield Finding(code="label", path=path, what="labels occur more than once", found=found, hint=hint)
    way, wrong = ("increasing", falls) if rises.sum() >= falls.sum() else ("decreasing", rises)
    if ordered and wrong.any():
        i = int(np.argmax(wrong))
        yield Finding(
            code="label",
            path=path,
            what="labels are not in order",
            expected=f"{way} labels, as most are",
            found=f"{text(at[i + 1])} after {text(at[i])}" + _more(int(wrong.sum())),
            hint=f"If this order is intended, check with {as_argument('label_order', 'any')}.",
            remedies={"label_order": "any"},
        )


def _compared(values: Any, compare: Callable[[Any, Any], Any]) -> np.ndarray[Any, Any]:
    """Return how each label but the first compares with the label before; shape (labels - 1,)."""
    if isinstance(values, np.ndarray):
        return np.asarray(compare(values[1:], values[:-1]))
    return np.array([compare(b, a) for a, b in pairwise(values)], bool)


def _repeated(values: Any) -> list[tuple[int, int]]:
    """Return pairs of indices: the first occurrence of a value, and a repetition."""
    seen: dict[Any, int] = {}
    found = []
    for i, value in enumerate(values.tolist() if isinstance(values, np.ndarray) else values):
        if value in seen:
            found.append((seen[value], i))
        else:
            seen[value] = i
    return found


def _more(count: int) -> str:
    return f", and {count - 1} more" if count > 1 else ""
