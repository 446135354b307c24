"""What can become of a request to a service, or of an operation on a file."""

from __future__ import annotations

from typing import Any, Literal

Fault = Literal["refused", "lost", "died"]
"""It is not carried out and fails; it is carried out and its answer is lost; or the process dies
with it."""
FAULTS: tuple[Fault, ...] = ("refused", "lost", "died")
"""All of them."""


class Died(BaseException):
    """What is left of a process that died: nothing that it does afterwards has any effect."""


def nothing(_: Any) -> None:
    """Do nothing."""
