"""Variables of slices in memory: of mappings, and of datasets such as xarray's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from zapz.cf.attributes import NAMES_ENCODED
from zapz.errors import SliceError


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayVariable:
    """A named array of a slice, not yet read."""

    dims: tuple[str, ...]
    """Names of its dimensions."""
    data: Any
    """The array-like object."""
    attributes: Mapping[str, Any]
    """Attributes, as set by the program."""
    encoding: Mapping[str, Any]
    """Requested encoding, as in xarray."""


def is_dataset(item: Any) -> bool:
    """Return whether an object is like a dataset of xarray."""
    return all(hasattr(item, part) for part in ("variables", "dims", "attrs"))


def is_data_array(item: Any) -> bool:
    """Return whether an object is like an array of xarray."""
    return not is_dataset(item) and all(hasattr(item, part) for part in ("coords", "dims", "attrs", "variable"))


def dataset_of(array: Any, label: str) -> Any:
    """Return the dataset of an array of xarray.

    Raises:
        SliceError: The array has no name.
    """
    if array.name is None:
        raise SliceError(
            "the array has no name",
            where=label,
            hint="Set its name (array.name), or append a dataset: array.to_dataset(name=…).",
        )
    return array.to_dataset(promote_attrs=False)


def of_entry(key: str, entry: Any, label: str) -> ArrayVariable:
    """Return the variable that an entry of a mapping describes.

    Raises:
        SliceError: It describes none.
    """
    if hasattr(entry, "dims") and hasattr(entry, "attrs") and hasattr(entry, "shape"):
        return _of_variable(getattr(entry, "variable", entry))
    if not isinstance(entry, list | tuple) or not 2 <= len(entry) <= 4:  # noqa: PLR2004 - dims, data, attrs, encoding
        raise SliceError(
            "invalid description of a variable",
            where=f"{label}, {key}",
            expected="(dims, array[, attrs[, encoding]])",
            found=f"{type(entry).__name__}",
        )
    dims = (entry[0],) if isinstance(entry[0], str) else tuple(entry[0])
    attributes, encoding = (dict(part or {}) for part in (*entry[2:], None, None)[:2])
    return ArrayVariable(dims=dims, data=entry[1], attributes=attributes, encoding=encoding)


def _of_variable(variable: Any) -> ArrayVariable:
    """Return one of xarray's variables; data not in memory are read later, region by region."""
    chunked = getattr(variable, "chunks", None) is not None
    in_memory = getattr(variable, "_in_memory", False)
    data = variable.data if chunked else variable.values if in_memory else variable
    return ArrayVariable(dims=tuple(variable.dims), data=data, attributes=variable.attrs, encoding=variable.encoding)


def of_dataset(item: Any) -> tuple[dict[str, ArrayVariable], dict[str, Any]]:
    """Return the variables and attributes of a dataset, which name its coordinates (CF 5)."""
    variables = {str(key): _of_variable(variable) for key, variable in item.variables.items()}
    known = {str(key) for key in getattr(item, "coords", ())}
    coordinates = known - {str(dim) for dim in item.dims}
    naming = [key for key in NAMES_ENCODED if key != "coordinates"]
    referred = {w for v in variables.values() for k in naming for w in str(v.encoding.get(k) or "").split()}
    written: set[str] = set()
    described = {}
    for key, variable in variables.items():
        related = {k: variable.encoding[k] for k in NAMES_ENCODED if variable.encoding.get(k) is not None}
        named = sorted(c for c in coordinates - referred if set(variables[c].dims) <= set(variable.dims))
        settled = "coordinates" in variable.attributes or "coordinates" in variable.encoding
        if named and key not in known and not settled:
            related["coordinates"] = " ".join(named)
        written |= set(str(related.get("coordinates", variable.attributes.get("coordinates", ""))).split())
        described[key] = replace(variable, attributes={**variable.attributes, **related})
    rest = sorted(c for c in coordinates - referred - written if " " not in c)
    attributes = dict(item.attrs)
    if rest and "coordinates" not in attributes:
        attributes["coordinates"] = " ".join(rest)
    return described, attributes
