"""Every error zapz raises, grouped by what the caller does about it.

A message reads: *what, where: expected X, found Y.* Then what to do next. The parts stay available
    as fields,
and every error pickles, so that an embedding program (or another process) can handle it without
parsing text. What a message says may change; the class, the exit code and ``code`` do not. Codes
are only ever added (``docs/errors.md`` lists them)::

    ZapzError 1
    |-- ConfigError 2
    |-- SliceError 3: DimensionError, VariableError, DTypeError, EncodingError, LabelError
    |-- FormatError 4: MetadataError, UnsupportedError
    |-- ChunkError 5
    |-- StoreError 6: NotFoundError, AbilityError
    |-- LockedError 7
    |-- ConflictError 8
    |-- JournalError 9
    `-- CancelledError 130
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from zapz.reports import Report

_DENIED = frozenset((errno.EACCES, errno.EPERM))


def printable(text: str) -> str:
    """Return text as UTF-8 can hold it: names of files that are not UTF-8 are escaped. For logs; the fields of errors keep them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class ZapzError(Exception):
    """Base of all errors of zapz.

    Attributes:
        what: What went wrong, in a few words.
        where: Slice, variable, key or file concerned; empty if it is everywhere.
        expected: What would have been right; may be empty.
        found: What was there instead; may be empty.
        hint: What the user can do now; may be empty.
        remedies: Settings that would let it pass, by their (dotted) names; ``hint`` says what each
            of them does, and ``zapz.append(target, slices, **error.remedies)`` takes them as they
            are.
        report: What ``zapz.append`` had done before it: a ``Report``; None elsewhere, and if no
            slice's turn could come.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: str = "",
        found: str = "",
        hint: str = "",
        remedies: Mapping[str, object] | None = None,
    ) -> None:
        """Describe an error. ``{NAME}`` in ``hint`` stands for the remedy of that name, as a keyword argument in Python."""
        super().__init__(what)
        self.what: str = what
        self.where: str = where
        self.expected: str = expected
        self.found: str = found
        self.advised(hint, remedies)
        self.report: Report | None = None

    def __str__(self) -> str:
        return self.message(self.hint)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def message(self, hint: str) -> str:
        """Return the whole message, with a hint in other words, such as those of a command line."""
        text = f"{self.what}, {self.where}" if self.where else self.what
        facts = [f"{name} {value}" for name, value in (("expected", self.expected), ("found", self.found)) if value]
        if facts:
            text = f"{text}: {', '.join(facts)}"
        return f"{text}. {hint}" if hint else text

    def at(self, where: str) -> Self:
        """Return this error with ``where`` put before the place it already names."""
        self.where = f"{where}, {self.where}" if self.where else where
        return self

    def advised(self, hint: str, remedies: Mapping[str, object] | None = None) -> Self:
        """Return this error with another hint; ``{NAME}`` in it stands for the remedy of that name."""
        self.hint: str = hint
        self.remedies: Mapping[str, Any] = remedies or {}  # Any: for `**error.remedies`
        for name, value in self.remedies.items():
            self.hint = self.hint.replace(f"{{{name}}}", as_argument(name, value))
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {name: getattr(self, name) for name in ("where", "expected", "found", "hint", "remedies")}
        state = {"__notes__": getattr(self, "__notes__", None), "report": self.report}
        kept = {name: value for name, value in state.items() if value is not None}
        return (_rebuild, (type(self), self.what, fields), *([kept] if kept else []))


def as_argument(name: str, value: object) -> str:
    """Return a setting as a keyword argument: ``static=0.01``, ``variables={'sst': {'encoding': {'dtype': 'int16'}}}``."""
    first, *rest = name.split(".")
    for key in reversed(rest):
        value = {key: value}
    return f"{first}={value!r}"


def _rebuild(kind: type[ZapzError], what: str, fields: dict[str, Any], number: int | None = None) -> ZapzError:
    error = kind(what, **fields)
    if isinstance(error, OSError):
        error.errno = number
    return error


class ConfigError(ZapzError, ValueError):
    """A setting is unknown, mistyped or contradicts another: correct the configuration."""

    exit_code = 2
    code = "config"


class SliceError(ZapzError, ValueError):
    """This slice may not follow this target: correct the slice, change a setting, or skip it."""

    exit_code = 3
    code = "slice"


class DimensionError(SliceError):
    """Dimensions, their order or their sizes differ."""

    code = "dimension"


class VariableError(SliceError):
    """A variable is missing or unexpected, or a static variable differs."""

    code = "variable"


class DTypeError(SliceError):
    """The slice's data type cannot be cast safely to the target's."""

    code = "dtype"


class EncodingError(SliceError):
    """The meaning of stored numbers differs in a way that cannot be converted exactly."""

    code = "encoding"


class LabelError(SliceError):
    """Labels of the append dimension do not continue the target's."""

    code = "label"


class FormatError(ZapzError, ValueError):
    """Not a Zarr dataset, or a damaged one."""

    exit_code = 4
    code = "format"


class MetadataError(FormatError):
    """A metadata document is missing, unreadable or contradicts itself."""

    code = "metadata"


class UnsupportedError(FormatError):
    """Legal somewhere, but not something zapz can append to or from without risk."""

    code = "unsupported"


class ChunkError(ZapzError):
    """One chunk cannot be decoded or encoded, or is not as long as it says."""

    exit_code = 5
    code = "chunk"


class StoreError(ZapzError, OSError):
    """Storage failed: permissions, space, network, or a lost answer."""

    exit_code = 6
    code = "store"

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, arguments, *state = super().__reduce__()
        return (rebuild, (*arguments, self.errno), *state)

    @property
    def denied(self) -> bool:
        """Whether a right is missing (``errno`` says so, for object stores as well)."""
        return self.errno in _DENIED


class NotFoundError(StoreError):
    """The key, store or parent folder definitely does not exist."""

    code = "not_found"


class AbilityError(StoreError):
    """The storage cannot do what the transaction needs."""

    code = "ability"


class LockedError(ZapzError):
    """Another process is appending to the target: wait, or run again later."""

    exit_code = 7
    code = "locked"


class ConflictError(ZapzError):
    """The target changed under us; nothing of it was removed: run again."""

    exit_code = 8
    code = "conflict"


class JournalError(ZapzError):
    """A journal is damaged or from a newer zapz; nothing was touched."""

    exit_code = 9
    code = "journal"


class CancelledError(ZapzError):
    """The caller asked to stop: what was not committed has been rolled back."""

    exit_code = 130
    code = "cancelled"
