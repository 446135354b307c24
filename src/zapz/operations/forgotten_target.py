"""Detect a command line whose first argument is a slice: the target was forgotten, or is last."""

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
"""Maximum number of slices shown in a command line in a message."""


def check_target_is_no_slice(target: str, slices: Sequence[str], config: Config) -> None:
    """Refuse a target that looks like one of its slices: it is about as long as the first one.

    The caller has found that both are in one folder and that their names differ only in numbers.
    Months differ in length, so "about as long" means less than 1.5 times as long. A cube that has
    grown by one slice is longer, so the next run passes.

    Raises:
        ConfigError: The target looks like a slice; the hint shows the probable command line.
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
    """Refuse a target that is a shell pattern without matches.

    Raises:
        ConfigError: The target is such a pattern.
    """
    if _is_missing(target):
        raise ConfigError(
            "the target is a pattern that matched nothing",
            where=target,
            expected="the path of the target",
            hint="The shell passed the pattern on unchanged. Give the path of one target, before the slices.",
        )


def _words(places: Sequence[str]) -> str:
    """Return places for a command line in a message."""
    shown = [place if place == "CUBE" else shlex.quote(place) for place in places[: _SHOWN + 1]]
    return " ".join([*shown, *(["..."] if len(places) > _SHOWN + 1 else [])])


def is_target_last(target: str, slices: Sequence[str], config: Config) -> bool:
    """Return whether the target was probably given last.

    That is so if the target exists and the last slice does not, or if the last slice is the longer
    of the two. A pattern that matched nothing is not a target.
    """
    last = slices[-1]
    if not is_local(target) or _is_missing(target):
        return False
    if _is_missing(last):
        return not set(last) & set("*?[")
    here, there = _length(open_target, target, config), _length(open_source, last, config)
    return bool(here and there) and here < there


def _length(opened: Callable[[str, Config], Any], place: str, config: Config) -> int:
    """Return the length of a dataset along the append dimension, in steps; 0 if it is unknown."""
    with contextlib.suppress(ZapzError):  # the append reports what is wrong with it
        found = opened(place, config)
        dataset = found.dataset if isinstance(found, OpenSlice) else open_dataset(found)
        return max(dataset.lengths(config.append_dim).values(), default=0)
    return 0


def _is_missing(place: str) -> bool:
    return is_local(place) and mode_of(str(local_path(place))) is None
