"""Whether a slice has the levels of a pyramid that the target has. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zapz.errors import SliceError
from zapz.format.level_names import SUFFIX
from zapz.format.metadata import Dataset


def check_levels(target: Dataset, slice_: Dataset, dim: str, where: str) -> None:
    """Refuse a slice that lacks levels of a pyramid: after the append, they would be too short.

    Args:
        target: The target.
        slice_: The slice.
        dim: The append dimension.
        where: The slice, for messages.

    Raises:
        SliceError: The slice has only some levels, or none.
    """
    growing = _levels_with(target, target.lengths(dim))
    there = _levels_with(target, slice_.arrays)
    for number, pyramid in enumerate(target.pyramids):
        wanted = [level for place, level in enumerate(pyramid.levels) if (number, place) in growing]
        missing = [level for place, level in enumerate(pyramid.levels) if (number, place) in growing - there]
        if not missing:
            continue
        if len(missing) < len(wanted):
            found = ", ".join(level or "/" for level in wanted if level not in missing)
            raise SliceError(
                "the slice has only some of the target's levels",
                where=where,
                expected=", ".join(level or "/" for level in wanted),
                found=f"{found}, but not {', '.join(missing)}",
                hint="Create the missing levels of the slice with the tool that created those of the target.",
            )
        raise SliceError(
            "the slice has no levels, and the target is a pyramid",
            where=where,
            expected=", ".join(level or "/" for level in wanted),
            found=", ".join(sorted(slice_.arrays)[:3]) or "no variables",
            hint="Create the levels of the slice with the tool that created those of the target, and append these.",
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
        SliceError: The target's name ends in ``.levels``, and the slice is not such a dataset.
    """
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
