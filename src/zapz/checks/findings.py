"""What ``check`` reports: one value per problem, created from an error or directly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zapz.errors import ZapzError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A problem of a dataset."""

    code: str
    """The same codes as those of errors: "metadata", "dimension", "label", "chunk", "unsupported",
    "store", "journal" and others."""
    path: str
    """Document, variable or chunk below the root; empty for the root."""
    what: str
    """What is wrong, in a few words."""
    expected: str = ""
    """What would be correct; may be empty."""
    found: str = ""
    """What was found instead; may be empty."""
    hint: str = ""
    """What the user can do; may be empty."""
    remedies: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Settings with which this is not a problem, by their (dotted) names; ``hint`` says what each
    of them does."""

    def __str__(self) -> str:
        return str(self.as_error())

    def as_error(self) -> ZapzError:
        """Return an error with the same message."""
        return ZapzError(
            self.what,
            where=self.path,
            expected=self.expected,
            found=self.found,
            hint=self.hint,
            remedies=self.remedies,
        )


def finding_of(error: ZapzError, uri: str) -> Finding:
    """Return an error as a finding about the dataset at ``uri``."""
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
