"""Which variables of a slice take part: included and excluded ones, and the coordinates that included ones need. Pure."""

from __future__ import annotations

from zapz.cf.attributes import NAMES_NEEDED
from zapz.config.settings import Config
from zapz.errors import VariableError
from zapz.format.metadata import Array, Dataset, is_named, join, parent


def takes_part(path: str, config: Config) -> bool:
    """Return whether a variable that is named in a configuration takes part, as far as the configuration tells."""
    included = not config.included_variables or is_named(path, config.included_variables)
    return included and not is_named(path, config.excluded_variables)


def left_out(dataset: Dataset, config: Config) -> frozenset[str]:
    """Return the variables of a slice that do not take part.

    Included variables keep the coordinates that they need: those of their dimensions, and those that their attributes name.

    Raises:
        VariableError: An included variable is not there, and is not to be filled either.
    """
    out = {path for path in dataset.arrays if is_named(path, config.excluded_variables)}
    if not config.included_variables:
        return frozenset(out)
    for wanted in config.included_variables:
        if is_named(wanted, config.excluded_variables):
            continue
        if not any(is_named(path, (wanted,)) for path in dataset.arrays) and config.on_missing != "fill":
            raise VariableError(
                "an included variable is missing in the slice",
                where=wanted,
                expected=", ".join(sorted(dataset.arrays)),
                found="none",
                hint="Correct included_variables; or {on_missing} fills its steps with missing values.",
                remedies={"on_missing": "fill"},
            )
    kept = {path for path in dataset.arrays if is_named(path, config.included_variables)} - out
    wave = kept
    while wave:
        needed = {other for path in wave for other in _needed(dataset, dataset.arrays[path])}
        wave = needed - kept - out
        kept = kept | wave
    return frozenset(dataset.arrays.keys() - kept)


def _needed(dataset: Dataset, array: Array) -> set[str]:
    """Return the variables that one variable needs: beside it, or in a group above it."""
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
    return {found for word in names if (found := _nearest(dataset, folder, word)) is not None}


def _nearest(dataset: Dataset, folder: str, word: str) -> str | None:
    while True:
        if join(folder, word) in dataset.arrays:
            return join(folder, word)
        if not folder:
            return None
        folder = parent(folder)
