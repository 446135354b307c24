"""Processes that hold the lock of a target."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.faulty_runs import SOURCE

_HOLD = """
import sys, time
from zapz.storage.open import open_store
from zapz.storage.waiting import Wait
with open_store(sys.argv[1]).hold(".zapz/head", Wait()):
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held(target: Path) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()
