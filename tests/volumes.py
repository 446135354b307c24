"""How many faults, states and schedules a test goes through: few by default, the figures of ``.ci/run``, or those of a long run."""

import os

import pytest

VOLUME = os.environ.get("ZAPZ_VOLUME", "ci")
"""``ci`` or ``long``; only tests marked ``volume`` look at it."""

volume = pytest.mark.volume
"""Marks a test that is left out unless asked for with ``-m volume``."""


def amount(ci: int, long: int) -> int:
    """Return how many cases a test marked ``volume`` goes through."""
    if VOLUME not in {"ci", "long"}:
        raise ValueError(f"ZAPZ_VOLUME is {VOLUME!r}: expected 'ci' or 'long'")
    return long if VOLUME == "long" else ci
