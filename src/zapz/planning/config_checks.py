"""Does a configuration agree with itself, with an existing target, and with the form of a slice? Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zapz.config.settings import Config
from zapz.errors import ConfigError, DimensionError
from zapz.format.metadata import Array, Dataset, is_named, name, parent
from zapz.planning.selection import nearest_variable, takes_part

OTHER_FORM = "Bring the slice to the target's form, or append it to another target."
"""What to do about a slice of another form."""

_PLACES = frozenset(("lat", "latitude", "lon", "longitude", "x", "y", "rlat", "rlon", "easting", "northing"))
"""Names of dimensions along which no cube grows,"""
_OF_PLACES = frozenset(("X", "Y", "latitude", "longitude", "projection_x_coordinate", "projection_y_coordinate"))
"""and what attributes say of their coordinates."""


def check_config(config: Config) -> None:
    """Refuse a configuration whose parts contradict one another, before anything is looked at.

    Raises:
        ConfigError: They do.
    """
    if config.append_dim in config.fixed_dims:
        raise ConfigError(
            "the append dimension has no fixed size",
            where=f"fixed_dims.{config.append_dim}",
            hint="To demand a size of every slice, set slice_size.",
        )
    if config.force_new and config.create != "auto":
        raise ConfigError(
            "a target that is made anew replaces the old one, if there is one",
            where="force_new",
            expected='create = "auto"',
            found=f'create = "{config.create}"',
            hint="Leave one of them out.",
        )
    alone = [key for key in ("format", "units") if key in config.append_label and "from" not in config.append_label]
    if alone:
        raise ConfigError(
            "the form of a label is configured, but not where it comes from",
            where=f"append_label.{alone[0]}",
            expected="append_label.from as well",
            found="none",
            hint=r"Say where it comes from, such as {append_label.from}, or remove this: a scalar's attributes say what it means.",
            remedies={"append_label.from": r"name:\d{8}"},
        )


def check_configured(target: Dataset, config: Config) -> None:
    """Refuse a configuration that says something else than an existing target.

    Raises:
        ConfigError: A configured encoding is not the target's, or a configured variable is not
            there.
    """
    for path in config.variables:
        if path == "*" or path in target.arrays or not takes_part(path, config):
            continue
        raise ConfigError(
            "a configured variable is not in the target",
            where=f"variables.{path}",
            expected=", ".join(sorted(target.arrays)),
            found=repr(path),
            hint="Variables are made with the target: remove this one, or make the target anew with force_new.",
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
    """Check the sizes of dimensions that are configured."""
    sizes = slice_.sizes
    for dim, size in config.fixed_dims.items():
        if sizes.get(dim) != size:
            raise DimensionError(
                f"dimension {dim!r} does not have its fixed size",
                where=where,
                expected=f"{size} (fixed_dims)",
                found=str(sizes.get(dim, "no such dimension")),
                hint="Is it the right slice? Or correct fixed_dims.",
            )


def check_dims(source: Array, config: Config, where: str) -> None:
    """Check the dimensions of a slice's variable against the configured ones."""
    dims = config.variable(source.path).dims if config.variables else None
    if dims is not None and tuple(dims) != source.dims:
        raise DimensionError(
            "dimensions are not the configured ones",
            where=f"{where}, {source.path}",
            expected=f"{named(dims)} (variables.{source.path}.dims)",
            found=named(source.dims),
            hint=OTHER_FORM,
        )


def named(names: Sequence[str | None]) -> str:
    """Return dimensions for people."""
    return "(" + ", ".join(name or "?" for name in names) + ")"


def dims_in(dataset: Dataset) -> str:
    """Return the names of all dimensions for people; empty if none has a name."""
    return ", ".join(sorted({d for a in dataset.arrays.values() for d in a.dims if d is not None}))


