"""Signals that end a run: none is lost, wherever the main thread is when it comes."""

from __future__ import annotations

import signal
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from zapz import interrupts

EARLY = """
import signal
from zapz import __main__
from zapz.cli import commands

class Thing:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

before = commands.append_slices

def begin(options):
    Thing()
    before(options)

commands.append_slices = begin
__main__.main()
"""


class Thing:
    """Something with a finalizer that a signal interrupts."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)


def interrupted(how: str) -> None:
    """Let a signal come where Python swallows what is raised."""
    if how == "finalizer":
        Thing()
    else:
        thing = type("Thing", (), {})()
        kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
        del thing
        assert kept() is None


@pytest.mark.parametrize("how", ["finalizer", "weak reference"])
def test_what_python_swallows_ends_the_run_at_the_next_look(
    how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", interrupts.keep_swallowed)
    with interrupts.handled():
        interrupted(how)
        with pytest.raises(interrupts.Stopped) as stopped:
            interrupts.stop_if_held()
        interrupts.stop_if_held()
    assert stopped.value.number == signal.SIGTERM
    assert capsys.readouterr().err == ""


def test_other_errors_that_python_swallows_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("in a finalizer")

    monkeypatch.setattr(sys, "unraisablehook", interrupts.keep_swallowed)
    Broken()
    assert "ValueError: in a finalizer" in capsys.readouterr().err


def test_a_signal_swallowed_before_the_handlers_are_there_ends_the_command(tmp_path: Path) -> None:
    words = [sys.executable, "-c", EARLY, "append", f"{tmp_path}/cube.zarr", f"{tmp_path}/none.zarr"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130, done
    assert "Traceback" not in done.stderr
    assert "Interrupted" in done.stderr
