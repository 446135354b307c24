"""A slice without the coarser levels of the target: how it is presented, and what is derived. Pure.

::

    target    0.zarr/sst  0.zarr/time  1.zarr/sst  1.zarr/time
    slice     sst         time         derived     time
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zapz.config.settings import Config
from zapz.format.metadata import Dataset, join
from zapz.format.pyramid import Pyramid
from zapz.planning.level_windows import Windows, finest_of, level_sources, members_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatForm:
    """How a slice without coarser levels is presented."""

    paths: Mapping[str, str] = field(default_factory=dict)
    """The stored path of each array and group, by the path at which it is presented; empty if the
    slice is presented as it is."""
    windows: Mapping[str, Windows] = field(default_factory=dict)
    """Arrays of coarser levels that are derived."""


def flat_form(target: Dataset, slice_: Dataset, config: Config, where: str) -> FlatForm:
    """Return how a slice is presented, and which levels of the target are derived from it.

    Args:
        target: The target.
        slice_: The slice.
        config: Settings.
        where: The target, for messages.

    Raises:
        SliceError: A level cannot be derived.
        ConfigError: A configured method contradicts the target's metadata.
    """
    paths = {path: path for path in (*slice_.arrays, *slice_.groups)}
    windows: dict[str, Windows] = {}
    flat = False
    for pyramid in target.pyramids:
        members = members_of(target, pyramid)
        level = pyramid.levels[finest_of(members, config.append_dim)]
        own = _of_finest(target, slice_, pyramid, level, config)
        if not own:
            continue
        flat = True
        sources = level_sources(target, pyramid, config, where)
        paths = {
            path: old
            for path, old in paths.items()
            if old not in own.values() and not _is_coarser(target, path, pyramid, level)
        }
        paths |= own
        paths |= {path: own[finest] for path, finest in sources.repeated.items() if finest in own}
        windows |= {path: each for path, each in sources.windows.items() if each.source in own}
    if target.roots == ("",) and "" in slice_.groups:
        paths[""] = ""
    return FlatForm(paths=paths, windows=windows) if flat else FlatForm()


def _of_finest(target: Dataset, slice_: Dataset, pyramid: Pyramid, level: str, config: Config) -> dict[str, str]:
    """Return the nodes of a slice that belong to the finest level, by their path in the target.

    Empty if it has none of them, or brings coarser levels that are used.
    """
    use = config.levels.get("use", "auto")
    growing = [path for path in target.lengths(config.append_dim) if _place(target, path, pyramid) is not None]
    there = {place for path in slice_.arrays if (place := _place(target, path, pyramid)) is not None}
    if (there - {level} and use != "derive") or use == "slice":
        return {}
    if level in there:
        return {path: path for path in slice_.arrays if _place(target, path, pyramid) == level}
    nodes = [path for path in (*slice_.arrays, *slice_.groups) if path not in target.arrays]
    for folder in dict.fromkeys((pyramid.path, "")):
        inner = {
            join(folder, path[len(level) :].lstrip("/")) for path in growing if _place(target, path, pyramid) == level
        }
        if not inner.isdisjoint(slice_.arrays.keys() & nodes):
            below = [path for path in nodes if path == folder or not folder or path.startswith(f"{folder}/")]
            return {join(level, path[len(folder) :].lstrip("/")): path for path in below}
    return {}


def _place(target: Dataset, path: str, pyramid: Pyramid) -> str | None:
    """Return the level of a pyramid to which a node belongs."""
    place = target.level_of(path)
    return place[0].levels[place[1]] if place is not None and place[0] is pyramid else None


def _is_coarser(target: Dataset, path: str, pyramid: Pyramid, level: str) -> bool:
    place = _place(target, path, pyramid)
    return place is not None and place != level
