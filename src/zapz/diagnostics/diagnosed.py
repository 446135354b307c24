"""The settings ``logging`` and ``profiling``, applied during one append.

Outside of `diagnosed`, zapz does not change Python's logging: it only writes to the logger "zapz".
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from zapz.diagnostics import profile_file
from zapz.errors import ConfigError, printable

_NAME: Final = "zapz"
_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"
_UNDER_WAY: Final[ContextVar[bool]] = ContextVar("zapz_diagnosed", default=False)
"""Whether an outer call is already diagnosed: the command line calls the Python API."""


class Settings(Protocol):
    """The settings that this module reads."""

    @property
    def logging(self) -> bool | str | Mapping[str, Any] | None:
        """True for INFO, the name of a level, or a table for `logging.config.dictConfig`."""

    @property
    def profiling(self) -> bool | str | Mapping[str, Any] | None:
        """True, the path of the report, or a table of these and other keys."""


def logger() -> logging.Logger:
    """Return the logger of zapz."""
    return logging.getLogger(_NAME)


@contextlib.contextmanager
def diagnosed(config: Settings) -> Iterator[None]:
    """Log and profile the block as configured; do nothing inside another such block.

    Logging to standard error ends with the block, also if several threads log at once. A
    configuration for ``dictConfig`` stays active, because Python's logging cannot undo it. The
    profile covers the calling thread.

    Raises:
        ConfigError: Logging cannot be configured, or the profile cannot be written. The block is
            not entered.
    """
    if _UNDER_WAY.get():
        yield
        return
    profile = _profile_of(config.profiling)
    token = _UNDER_WAY.set(True)
    try:
        with _logged(config.logging), _profiled(profile):
            yield
    finally:
        _UNDER_WAY.reset(token)


# Logging


class _StandardError:
    """The handler shared by all appends that log to standard error, while there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._levels: list[int] = []
        self._handler: logging.Handler = logging.NullHandler()
        self._before = logging.NOTSET

    @contextlib.contextmanager
    def at(self, level: int) -> Iterator[None]:
        """Log at a level; of several levels, the most detailed one applies."""
        with self._lock:
            if not self._levels:
                self._before = logger().level
                self._handler = logging.StreamHandler(sys.stderr)
                self._handler.setFormatter(logging.Formatter(_FORMAT))
                logger().addHandler(self._handler)
            self._levels.append(level)
            logger().setLevel(min(self._levels))
        try:
            yield
        finally:
            with self._lock:
                self._levels.remove(level)
                logger().setLevel(min(self._levels, default=self._before))
                if not self._levels:
                    logger().removeHandler(self._handler)


_STANDARD_ERROR: Final = _StandardError()


def _logged(setting: bool | str | Mapping[str, Any] | None) -> contextlib.AbstractContextManager[None]:  # noqa: FBT001 - a setting
    if setting is None or setting is False:
        return contextlib.nullcontext()
    if isinstance(setting, Mapping):
        _configure(setting)
        return contextlib.nullcontext()
    return _STANDARD_ERROR.at(logging.INFO if setting is True else getattr(logging, setting))


def _configure(setting: Mapping[str, Any]) -> None:
    """Pass a table to ``dictConfig``.

    A logger "zappend" in it configures the logger "zapz". Other loggers are not disabled.

    Raises:
        ConfigError: ``dictConfig`` refuses the table.
    """
    import logging.config

    table: dict[str, Any] = {"disable_existing_loggers": False, **setting}
    loggers = setting.get("loggers")
    if isinstance(loggers, Mapping) and "zappend" in loggers:
        table["loggers"] = {_NAME: loggers["zappend"], **loggers}
    try:
        logging.config.dictConfig(table)
    except (ValueError, TypeError, AttributeError) as error:
        found = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
        expected = "a table for Python's logging.config.dictConfig"
        hint = "Correct the table, or set only a level."
        raise ConfigError(
            "logging cannot be configured", where="logging", expected=expected, found=found, hint=hint
        ) from error


# Profiling


@dataclass(frozen=True, slots=True, kw_only=True)
class _Profile:
    """How a profile is reported."""

    path: Path | None = None
    """File of the report; None for none."""
    level: int = logging.INFO
    """Level at which the report is logged; NOTSET for not at all."""
    keys: tuple[str, ...] = ("tottime",)
    """Columns by which the report is sorted."""
    restrictions: tuple[int | float | str, ...] = ()
    """Which lines the report has: a number of lines, a fraction of them, or a pattern that they
    match."""


def _profile_of(setting: bool | str | Mapping[str, Any] | None) -> _Profile | None:  # noqa: FBT001 - a setting
    """Return the setting as a profile; None if nothing is profiled."""
    if setting is None or isinstance(setting, bool):
        return _Profile() if setting else None
    table: Mapping[str, Any] = {"path": setting} if isinstance(setting, str) else setting
    level = getattr(logging, table.get("log_level", "INFO"))
    given = table.get("path")
    path = Path(given).expanduser() if given else None
    if not table.get("enabled", True) or not (path or level):
        return None
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise ConfigError(
            "the profile cannot be written",
            where="profiling.path",
            expected="a file in a folder that exists",
            found=str(path),
            hint="Create the folder, or choose another path.",
        )
    if path is not None:
        profile_file.check_place(path)
    restrictions = tuple(table.get("restrictions", ()))
    for pattern in restrictions:
        try:
            re.compile(pattern if isinstance(pattern, str) else "")
        except re.error as error:
            raise ConfigError(
                "invalid pattern",
                where="profiling.restrictions",
                expected="a regular expression",
                found=f"{pattern!r}: {error}",
                hint="See the documentation of Python's module re.",
            ) from error
    return _Profile(path=path, level=level, keys=tuple(table.get("keys", ("tottime",))), restrictions=restrictions)


@contextlib.contextmanager
def _profiled(profile: _Profile | None) -> Iterator[None]:
    """Profile the block and report, also if it fails.

    A report that cannot be written does not fail the block.
    """
    if profile is None:
        yield
        return
    import cProfile

    found = cProfile.Profile()
    try:
        found.enable()
    except ValueError as error:  # Python 3.12 and later allow one profiler per process
        logger().warning("no profile: %s", error)
        yield
        return
    try:
        yield
    finally:
        found.disable()
        _report(found, profile)


def _report(found: Any, profile: _Profile) -> None:
    import io
    import pstats

    text = io.StringIO()
    pstats.Stats(found, stream=text).sort_stats(*profile.keys).print_stats(*profile.restrictions)
    if profile.level:
        logger().log(profile.level, "profile:\n%s", printable(text.getvalue()))
    if profile.path is None:
        return
    try:
        profile_file.write(profile.path, text.getvalue())
    except OSError as error:
        logger().warning("profile not written to %s: %s", printable(str(profile.path)), error)
    else:
        logger().info("profile written to %s", printable(str(profile.path)))
