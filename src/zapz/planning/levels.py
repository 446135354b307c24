"""Whether a slice has the levels of a pyramid that the target has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zapz.config.settings import Config
from zapz.errors import SliceError
from zapz.format.level_names import SUFFIX
from zapz.format.metadata import Dataset
from zapz.planning.labels import all_label_paths


def check_levels(target: Dataset, slice_: Dataset, config: Config, where: str) -> None:
    """Refuse a slice that lacks levels of a pyramid: after the append, they would be too short.

    A pyramid that is not in the slice at all can be filled, if other variables are.

    Args:
        target: The target.
        slice_: The slice.
        config: Settings.
        where: The slice, for messages.

    Raises:
        SliceError: The slice has only some levels, or none; or a level lacks its labels.
    """
    dim = config.append_dim
    growing = _levels_with(target, target.lengths(dim))
    arrays = [path for path in slice_.arrays if path not in config.excluded_variables]
    there = _levels_with(target, arrays)
    for number, pyramid in enumerate(target.pyramids):
        wanted = [level for place, level in enumerate(pyramid.levels) if (number, place) in growing]
        missing = [level for place, level in enumerate(pyramid.levels) if (number, place) in growing - there]
        if not missing or (
            len(missing) == len(wanted) and config.on_missing == "fill" and target.arrays.keys() & arrays
        ):
            continue
        names, lost = (", ".join(level or "/" for level in levels) for levels in (wanted, missing))
        hint = "Create the missing levels of the slice with the tool that created those of the target."
        if len(missing) < len(wanted):
            found = ", ".join(level or "/" for level in wanted if level not in missing)
            what, found = "the slice has only some of the target's levels", f"{found}, but not {lost}"
        elif target.arrays.keys() & arrays:
            what, found = "the slice lacks a pyramid of the target", "none of them"
            hint = "Add them to the slice, or use {on_missing} to fill their steps with missing values."
            raise SliceError(what, where=where, expected=names, found=found, hint=hint, remedies={"on_missing": "fill"})
        else:
            what = "the slice has no levels, and the target is a pyramid"
            found = ", ".join(sorted(slice_.arrays)[:3]) or "no variables"
        raise SliceError(what, where=where, expected=names, found=found, hint=hint)
    for path in all_label_paths(target, dim):
        place = target.level_of(path)
        if place is not None and path not in arrays and (target.pyramids.index(place[0]), place[1]) in there:
            raise SliceError(
                "a level of the slice has no labels",
                where=where,
                expected=path,
                found="none",
                hint="Add the labels to this level of the slice: they are those of its other levels.",
            )


def _levels_with(target: Dataset, paths: Iterable[str]) -> set[tuple[int, int]]:
    """Return the levels to which some of these paths belong, as numbers of pyramid and level."""
    numbers = {id(pyramid): number for number, pyramid in enumerate(target.pyramids)}
    return {(numbers[id(place[0])], place[1]) for path in paths if (place := target.level_of(path)) is not None}


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
    there = _levels_with(slice_, slice_.arrays)
    for number, pyramid in enumerate(slice_.pyramids):
        found = [level for place, level in enumerate(pyramid.levels) if (number, place) in there]
        if pyramid.missing or len(found) < len(pyramid.levels):
            raise SliceError(
                "the slice lacks levels that its metadata name",
                where=where,
                expected=", ".join((*pyramid.levels, *pyramid.missing)),
                found=", ".join(found) or "none of them",
                hint="A new target has all levels of its first slice. Add the levels, or correct metadata and settings.",
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
    first: dict[tuple[int, str], str] = {}
    found: dict[str, str] = {}
    places = {path: dataset.level_of(path) for path in paths}
    numbers = {id(pyramid): number for number, pyramid in enumerate(dataset.pyramids)}
    for path in sorted(paths, key=lambda path: place[1] if (place := places[path]) is not None else -1):
        place = places[path]
        if place is None:
            continue
        pyramid, number = place
        inner = path[len(pyramid.levels[number]) :].lstrip("/")
        original = first.setdefault((numbers[id(pyramid)], inner), path)
        if original != path:
            found[path] = original
    return found
