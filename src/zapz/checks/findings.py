"""What ``check`` finds: a value for each kind of damage, made from an error or by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zapz.errors import ZapzError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong with a dataset."""

    code: str
    """Kind: "metadata", "dimension", "label", "chunk", "unsupported", "store", "journal" and
    others, as the codes of errors."""
    path: str
    """Document, variable or chunk below the root; empty for the root."""
    what: str
    """What is wrong, in a few words."""
    expected: str = ""
    """What would be right."""
    found: str = ""
    """What is there instead."""
    hint: str = ""
    """What can be done."""
    remedies: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Settings with which it would be none, by their (dotted) names; ``hint`` says what each of
    them does."""

    def __str__(self) -> str:
        return str(self.as_error())

    def as_error(self) -> ZapzError:
        """Return an error that says the same."""
        return ZapzError(
            self.what,
            where=self.path,
            expected=self.expected,
            found=self.found,
            hint=self.hint,
            remedies=self.remedies,
        )


def finding_of(error: ZapzError, uri: str) -> Finding:
    """Return an error as something that was found in the dataset at ``uri``."""
    path = error.where.removeprefix(uri).lstrip("/, ")
    return Finding(
        code=error.code,
        path=path,
        what=error.what,
        expected=error.expected,
        found=error.found,
        hint=error.hint,
        remedies=error.remedies,
    )
