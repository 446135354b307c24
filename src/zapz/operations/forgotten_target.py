"""Is the target of a command line one of its slices, because the target was forgotten, or given last?"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from zapz.config.settings import Config
from zapz.errors import ConfigError, ZapzError
from zapz.operations.target import open_target
from zapz.sources.open_slice import OpenSlice, open_source
from zapz.storage.hierarchy import open_dataset
from zapz.storage.local.posix import mode_of
from zapz.storage.uris import is_local, local_path

_SHOWN = 5
"""Slices that a command line in a message has."""


def check_target_is_no_slice(target: str, slices: Sequence[str], config: Config) -> None:
    """Refuse a target that is about as long as the first of its slices; both lie in one folder, and their names differ by numbers only.

    Months differ in length: a target that is less than one and a half times as long is one of them.
        A cube that has grown by a slice is
    longer, so the next run passes.

    Raises:
        ConfigError: It does; shows the command line that was probably meant.
    """
    here, there = _length(open_target, target, config), _length(open_source, slices[0], config)
    if not here or not there or 2 * here >= 3 * there:
        return
    last = slices[-1]
    first, *others = [last, target, *slices[:-1]] if _is_missing(last) else ["CUBE", target, *slices]
    raise ConfigError(
        "the target looks like one of the slices",
        where=target,
        expected="the target first, then the slices",
        found=f"the same folder as {slices[0]}, a name that differs in digits only, and about the same length",
        hint=f"`zapz append {_words([first, *others])}`, or, to extend {target} itself: "
        f"`zapz append -t {_words([target, *slices])}`. Nothing was written.",
    )


def check_target_is_no_pattern(target: str) -> None:
    """Refuse a target that was meant as a pattern, and matched nothing.

    Raises:
        ConfigError: It was.
    """
    if _is_missing(target):
        raise ConfigError(
            "the target is a pattern that matched nothing",
            where=target,
            expected="the target's name",
            hint="The shell handed it on as it is. Give the name of one target, before the slices.",
        )


def _words(places: Sequence[str]) -> str:
    """Return places for a command line in a message."""
    shown = [place if place == "CUBE" else shlex.quote(place) for place in places[: _SHOWN + 1]]
    return " ".join([*shown, *(["..."] if len(places) > _SHOWN + 1 else [])])


def is_target_last(target: str, slices: Sequence[str], config: Config) -> bool:
    """Return whether the target was probably given last: the last slice does not exist and the target does, or it is the longer one.

    A pattern that matched nothing is no target.
    """
    last = slices[-1]
    if not is_local(target) or _is_missing(target):
        return False
    if _is_missing(last):
        return not set(last) & set("*?[")
    here, there = _length(open_target, target, config), _length(open_source, last, config)
    return bool(here and there) and here < there


def _length(opened: Callable[[str, Config], Any], place: str, config: Config) -> int:
    """Return the length of a dataset along the append dimension; 0 if it has none, or cannot be read."""
    with contextlib.suppress(ZapzError):  # the append says what is wrong with it
        found = opened(place, config)
        dataset = found.dataset if isinstance(found, OpenSlice) else open_dataset(found)
        return max(dataset.lengths(config.append_dim).values(), default=0)
    return 0


def _is_missing(place: str) -> bool:
    return is_local(place) and mode_of(str(local_path(place))) is None
