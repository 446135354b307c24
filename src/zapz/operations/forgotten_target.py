"""Is the target of a command line one of its slices, because the target was forgotten, or given last?"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence

from zapz.config.settings import Config
from zapz.errors import ConfigError, ZapzError
from zapz.operations.target import open_target
from zapz.sources.open_slice import open_source
from zapz.storage.hierarchy import open_dataset
from zapz.storage.local.posix import mode_of
from zapz.storage.uris import is_local, local_path

_SHOWN = 5
"""Slices that a command line in a message has."""


def check_target_is_no_slice(target: str, slices: Sequence[str], config: Config) -> None:
    """Refuse a target that is as long as the first of its slices; both lie in one folder, and their names differ by numbers only.

    A cube that has grown is longer, so tomorrow's run passes.

    Raises:
        ConfigError: It does; shows the command line that was probably meant.
    """
    length = None
    with contextlib.suppress(ZapzError):  # the append says what is wrong with them
        dataset = open_dataset(open_target(target, config))
        length = set(dataset.lengths(config.append_dim).values())
        source = open_source(slices[0], config)
        length = length if length == set(source.dataset.lengths(config.append_dim).values()) else None
    if not length:
        return
    last = slices[-1]
    first, *others = [last, target, *slices[:-1]] if _is_missing(last) else ["CUBE", target, *slices]
    shown = [first, *map(shlex.quote, others[:_SHOWN]), *(["..."] if len(others) > _SHOWN else [])]
    raise ConfigError(
        "the target looks like one of the slices",
        where=target,
        expected="the target first, then the slices",
        found=f"the folder, the name (but for numbers) and the length of {slices[0]}",
        hint=f"`zapz append {' '.join(shown)}`, or, to extend {target} itself: "
        f"`zapz append -t {shlex.join([target, *slices[:1]])}{' ...' if len(slices) > 1 else ''}`. Nothing was written.",
    )


def is_target_last(target: str, slices: Sequence[str]) -> bool:
    """Return whether the last slice does not exist and the target does: was it meant the other way round?"""
    return bool(slices) and _is_missing(slices[-1]) and is_local(target) and not _is_missing(target)


def _is_missing(place: str) -> bool:
    return is_local(place) and mode_of(str(local_path(place))) is None
