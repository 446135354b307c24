"""Decide whether a slice may follow a target, and return a placement or a refusal. Pure.

Every refusal names the slice, the variable, what was expected, what was found, and what the user
can do.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from zapz.cf.attributes import SAY_WHAT_IS_STORED
from zapz.cf.conversion import Conversion
from zapz.config.array_encoding import UNSET
from zapz.config.settings import Config
from zapz.errors import (
    ConfigError,
    DimensionError,
    FormatError,
    SliceError,
    UnsupportedError,
    VariableError,
)
from zapz.format.metadata import Array, Dataset
from zapz.planning.config_checks import (
    OTHER_FORM,
    apart_hint,
    check_dims,
    check_fixed,
    dims_in,
    label_hint,
    named,
    naming_hint,
)
from zapz.planning.derivation import Derivation
from zapz.planning.meaning import Conversions
from zapz.planning.placement import Placement


def check_target(target: Dataset, config: Config, where: str) -> int:
    """Return the length of a target along the append dimension, in steps, after checking it.

    Args:
        target: The target.
        config: Settings.
        where: The target, for messages.

    Raises:
        UnsupportedError: No variable has the append dimension, or one has it twice.
        FormatError: Its variables differ in length: the dataset is damaged.
    """
    dim = config.append_dim
    found = target.lengths(dim)
    if not found:
        raise _without_dimension(UnsupportedError, "target", target, dim, where)
    for path in found:
        if target.arrays[path].dims.count(dim) > 1:
            raise UnsupportedError(
                "a variable has the append dimension twice",
                where=f"{where}, {path}",
                hint="Such a variable cannot grow along a single axis.",
            )
    if len(set(found.values())) > 1:
        remedies: dict[str, Any] = {}
        levels = {place[0].levels[place[1]]: n for path, n in found.items() if (place := target.level_of(path))}
        if len(set(levels.values())) > 1:
            raise FormatError(
                "the target's levels differ in length",
                where=where,
                found=_some({f"{level or '/'}: {n}": 0 for level, n in levels.items()}),
                hint="Another tool may have appended to only some of them. Create the levels again, with the tool that created them.",
            )
        raise FormatError(
            "the target's variables differ in length",
            where=where,
            found=_some({f"{p}: {n}": 0 for p, n in found.items()}),
            hint=apart_hint(found, remedies) or "Another tool may have written only a part of it.",
            remedies=remedies,
        )
    return next(iter(found.values()))


def _without_dimension(
    kind: type[UnsupportedError | DimensionError],
    what: str,
    dataset: Dataset,
    dim: str,
    where: str,
    *,
    extends: bool = False,
) -> UnsupportedError | DimensionError:
    remedies: dict[str, Any] = {}
    label = label_hint(dataset, dim, remedies) if what == "slice" else ""
    return kind(
        f"no variable of the {what} has the append dimension",
        where=where,
        expected=repr(dim),
        found=dims_in(dataset) or "no named dimensions",
        hint=(label + naming_hint(dataset, dim, remedies, extends=extends)).strip(),
        remedies=remedies,
    )


def place(
    target: Dataset,
    slice_: Dataset,
    config: Config,
    where: str,
    *,
    creates: bool = False,
    chosen: Collection[str] = (),
    known: Conversions | None = None,
    derived: Mapping[str, Derivation] | None = None,
) -> Placement:
    """Decide whether a slice may follow; labels are checked elsewhere.

    Args:
        target: The target; for a new one its form, with length 0.
        slice_: The slice.
        config: Settings.
        where: The slice, for messages.
        creates: Whether the target is created from this slice.
        chosen: Variables whose stored data type the slice itself requests.
        known: Conversions of earlier slices in the same call.
        derived: Arrays of coarser levels that are derived from the slice.

    Raises:
        SliceError: The slice may not follow.
        ConfigError: The first slice cannot be stored as configured.
    """
    dim, known, derived = config.append_dim, known or Conversions(), derived or {}
    length = _slice_length(slice_, config, where, extends=not creates)
    check_fixed(slice_, config, where)
    offset = check_target(target, config, "target")
    if target.pyramids and not creates:
        from zapz.planning.levels import check_levels  # imported where used: most targets have no levels

        check_levels(target, slice_, config, where, derived)
    _check_size(target, config, length, where)
    conversions: dict[str, Conversion] = {}
    filled, static, notes = list[str](), list[str](), list[str]()
    for path, array in target.arrays.items():
        source = slice_.arrays.get(path) if path not in config.excluded_variables else None
        grows = array.axis(dim) is not None
        if source is None:
            if grows and path not in derived:
                filled.append(_missing(array, target, slice_, config, where))
            continue
        _check_dims(array, source, dim, f"{where}, {path}")
        check_dims(source, config, where)
        if grows or creates or config.static != "ignore":
            found = _conversion(known, slice_, target, path, where, config, creates=creates, chosen=chosen)
            if grows or creates:
                conversions[path] = found
            else:
                static.append(path)
        notes += _attribute_notes(array, source)
    notes += _extra(target, slice_, config, where)
    if not creates and config.zarr_format not in {None, target.zarr_format}:
        notes.append(
            f"zarr_format = {config.zarr_format} applies only to new targets; this target keeps format {target.zarr_format}"
        )
    return Placement(
        dim=dim,
        offset=offset,
        length=length,
        conversions=conversions,
        derived=derived,
        filled=tuple(filled),
        static=tuple(static),
        notes=tuple(notes),
    )


def _conversion(
    known: Conversions,
    slice_: Dataset,
    target: Dataset,
    path: str,
    where: str,
    config: Config,
    *,
    creates: bool,
    chosen: Collection[str],
) -> Conversion:
    """Return the conversion of a variable; an error names the configuration that causes it."""
    entry = config.variable(path) if config.variables else None
    narrow = path in chosen or (entry is not None and entry.encoding.dtype is not UNSET)
    try:
        return known.of(slice_, target, path, f"{where}, {path}", config, narrow=narrow)
    except SliceError as error:
        if creates and entry is not None and (entry.encoding or entry.attrs):
            part = "encoding" if entry.encoding else "attrs"
            raise _misconfigured(error, f"variables.{path}.{part}") from None
        raise


def _slice_length(slice_: Dataset, config: Config, where: str, *, extends: bool) -> int:
    dim = config.append_dim
    found = {p: n for p, n in slice_.lengths(dim).items() if p not in config.excluded_variables}
    if not found:
        raise _without_dimension(DimensionError, "slice", slice_, dim, where, extends=extends)
    sizes: dict[str, tuple[str, int]] = {}
    levels = {level for pyramid in slice_.pyramids for level in pyramid.levels}
    for path, array in slice_.arrays.items():
        if path in config.excluded_variables:
            continue
        if array.dims.count(dim) > 1:
            raise DimensionError(
                "a variable has the append dimension twice", where=f"{where}, {path}", found=repr(array.dims)
            )
        folder = path if path in levels else path.rpartition("/")[0]  # levels have sizes of their own
        for name, size in zip(array.dims, array.shape, strict=True):
            if name is None:
                continue
            scope = name if name == dim else f"{folder}/{name}"
            other, known = sizes.setdefault(scope, (path, size))
            if known != size:
                remedies: dict[str, Any] = {}
                raise DimensionError(
                    f"the slice's variables disagree about dimension {name!r}",
                    where=where,
                    expected=f"{known} as in {other}",
                    found=f"{size} in {path}",
                    hint=apart_hint(found, remedies) if name == dim else "",
                    remedies=remedies,
                )
    return next(iter(found.values()))


def _misconfigured(error: SliceError, where: str) -> ConfigError:
    """Return the error for a configuration with which the first slice cannot be stored."""
    return ConfigError(
        f"the first slice cannot be stored as configured: {error.what}",
        where=where,
        expected=error.expected,
        found=error.found,
        hint="Correct the setting, or remove it.",
    )


def _check_size(target: Dataset, config: Config, length: int, where: str) -> None:
    wanted = config.slice_size
    if wanted is None:
        return
    if wanted == "chunk":
        dim = config.append_dim
        large = [
            a for a in target.arrays.values() if (axis := a.axis(dim)) is not None and a.step_bytes(axis) > SMALL_STEP
        ] or [a for a in target.arrays.values() if a.axis(dim) is not None]
        sizes = {a.path: a.grid.chunks[a.dims.index(dim)] for a in large}
        for path, size in sizes.items():
            if length != size:
                raise DimensionError(
                    "slice size differs from the target's chunk length",
                    where=where,
                    expected=f"{size} steps, the chunk of {path}",
                    found=f"{length}",
                )
    elif length != wanted:
        raise DimensionError(
            "slice has the wrong size", where=where, expected=f"{wanted} steps (slice_size)", found=f"{length}"
        )


SMALL_STEP = 256
"""Maximum size of a step of a small variable, in bytes: labels, bounds, per-step scalars."""


def _missing(array: Array, target: Dataset, slice_: Dataset, config: Config, where: str) -> str:
    if config.on_missing == "fill":
        return array.path
    others = [other for other in slice_.arrays.values() if other.path not in target.arrays]
    folded = [other.path for other in others if other.path.casefold() == array.path.casefold()]
    alike = folded or [other.path for other in others if (other.dims, other.dtype) == (array.dims, array.dtype)]
    if alike:  # filling would lose this variable of the slice
        hint = (
            f"If this is {array.path}, rename it in the slice (in xarray: ds.rename({{{alike[0]!r}: {array.path!r}}}))."
        )
        if not folded:
            hint += (
                f" If it is another variable, use {{on_missing}} to fill the steps of {array.path} with missing values,"
                " and {on_extra} to ignore variables that the target lacks."
            )
        raise VariableError(
            "variable is missing in the slice",
            where=where,
            expected=array.path,
            found=f"{' and '.join(alike)}, which the target lacks",
            hint=hint,
            remedies=None if folded else {"on_missing": "fill", "on_extra": "ignore"},
        )
    raise VariableError(
        "variable is missing in the slice",
        where=where,
        expected=array.path,
        found="none",
        hint="Add the variable to the slice, or use {on_missing} to fill its steps with missing values.",
        remedies={"on_missing": "fill"},
    )


def _extra(target: Dataset, slice_: Dataset, config: Config, where: str) -> list[str]:
    notes = []
    for path, array in slice_.arrays.items():
        if path in target.arrays or path in config.excluded_variables:
            continue
        if array.axis(config.append_dim) is None:
            notes.append(f"static variable {path} of the slice is not in the target and is ignored")
        elif config.on_extra == "ignore":
            notes.append(f"variable {path} of the slice is not in the target and is ignored")
        else:
            raise VariableError(
                "the slice has a variable that the target lacks",
                where=where,
                found=path,
                hint="Use {excluded_variables} to exclude it from every slice, or {on_extra} to ignore all that the target lacks.",
                remedies={"excluded_variables": [*config.excluded_variables, path], "on_extra": "ignore"},
            )
    return notes


def _check_dims(target: Array, source: Array, dim: str, where: str) -> None:
    if source.dims != target.dims:
        raise DimensionError(
            "dimensions differ",
            where=where,
            expected=named(target.dims),
            found=named(source.dims),
            hint=OTHER_FORM,
        )
    for name, have, want in zip(target.dims, source.shape, target.shape, strict=True):
        if name != dim and have != want:
            raise DimensionError(
                f"size of dimension {name!r} differs",
                where=where,
                expected=f"{want}",
                found=f"{have}",
                hint="Check the grid. Regrid the slice to the target's grid, or append it to another target.",
            )


def _attribute_notes(target: Array, source: Array) -> list[str]:
    differing = sorted(
        k
        for k in set(target.attributes) | set(source.attributes)
        if k not in SAY_WHAT_IS_STORED and repr(target.attributes.get(k)) != repr(source.attributes.get(k))
    )
    if ("units" in target.attributes) != ("units" in source.attributes) and source.dtype.kind not in "mM":
        differing.append("units")
    return [f"attribute {name} of {target.path} differs; the target's value is kept" for name in differing]


def _some(items: Mapping[str, Any]) -> str:
    names = list(items)
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")  # noqa: PLR2004 - three show the pattern
