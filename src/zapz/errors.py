"""Every error that zapz raises, grouped by what the caller does about it.

A message reads: *what, where: expected X, found Y.* A hint follows: what to do next. The parts are
also fields, and every error pickles. An embedding program (or another process) can therefore handle
an error without parsing text. The wording of a message may change. The class, the exit code and
``code`` never change. Codes are only added (``docs/errors.md`` lists them)::

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
from typing import Any, ClassVar, Self

import zapz  # for annotations alone: its names are loaded when the types are looked up

_DENIED = frozenset((errno.EACCES, errno.EPERM))


def printable(text: str) -> str:
    """Return text that can be encoded as UTF-8, for logs.

    File names that are not UTF-8 are escaped. The fields of errors keep them unchanged.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


class ZapzError(Exception):
    """Base of all errors of zapz.

    Attributes:
        what: What went wrong, in a few words.
        where: The slice, variable, key or file concerned; empty if there is no such place.
        expected: What would have been correct; may be empty.
        found: What was found instead; may be empty.
        hint: What the user can do now; may be empty.
        remedies: Settings that avoid the error, by their (dotted) names. ``hint`` says what each of
            them does. ``zapz.append(target, slices, **error.remedies)`` accepts them unchanged.
        report: A ``Report`` of what ``zapz.append`` had done before the error. None for all other
            functions, and for errors raised before the run started, such as a wrong setting.
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
        """Describe an error; ``{NAME}`` in ``hint`` becomes remedy NAME as a keyword argument."""
        super().__init__(what)
        self.what: str = what
        self.where: str = where
        self.expected: str = expected
        self.found: str = found
        self.advised(hint, remedies)
        self.report: zapz.Report | None = None

    def __str__(self) -> str:
        return self.message(self.hint)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def message(self, hint: str) -> str:
        """Return the whole message with another hint, such as one that names command-line flags."""
        text = f"{self.what}, {self.where}" if self.where else self.what
        facts = [f"{name} {value}" for name, value in (("expected", self.expected), ("found", self.found)) if value]
        if facts:
            text = f"{text}: {', '.join(facts)}"
        return f"{text}. {hint}" if hint else text

    def at(self, where: str) -> Self:
        """Return this error with ``where`` put before the place that it already names."""
        self.where = f"{where}, {self.where}" if self.where else where
        return self

    def advised(self, hint: str, remedies: Mapping[str, object] | None = None) -> Self:
        """Return this error with another hint; ``{NAME}`` in it becomes remedy NAME."""
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
    """Return a setting as a Python keyword argument.

    Examples: ``static=0.01``, ``variables={'sst': {'encoding': {'dtype': 'int16'}}}``.
    """
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
    """A setting is unknown, has a wrong type, or contradicts another: correct the configuration."""

    exit_code = 2
    code = "config"


class SliceError(ZapzError, ValueError):
    """This slice cannot be appended to this target: correct it, change a setting, or skip it."""

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
    """The data may be valid, but zapz cannot append to them, or from them, without risk."""

    code = "unsupported"


class ChunkError(ZapzError):
    """A chunk cannot be decoded or encoded, or its length is wrong."""

    exit_code = 5
    code = "chunk"


class StoreError(ZapzError, OSError):
    """Storage failed: permissions, space, network, or a lost response."""

    exit_code = 6
    code = "store"

    def __reduce__(self) -> tuple[Any, ...]:
        rebuild, arguments, *state = super().__reduce__()
        return (rebuild, (*arguments, self.errno), *state)

    @property
    def denied(self) -> bool:
        """Whether a permission is missing; ``errno`` reports it, for object stores as well."""
        return self.errno in _DENIED


class NotFoundError(StoreError):
    """The key, store or parent folder certainly does not exist."""

    code = "not_found"


class AbilityError(StoreError):
    """The storage lacks an operation that the transaction needs."""

    code = "ability"


class LockedError(ZapzError):
    """Another process is appending to the target: wait, or run again later."""

    exit_code = 7
    code = "locked"


class ConflictError(ZapzError):
    """Another program changed the target during the append; its changes were kept: run again."""

    exit_code = 8
    code = "conflict"


class JournalError(ZapzError):
    """A journal is damaged or from a newer zapz version; nothing was changed."""

    exit_code = 9
    code = "journal"


class CancelledError(ZapzError):
    """The caller cancelled the run: uncommitted changes have been rolled back."""

    exit_code = 130
    code = "cancelled"
