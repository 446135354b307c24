"""Check a configuration against itself, against an existing target, and against a slice. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zapz.config.settings import Config
from zapz.errors import ConfigError, DimensionError
from zapz.format.metadata import Array, Dataset, is_named, name, parent
from zapz.planning.selection import nearest_variable, takes_part

OTHER_FORM = "Give the slice the target's dimensions, or append it to another target."
"""Hint for a slice with other dimensions."""

_PLACES = frozenset(("lat", "latitude", "lon", "longitude", "x", "y", "rlat", "rlon", "easting", "northing"))
"""Names of spatial dimensions, along which no cube grows."""
_OF_PLACES = frozenset(("X", "Y", "latitude", "longitude", "projection_x_coordinate", "projection_y_coordinate"))
"""Values of attributes of their coordinates."""


def check_config(config: Config) -> None:
    """Refuse a configuration whose settings contradict each other, before anything is read.

    Raises:
        ConfigError: Two settings contradict each other.
    """
    if config.append_dim in config.fixed_dims:
        raise ConfigError(
            "the append dimension has no fixed size",
            where=f"fixed_dims.{config.append_dim}",
            hint="To require a size of every slice, use slice_size.",
        )
    if config.force_new and config.create != "auto":
        raise ConfigError(
            "force_new contradicts create",
            where="force_new",
            expected='create = "auto"',
            found=f'create = "{config.create}"',
            hint="Remove one of the two settings.",
        )
    alone = [key for key in ("format", "units") if key in config.append_label and "from" not in config.append_label]
    if alone:
        raise ConfigError(
            "the form of a label is configured, but not its source",
            where=f"append_label.{alone[0]}",
            expected="append_label.from as well",
            found="none",
            hint=r"Set the source, such as {append_label.from}, or remove this setting: a scalar's attributes define its meaning.",
            remedies={"append_label.from": r"name:\d{8}"},
        )


def check_configured(target: Dataset, config: Config) -> None:
    """Refuse a configuration that contradicts an existing target.

    Raises:
        ConfigError: A configured encoding is not the target's, or a configured variable is missing.
    """
    for path in config.variables:
        if path == "*" or path in target.arrays or not takes_part(path, config):
            continue
        raise ConfigError(
            "configured variable is not in the target",
            where=f"variables.{path}",
            expected=", ".join(sorted(target.arrays)),
            found=repr(path),
            hint="Variables are only created with a new target. Remove this one, or replace the target with force_new.",
        )
    if not config.variables:
        return
    from zapz.planning.contradictions import contradiction
    from zapz.planning.encoding import EncodingContext, names_own

    for path, array in target.arrays.items():
        encoding = config.variable(path).encoding
        if encoding and not is_named(path, config.excluded_variables):
            context = EncodingContext(
                zarr_format=target.zarr_format,
                dim=config.append_dim,
                steps=None,
                where=f"variables.{path}.encoding",
                own=names_own(config.variables, path),
            )
            error = contradiction(array, encoding, context)
            if error is not None:
                raise error


def check_fixed(slice_: Dataset, config: Config, where: str) -> None:
    """Check the sizes of dimensions in ``fixed_dims``.

    Raises:
        DimensionError: A dimension has another size.
    """
    sizes = slice_.sizes
    for dim, size in config.fixed_dims.items():
        if sizes.get(dim) != size:
            raise DimensionError(
                f"dimension {dim!r} does not have its configured size",
                where=where,
                expected=f"{size} (fixed_dims)",
                found=str(sizes.get(dim, "no such dimension")),
                hint="Check the slice, or correct fixed_dims.",
            )


def check_dims(source: Array, config: Config, where: str) -> None:
    """Check the dimensions of a slice's variable against the configured ones.

    Raises:
        DimensionError: They differ.
    """
    dims = config.variable(source.path).dims if config.variables else None
    if dims is not None and tuple(dims) != source.dims:
        raise DimensionError(
            "dimensions differ from the configured ones",
            where=f"{where}, {source.path}",
            expected=f"{named(dims)} (variables.{source.path}.dims)",
            found=named(source.dims),
            hint=OTHER_FORM,
        )


def named(names: Sequence[str | None]) -> str:
    """Return dimension names as text for display."""
    return "(" + ", ".join(name or "?" for name in names) + ")"


def dims_in(dataset: Dataset) -> str:
    """Return the names of all dimensions as text for display; "" if there are none."""
    return ", ".join(sorted({d for a in dataset.arrays.values() for d in a.dims if d is not None}))


def label_hint(dataset: Dataset, dim: str, remedies: dict[str, Any]) -> str:
    """Return a hint how to label a slice that is one step without the append dimension.

    Args:
        dataset: The slice; without any dimension names there is no hint ("").
        dim: The append dimension.
        remedies: Receives the settings of the hint.
    """
    if not dims_in(dataset) and any(array.ndim for array in dataset.arrays.values()):
        return ""
    if _meant(dataset, dim) is not None:
        return ""
    example = 'np.datetime64("2025-01-06", "ns")'
    named = f"{dim}=[{example}]" if dim.isidentifier() else f'{{"{dim}": [{example}]}}'
    dated = "time_coverage_start" in dataset.groups.get("", {})
    remedies["append_label.from"] = "attr:time_coverage_start" if dated else "value:2025-01-06"
    return (
        "If the slice is one step, set its label: {append_label.from}, or another value:TEXT, attr:NAME of an attribute, name:REGEX of its "
        f"own name, or the name of a scalar. In xarray: ds.expand_dims({named}). "
    )


def check_single(slice_: Dataset, target: Dataset | None, config: Config, where: str) -> None:
    """Refuse a slice with the append dimension and also a scalar of its name.

    An existing target may have both.

    Raises:
        DimensionError: The slice has both.
    """
    dim = config.append_dim
    for path, array in slice_.arrays.items():
        if name(path) != dim or array.ndim or is_named(path, config.excluded_variables):
            continue
        beside = [
            p for p, a in slice_.arrays.items() if dim in a.dims and nearest_variable(slice_, parent(p), dim) == path
        ]
        there = target.arrays.get(path) if target is not None else None
        if beside and (there is None or there.ndim):
            raise DimensionError(
                f"{path} is a scalar in the slice, but other variables have the dimension {dim!r}",
                where=f"{where}, {path}",
                expected=f"({dim}), as of {beside[0]}",
                found="a scalar",
                hint=f"Give {path} one label per step, or exclude it: {{excluded_variables}}.",
                remedies={"excluded_variables": [*config.excluded_variables, path]},
            )


def naming_hint(dataset: Dataset, dim: str, remedies: dict[str, Any], *, extends: bool = False) -> str:
    """Return a hint for a dataset without the append dimension.

    Args:
        dataset: The dataset.
        dim: The append dimension.
        remedies: Receives the settings of the hint.
        extends: Whether the dataset is a slice of a target that has the dimension.
    """
    scalar = next((path for path, array in dataset.arrays.items() if name(path) == dim and not array.ndim), None)
    if scalar is not None:
        return (
            f"Its {scalar} is a scalar, so it is one step without the dimension. "
            "Append it to a new target first, then the others to that target."
        )
    meant = _meant(dataset, dim)
    if meant is not None and extends:
        return f"If its {meant} is the target's {dim}, rename it in the slice (in xarray: ds.rename({{{meant!r}: {dim!r}}}))."
    others = [each for each in dims_in(dataset).split(", ") if each and not _is_place(dataset, each)]
    if meant is not None or (others and not extends):
        remedies["append_dim"] = meant or others[0]
        return "Set the append dimension to one that it has, such as {append_dim}."
    if dims_in(dataset):
        return ""
    nameless = next((array for array in dataset.arrays.values() if array.ndim), None)
    if nameless is None:
        return "None of its arrays has a dimension along which it could grow."
    names = ", ".join(f'"{text}"' for text in (dim, *(f"dim_{i}" for i in range(1, nameless.ndim))))
    return (
        "Zarr stores dimension names in dimension_names (v3) or in the attribute _ARRAY_DIMENSIONS, which zapz reads for both formats. "
        f'Write them to every array, for example: zarr.open_group(PATH)["{nameless.path}"].attrs["_ARRAY_DIMENSIONS"] = [{names}].'
    )


def apart_hint(lengths: Mapping[str, int], remedies: dict[str, Any]) -> str:
    """Return a hint how to append groups of different lengths; "" if one group is inconsistent.

    Args:
        lengths: Length along the append dimension in steps, by path of the variable.
        remedies: Receives the settings of the hint.
    """
    groups: dict[str, set[int]] = {}
    for path, length in lengths.items():
        groups.setdefault(parent(path), set()).add(length)
    if len(groups) < 2 or any(len(several) > 1 for several in groups.values()):  # noqa: PLR2004 - one group is no choice
        return ""
    first = next(group for group in sorted(groups) if group)
    remedies["included_variables"] = [first]
    return (
        "The groups have different lengths. Append each to its own target: use its path instead of the slice's "
        f"(SLICE/{first}), or {{included_variables}}."
    )


def _meant(dataset: Dataset, dim: str) -> str | None:
    """Return a dimension that may be the append dimension under another name, or None.

    It has the name in other case, or a time coordinate.
    """
    for each in dims_in(dataset).split(", "):
        label = dataset.arrays.get(each)
        timed = label is not None and (label.dtype.kind == "M" or " since " in str(label.attributes.get("units")))
        if each.casefold() == dim.casefold() or (each and timed):
            return each
    return None


def _is_place(dataset: Dataset, dim: str) -> bool:
    """Return whether a dimension is spatial, by name or coordinate (CF 4.1, 4.2 and 5.6)."""
    label = dataset.arrays.get(dim)
    attributes = {} if label is None else label.attributes
    words = {str(attributes.get(key)) for key in ("standard_name", "units", "axis")}
    return dim.casefold() in _PLACES or bool(words & _OF_PLACES) or any(word.startswith("degree") for word in words)
