"""The faults of a request to a service, or of an operation on a file."""

from __future__ import annotations

from typing import Any, Literal

Fault = Literal["refused", "lost", "died"]
"""It is not carried out, and fails; it is carried out, and its answer is lost; the process dies at
it."""
FAULTS: tuple[Fault, ...] = ("refused", "lost", "died")
"""All faults."""


class Died(BaseException):
    """A process has died: nothing that it does afterwards has any effect."""


def nothing(_: Any) -> None:
    """Do nothing."""