def label_hint(dataset: Dataset, dim: str, remedies: dict[str, Any]) -> str:
    """Say how a slice that is one step, and has no dimension for it, gets a label; nothing about one without any names.

    Args:
        dataset: The slice.
        dim: The append dimension.
        remedies: Settings are noted here.
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
        "If it is one step, say which: {append_label.from}, or another value:TEXT, attr:NAME of an attribute, name:REGEX of its own name, "
        f"or the name of a scalar. In xarray: ds.expand_dims({named}). "
    )


def check_single(slice_: Dataset, target: Dataset | None, config: Config, where: str) -> None:
    """Refuse a slice that has the append dimension, and a single value of its name beside it; as old a target may have both.

    Raises:
        DimensionError: It has both.
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
                f"{path} is a single value in the slice, while other variables have the dimension {dim!r}",
                where=f"{where}, {path}",
                expected=f"({dim}), as of {beside[0]}",
                found="a scalar",
                hint=f"Give {path} one label per step, or leave it out: {{excluded_variables}}.",
                remedies={"excluded_variables": [*config.excluded_variables, path]},
            )


def naming_hint(dataset: Dataset, dim: str, remedies: dict[str, Any], *, extends: bool = False) -> str:
    """Say what to do about a dataset none of whose variables has the append dimension; note settings in ``remedies``.

    Args:
        dataset: The dataset.
        dim: The append dimension.
        remedies: Settings are noted here.
        extends: Whether it is a slice of a target that has the dimension.
    """
    scalar = next((path for path, array in dataset.arrays.items() if name(path) == dim and not array.ndim), None)
    if scalar is not None:
        return f"Its {scalar} is a scalar, for one step without a dimension: append it to a new target first, and the others to that."
    meant = _meant(dataset, dim)
    if meant is not None and extends:
        return f"If its {meant} is the target's {dim}, rename it in the slice (in xarray: ds.rename({{{meant!r}: {dim!r}}}))."
    others = [each for each in dims_in(dataset).split(", ") if each and not _is_place(dataset, each)]
    if meant is not None or (others and not extends):
        remedies["append_dim"] = meant or others[0]
        return "Name the append dimension that it has, such as {append_dim}."
    if dims_in(dataset):
        return ""
    nameless = next((array for array in dataset.arrays.values() if array.ndim), None)
    if nameless is None:
        return "It has no array with a dimension along which it could grow."
    names = ", ".join(f'"{text}"' for text in (dim, *(f"dim_{i}" for i in range(1, nameless.ndim))))
    return (
        "Zarr keeps dimension names in dimension_names (v3) or in the attribute _ARRAY_DIMENSIONS, which is read in both formats. Write "
        f'them into every array, for example: zarr.open_group(PATH)["{nameless.path}"].attrs["_ARRAY_DIMENSIONS"] = [{names}].'
    )


def apart_hint(lengths: Mapping[str, int], remedies: dict[str, Any]) -> str:
    """Say how to append groups that have lengths of their own; nothing if the variables of one group differ.

    Args:
        lengths: Length along the append dimension, by path of the variable.
        remedies: Settings are noted here.
    """
    groups: dict[str, set[int]] = {}
    for path, length in lengths.items():
        groups.setdefault(parent(path), set()).add(length)
    if len(groups) < 2 or any(len(several) > 1 for several in groups.values()):  # noqa: PLR2004 - one is no choice
        return ""
    first = next(group for group in sorted(groups) if group)
    remedies["included_variables"] = [first]
    return (
        "The groups have lengths of their own: append each to a target of its own, with its path in place of the slice's "
        f"(SLICE/{first}), or with {{included_variables}}."
    )


def _meant(dataset: Dataset, dim: str) -> str | None:
    """Return the dimension that may be the append dimension under another name: in other letters, or one of time."""
    for each in dims_in(dataset).split(", "):
        label = dataset.arrays.get(each)
        timed = label is not None and (label.dtype.kind == "M" or " since " in str(label.attributes.get("units")))
        if each.casefold() == dim.casefold() or (each and timed):
            return each
    return None


def _is_place(dataset: Dataset, dim: str) -> bool:
    """Return whether a dimension is one of space, by its name or its coordinate (CF sections 4.1, 4.2 and 5.6)."""
    label = dataset.arrays.get(dim)
    attributes = {} if label is None else label.attributes
    words = {str(attributes.get(key)) for key in ("standard_name", "units", "axis")}
    return dim.casefold() in _PLACES or bool(words & _OF_PLACES) or any(word.startswith("degree") for word in words)
