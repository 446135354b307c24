"""Select the variables of a slice: included and excluded ones, and needed coordinates. Pure."""

from __future__ import annotations

from zapz.cf.attributes import CONTAINS, NAMES_FIXED, NAMES_NEEDED, WITH_BOUNDS
from zapz.config.settings import Config
from zapz.errors import VariableError
from zapz.format.metadata import Array, Dataset, is_named, join, name, parent


def takes_part(path: str, config: Config) -> bool:
    """Return whether the configuration selects a variable."""
    included = not config.included_variables or is_named(path, config.included_variables)
    return included and not is_named(path, config.excluded_variables)


def left_out(dataset: Dataset, config: Config) -> frozenset[str]:
    """Return the variables of a slice that are not selected.

    Included variables keep the coordinates that they need: those of their dimensions, and those
    that their attributes name.

    Raises:
        VariableError: An included variable is missing, and ``on_missing`` is not "fill".
    """
    out = {path for path in dataset.arrays if is_named(path, config.excluded_variables)}
    if not config.included_variables:
        return frozenset(out)
    for wanted in config.included_variables:
        if is_named(wanted, config.excluded_variables):
            continue
        if not any(is_named(path, (wanted,)) for path in dataset.arrays) and config.on_missing != "fill":
            raise VariableError(
                "included variable is missing in the slice",
                where=wanted,
                expected=", ".join(sorted(dataset.arrays)),
                found="none",
                hint="Correct included_variables, or use {on_missing} to fill its steps with missing values.",
                remedies={"on_missing": "fill"},
            )
    kept = {path for path in dataset.arrays if is_named(path, config.included_variables)} - out
    wave = kept
    while wave:
        needed = {other for path in wave for other in _needed(dataset, dataset.arrays[path])}
        wave = needed - kept - out
        kept = kept | wave
    if not dataset.lengths(config.append_dim):  # then a scalar of that name is the label of the slice
        kept = kept | (single_labels(dataset, config.append_dim) - out)
    return frozenset(dataset.arrays.keys() - kept)


def single_labels(dataset: Dataset, dim: str) -> frozenset[str]:
    """Return the scalars with the name of a dimension: each is the label of a single step."""
    return frozenset(path for path, array in dataset.arrays.items() if name(path) == dim and not array.ndim)


def label_variables(dataset: Dataset, dim: str) -> frozenset[str]:
    """Return the scalars with the name of a dimension, and their bounds."""
    labels = single_labels(dataset, dim)
    named = {
        join(parent(path), str(dataset.arrays[path].attributes[key]))
        for path in labels
        for key in WITH_BOUNDS
        if key in dataset.arrays[path].attributes
    }
    return labels | (named & dataset.arrays.keys())


def data_variables(dataset: Dataset, dim: str) -> frozenset[str]:
    """Return the variables that differ from step to step, for a dataset without append dimension.

    These are the data, and the label with its bounds. The following are fixed: coordinates of their
    own dimension; what attributes name as coordinates, bounds, cell measures or grid mappings (CF
    sections 5, 7); what xarray lists as ``coordinates`` of a group; terms of a formula with at most
    one dimension (CF section 4.3.3); and containers of attributes.
    """
    fixed: set[str] = set()
    for path, array in dataset.arrays.items():
        for attribute in NAMES_FIXED:
            text = array.attributes.get(attribute)
            words = text.split() if isinstance(text, str) else []
            if attribute == "grid_mapping":  # in other attributes, the words with a colon are terms
                words = [word.removesuffix(":") for word in words]
            found = {other for word in words if (other := nearest_variable(dataset, parent(path), word)) is not None}
            if attribute == "formula_terms":
                found = {other for other in found if dataset.arrays[other].ndim <= 1}
            fixed |= found
    for group, attributes in dataset.groups.items():
        listed = attributes.get("coordinates")
        fixed.update(join(group, word) for word in (listed.split() if isinstance(listed, str) else ()))
    contains = {
        path for path, array in dataset.arrays.items() if not array.ndim and not CONTAINS.isdisjoint(array.attributes)
    }
    coordinates = {path for path, array in dataset.arrays.items() if array.is_label}
    return label_variables(dataset, dim) | (dataset.arrays.keys() - fixed - contains - coordinates)


def _needed(dataset: Dataset, array: Array) -> set[str]:
    """Return the variables that a variable needs, in its group or in a group above it."""
    folder = parent(array.path)
    names: set[str] = {dim for dim in array.dims if dim is not None}
    for attribute in NAMES_NEEDED:
        text = array.attributes.get(attribute)
        if isinstance(text, str):
            names |= {word for word in text.split() if not word.endswith(":")}
    listed = dataset.groups.get(folder, {}).get("coordinates")
    for word in listed.split() if isinstance(listed, str) else ():
        other = dataset.arrays.get(join(folder, word))
        if other is not None and set(other.dims) <= set(array.dims):
            names.add(word)
    return {found for word in names if (found := nearest_variable(dataset, folder, word)) is not None}


def nearest_variable(dataset: Dataset, folder: str, word: str) -> str | None:
    """Return the variable of this name in a folder, or in the nearest folder above it, or None."""
    while True:
        if join(folder, word) in dataset.arrays:
            return join(folder, word)
        if not folder:
            return None
        folder = parent(folder)
