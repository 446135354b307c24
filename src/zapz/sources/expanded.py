"""A slice without the append dimension, read as one step: its documents change, its chunks do not.

Its label is a scalar with the name of the dimension, or comes from the setting ``append_label``::

    sst(lat, lon), time() = 2025-01-06   -->   sst(time, lat, lon), time(time), one step long
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zapz.cf.encoding import NOT_A_TIME
from zapz.config.array_encoding import ArrayEncoding
from zapz.config.settings import Config
from zapz.errors import FormatError, LabelError, VariableError
from zapz.format import documents as doors
from zapz.format.metadata import Array, Dataset, is_named, name
from zapz.format.new_axis import with_axis, without_coordinate
from zapz.planning.selection import data_variables, label_variables, single_labels
from zapz.sources.expanded_store import Expanded, ExpandedStore
from zapz.sources.open_slice import LABEL, OpenSlice, presented_as

if TYPE_CHECKING:
    from zapz.sources.append_label import MadeLabel


def expanded(source: OpenSlice, target: Dataset | None, config: Config) -> OpenSlice:
    """Return a slice as one step along the append dimension; unchanged if its label is unknown.

    Args:
        source: The slice.
        target: The target; None if it is created from this slice.
        config: Settings.

    Raises:
        LabelError: The slice lacks the configured label.
        VariableError: The slice lacks a configured variable.
        UnsupportedError: A variable cannot get another dimension without decoding it.
    """
    dim, setting, dataset = config.append_dim, config.append_label, source.dataset
    labels = sorted(single_labels(dataset, dim))
    known = [] if target is None else [path for path, a in target.arrays.items() if a.is_label and name(path) == dim]
    if "from" not in setting and not labels and (target is None or known):
        return source
    axes = _axes(source, target, config)
    made: Mapping[str, MadeLabel] = {}
    if "from" in setting and (target is None or known):
        from zapz.sources import append_label  # imported here: not needed for a scalar

        paths = known if target is not None else sorted({*labels, *append_label.label_paths_of(axes, dim)})
        made = append_label.labels_at(paths, source, target, setting, dim)
    arrays, documents = _grown(source, target, axes, dim, made)
    seen = doors.read(documents)
    store = ExpandedStore(
        source.store,
        {path: Expanded(dataset.arrays[path], seen.arrays[path], axis) for path, axis in arrays.items()},
        {path: label.chunks for path, label in made.items()},
    )
    encodings = {
        path: _encoding(encoding, arrays[path], seen.arrays[path]) if path in arrays else encoding
        for path, encoding in source.encodings.items()
        if path not in made
    }
    if target is None and "units" in setting:  # requested units are kept
        encodings |= {path: ArrayEncoding(dtype=label.array.dtype.name) for path, label in made.items()}
    return presented_as(source, store, seen, encodings=encodings, one_step=_words(seen, setting, dim, made))


def _axes(source: OpenSlice, target: Dataset | None, config: Config) -> dict[str, int]:
    """Return the axis of the append dimension for each variable that gets it.

    The target defines it; in a new target, it is the first axis of data variables.
    """
    dataset, dim = source.dataset, config.append_dim
    grow = data_variables(dataset, dim)
    wanted: Sequence[str] | None = config.append_label.get("variables")
    if wanted is not None:
        names = [each for each in wanted if each != "*"]
        missing = [each for each in names if not any(is_named(path, [each]) for path in dataset.arrays)]
        if missing and target is None and config.on_missing == "refuse":
            raise VariableError(
                "a variable in append_label.variables is missing in the slice",
                where=f"{source.uri}, append_label.variables",
                expected=missing[0],
                found=", ".join(sorted(dataset.arrays)),
                hint="Correct append_label.variables.",
            )
        grow = (grow if "*" in wanted else label_variables(dataset, dim)) | {
            path for path in dataset.arrays if is_named(path, names)
        }
    axes = {}
    for path, array in dataset.arrays.items():
        there = target.arrays.get(path) if target is not None else None
        axis = (0 if path in grow else None) if there is None else there.axis(dim)
        if axis is not None:
            axes[path] = min(axis, array.ndim)
    return axes


def _grown(
    source: OpenSlice, target: Dataset | None, axes: Mapping[str, int], dim: str, made: Mapping[str, MadeLabel]
) -> tuple[dict[str, int], dict[str, bytes]]:
    """Return the arrays of the slice that get the append dimension, and all its new documents."""
    dataset = source.dataset
    documents = dict(dataset.documents)
    arrays = {path: axis for path, axis in axes.items() if path not in made}
    try:
        for path, axis in arrays.items():
            there = target.arrays.get(path) if target is not None else None
            documents |= with_axis(dataset, path, axis, dim, there.unit_codecs.order if there is not None else None)
    except FormatError as error:
        raise error.at(source.uri) from None
    for group in dataset.groups:
        documents |= without_coordinate(dataset, group, dim)
    for path, label in made.items():
        there = dataset.arrays.get(path)
        if there is not None and there.ndim:
            raise LabelError(
                "the slice's variable with the name of the append dimension is not a scalar",
                where=f"{source.uri}, {path}",
                expected="no such variable, or a scalar",
                found=f"dimensions {there.dims}",
                hint=f'Rename it (in xarray: ds.rename({{"{dim}": "{dim}_values"}})), or choose another append dimension.',
            )
        documents |= label.documents
    return arrays, documents


def _encoding(encoding: ArrayEncoding, axis: int, array: Array) -> ArrayEncoding:
    """Return the encoding of an array after it got one more axis."""
    given = dict(encoding.given)
    for lengths in ("chunks", "shards"):
        value = given.get(lengths)
        if isinstance(value, Sequence):
            given[lengths] = (*value[:axis], 1, *value[axis:])
    if array.is_label and not encoding.fill_is_marker and given.get("fill_value") == int(NOT_A_TIME):
        del given["fill_value"]
    return ArrayEncoding(**given, fill_is_marker=encoding.fill_is_marker)


def _words(seen: Dataset, setting: Mapping[str, Any], dim: str, made: Mapping[str, MadeLabel]) -> str:
    """Return a note about the slice as one step; ``LABEL`` stands for its label."""
    if made:
        text = f"{dim} is {LABEL} (from {setting.get('from')}): appended as one step"
    elif any(array.is_label and name(path) == dim for path, array in seen.arrays.items()):
        text = f"{dim} is a scalar in the slice ({LABEL}): appended as one step"
    else:
        text = f"the slice has no dimension {dim}: appended as one step"
    return text
