"""How many faults, states and schedules a test goes through: few by default, the figures of ``.ci/run``, or those of a long run."""

import os

import pytest

VOLUME = os.environ.get("ZAPZ_VOLUME", "full")
"""``brief``, ``full`` or ``long``; only tests marked ``volume`` look at it. Enumerations of what zapz does are whole in each of them;
``brief`` leaves some starts of the model of turns to the others."""

volume = pytest.mark.volume
"""Marks a test that is left out unless asked for with ``-m volume``."""


def amount(ci: int, long: int) -> int:
    """Return how many random cases a test marked ``volume`` goes through: ``ci``, a quarter of it in brief, or ``long``."""
    if VOLUME not in {"brief", "full", "long"}:
        raise ValueError(f"ZAPZ_VOLUME is {VOLUME!r}: expected 'brief', 'full' or 'long'")
    return long if VOLUME == "long" else ci if VOLUME == "full" else max(1, ci // 4)
