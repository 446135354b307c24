"""Whether a slice has the levels of a pyramid that the target has. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from zapz.config.settings import Config
from zapz.errors import SliceError
from zapz.format.level_names import SUFFIX
from zapz.format.metadata import Dataset
from zapz.format.pyramid import Pyramid
from zapz.planning.labels import all_label_paths


def check_levels(target: Dataset, slice_: Dataset, config: Config, where: str, derived: Collection[str] = ()) -> None:
    """Refuse a slice that lacks levels of a pyramid: after the append, they would be too short.

    A pyramid of which the slice has no level can be filled if it has no labels, and the slice has
    other variables.

    Args:
        target: The target.
        slice_: The slice.
        config: Settings.
        where: The slice, for messages.
        derived: Arrays that are derived from the slice.

    Raises:
        SliceError: The slice has only some levels, or none; or a level lacks its labels.
    """
    labels = all_label_paths(target, config.append_dim)
    growing, there, labelled = (
        _levels_of(target, paths) for paths in (target.lengths(config.append_dim), (*slice_.arrays, *derived), labels)
    )
    has_others = bool(target.arrays.keys() & slice_.arrays.keys())
    for pyramid in target.pyramids:
        wanted = [level for level in pyramid.levels if level in growing]
        missing = [level for level in wanted if level not in there]
        may_fill = missing == wanted and has_others and not labelled & {*missing}
        if missing and not (may_fill and config.on_missing == "fill"):
            raise _lacks(wanted, missing, slice_, where, has_others=has_others, may_fill=may_fill)
    for path in labels:
        if path not in slice_.arrays and _levels_of(target, [path]) & there:
            raise SliceError(
                "a level of the slice has no labels",
                where=where,
                expected=path,
                found="none",
                hint="Add the labels to this level of the slice: they are those of its other levels.",
            )


def _lacks(
    wanted: Sequence[str], missing: Sequence[str], slice_: Dataset, where: str, *, has_others: bool, may_fill: bool
) -> SliceError:
    """Return the error for a slice that lacks levels of a pyramid.

    Args:
        wanted: The levels that grow.
        missing: Those of them that the slice lacks.
        slice_: The slice.
        where: The slice, for messages.
        has_others: Whether the slice has other variables of the target.
        may_fill: Whether the levels may be filled with missing values.
    """
    names, lost = (", ".join(level or "/" for level in levels) for levels in (wanted, missing))
    hint, remedies = "Create them with the tool that created the levels of the target.", {}
    if len(missing) < len(wanted):
        what = "the slice has only some of the target's levels"
        found = f"{', '.join(level or '/' for level in wanted if level not in missing)}, but not {lost}"
    elif has_others:
        what, found = "the slice lacks a pyramid of the target", "none of its levels"
    else:
        what = "the slice has no levels, and the target is a pyramid"
        found = ", ".join(sorted(slice_.arrays)[:3]) or "no variables"
    if may_fill:
        hint += " Or use {on_missing} to fill their steps with missing values."
        remedies["on_missing"] = "fill"
    return SliceError(what, where=where, expected=names, found=found, hint=hint, remedies=remedies)


def _levels_of(dataset: Dataset, paths: Iterable[str]) -> set[str]:
    """Return the levels to which some of these paths belong."""
    return {place[0].levels[place[1]] for path in paths if (place := dataset.level_of(path)) is not None}


def check_form(slice_: Dataset, uri: str, where: str) -> None:
    """Refuse to create a ``.levels`` dataset from a slice without levels.

    Args:
        slice_: The first slice.
        uri: The target.
        where: The slice, for messages.

    Raises:
        SliceError: The target's name ends in ``.levels``, and the slice is not such a dataset; or
            the slice lacks levels that its metadata name.
    """
    there = _levels_of(slice_, slice_.arrays)
    for pyramid in slice_.pyramids:
        found = [level for level in pyramid.levels if level in there]
        if pyramid.missing or len(found) < len(pyramid.levels):
            raise SliceError(
                "the slice lacks levels that its metadata name",
                where=where,
                expected=", ".join((*pyramid.levels, *pyramid.missing)),
                found=", ".join(found) or "none of them",
                hint="A new target gets all levels that its first slice names. Add the levels, or correct metadata and settings.",
            )
    if uri.rstrip("/").endswith(SUFFIX) and slice_.roots == ("",):
        raise SliceError(
            "the slice has no levels, and the target would be a .levels dataset",
            where=where,
            expected="a .levels dataset, with levels 0.zarr, 1.zarr, …",
            found=", ".join(sorted(slice_.arrays)[:3]) or "no variables",
            hint="Create the levels of the slice first, or name a target that does not end in .levels.",
        )


def copies_of(dataset: Dataset, paths: Sequence[str]) -> dict[str, str]:
    """Return the nodes that repeat one of another level, and that node, of the first such level.

    Args:
        dataset: The dataset.
        paths: Paths of label variables.
    """
    first: dict[tuple[Pyramid, str], str] = {}
    found: dict[str, str] = {}
    placed = [(place[1], path, place[0]) for path in paths if (place := dataset.level_of(path)) is not None]
    for number, path, pyramid in sorted(placed, key=lambda each: each[:2]):
        inner = path[len(pyramid.levels[number]) :].lstrip("/")
        original = first.setdefault((pyramid, inner), path)
        if original != path:
            found[path] = original
    return found
