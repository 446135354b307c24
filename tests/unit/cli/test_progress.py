"""How far a run is, in one line on a terminal; what it waits for, elsewhere."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from kit.command_line import run
from kit.small_days import days
from kit.terminals import CLEAR, Terminal, drawn, redirect, seen

import zapz
from zapz.cli import progress
from zapz.cli.progress import Bar
from zapz.cli.terminal import StatusLine


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal without colours."""
    for name, value in (("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    return Terminal()


def event(phase: Any = "copying", **more: Any) -> zapz.Progress:
    given = {"slice": "/in/2024-01-12.zarr", "number": 12, "chunks": 8120, "total": 20000, "bytes": 820_000_000}
    return zapz.Progress(phase=phase, **{**given, **more})


def bar_at(screen: Terminal, thirteenth: zapz.Progress, width: int = 100, slices: int | None = 300) -> str:
    """Return the line 20 seconds into a run, at its 13th slice."""
    bar = Bar(slices, screen)
    started = bar._seen[0][0]
    for _ in range(12):
        bar.slice_done(1_000_000)
    bar.tell(thirteenth)
    return bar.text(started + 20, width)


def test_the_line_of_a_run(screen: Terminal) -> None:
    whole = "12/300 slices  2024-01-12.zarr  copying 8,120/20,000  832.0 MB  41.6 MB/s  0:07:44"
    assert bar_at(screen, event()) == whole
    assert bar_at(screen, event(), 110) == f"━╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  {whole}"
    assert bar_at(screen, event("syncing", chunks=0, total=0)) == whole.replace("copying 8,120/20,000", "syncing").replace("0:07:44", "0:07:22")  # fmt: skip
    waiting = event("waiting", chunks=0, total=0, bytes=0, wait=3.0)
    assert bar_at(screen, waiting).startswith("12/300 slices  waiting for 2024-01-12.zarr (up to 3 s) …  12.0 MB")
    assert bar_at(screen, event(), slices=None) == whole.replace("/300", "").removesuffix("  0:07:44")


def test_the_line_while_slices_are_looked_at(screen: Terminal) -> None:
    """None is done yet; the first one's turn ends it."""
    bar = Bar(5000, screen)
    started = bar._seen[0][0]
    bar.tell(event("looking", number=1233, slice="in/2024-05-17.zarr", slices=5000, chunks=0, total=0, bytes=0))
    assert bar.text(started + 2, 100) == "0/5,000 slices  2024-05-17.zarr  inspecting slice 1,234"
    bar.tell(event("opening", number=0, slice="in/2021-01-01.zarr", chunks=0, total=0, bytes=0))
    assert bar.text(started + 2, 100) == "0/5,000 slices  2021-01-01.zarr  opening"


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (80, "12/300 slices  2024-01-12.zarr  copying 8,120/20,000  41.6 MB/s  0:07:44"),
        (60, "12/300 slices  …24-01-12.zarr  copying 8,120/20,000  0:07:44"),
        (50, "12/300 slices  copying 8,120/20,000  0:07:44"),
        (40, "12/300 slices  copying 8,120/20,000"),
        (30, "copying 8,120/20,000"),
        (12, "copying 8,1…"),
    ],
)
def test_the_line_is_as_wide_as_the_terminal(width: int, line: str, screen: Terminal) -> None:
    assert bar_at(screen, event(), width) == line
    assert len(line) <= width


def test_wide_characters_take_two_columns(screen: Terminal) -> None:
    assert (
        bar_at(screen, event(slice="海面水温.zarr"), 57) == "12/300 slices  …水温.zarr  copying 8,120/20,000  0:07:44"
    )


def test_the_lines_characters_are_those_of_the_terminal(screen: Terminal) -> None:
    screen.encoding = "ascii"
    assert bar_at(screen, event(slice="\x1b[2J\udce9.zarr"), 90).startswith("12/300 slices  ?[2J?.zarr  copying")
    assert bar_at(screen, event(), 120).startswith("=---------------  12/300")


def test_colours(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR")
    assert bar_at(screen, event(), 120).startswith("\x1b[32m━\x1b[0m╌╌╌╌╌╌╌╌╌╌╌╌╌╌╌  12/300")


def test_a_slice_that_is_opened_ahead_is_shown_when_it_is_its_turn(screen: Terminal) -> None:
    bar = Bar(2, screen)
    bar.tell(event("copying", number=0, slice="a"))
    bar.tell(event("computing", number=1, slice="b", chunks=0, total=0))
    assert "a  copying" in bar.text(time.monotonic(), 100)
    bar.slice_done(0)
    assert "b  computing" in bar.text(time.monotonic(), 100)


@pytest.fixture
def slowly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Arguments of an append of 3 slices, each of which takes its time, and prints; the line comes soon."""
    monkeypatch.setattr(progress, "_LATER", 0.05)
    monkeypatch.setattr(progress, "_TICK", 0.01)
    monkeypatch.syspath_prepend(tmp_path)
    source = (
        "import time\ndef slowly(path):\n    time.sleep(0.1); print('in', flush=True, end=' ')\n"
        "    time.sleep(0.05); print('time'); time.sleep(0.05); return path\n"
    )
    (tmp_path / "takes_time.py").write_text(source)
    (tmp_path / "c.toml").write_text('slice_source = "takes_time:slowly"\n')
    return ["append", "-c", str(tmp_path / "c.toml"), str(tmp_path / "cube.zarr"), *map(str, days(tmp_path, 3))]


def on_terminal(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Run the command line with one terminal for both streams; return what was written to it."""
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")  # whole lines
    monkeypatch.setattr("contextlib.redirect_stdout", redirect("stdout", screen))
    monkeypatch.setattr("contextlib.redirect_stderr", redirect("stderr", screen))
    code, *_ = run(*words)
    return code, screen.getvalue()


def test_one_line_for_the_run(slowly: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes although no slice takes long, nothing tears it or is torn by it, and it goes."""
    code, written = on_terminal(slowly, monkeypatch)
    assert code == 0
    lines = drawn(written)
    assert any("1/3 slices  day1.zarr  opening" in line for line in lines)
    assert any("2/3 slices  day2.zarr" in line for line in lines)
    stay = seen(written)
    assert stay.count("in time") == 3
    assert sum(": appended 1 step: " in line for line in stay) == 3
    assert not any("slices  " in line for line in stay)
    assert stay[-1] == ""


def test_json_leaves_the_line_on_standard_error(slowly: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("contextlib.redirect_stderr", redirect("stderr", screen))
    code, out, _ = run(*slowly, "--json")
    assert code == 0
    assert json.loads(out[out.index("{") :])["appended"] == 3
    assert CLEAR not in out
    assert any("/3 slices" in line for line in drawn(screen.getvalue()))
    assert seen(screen.getvalue()) == [""]


@pytest.mark.parametrize("how", ["quiet", "TERM=dumb", "no terminal"])
def test_no_line(how: str, slowly: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "no terminal":
        monkeypatch.setenv("TERM", "xterm")
        assert run(*slowly)[2] == ""
        return
    screen = Terminal()
    monkeypatch.setenv("TERM", how.rpartition("=")[2] if "=" in how else "xterm")
    monkeypatch.setattr("contextlib.redirect_stderr", redirect("stderr", screen))
    assert run(*slowly, *(["-q"] if how == "quiet" else []))[0] == 0
    assert screen.getvalue() == ""


def test_the_line_is_gone_before_an_error_is_said(slowly: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    code, written = on_terminal([*slowly[:-1], "no.zarr"], monkeypatch)
    assert code == 6
    assert drawn(written)
    assert any("error:" in line and "no such slice  " in line for line in seen(written))


def test_a_forked_process_prints_although_the_line_was_being_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is there to release the guard that the drawing thread held."""
    line, screen = StatusLine(Terminal()), Terminal()
    holding = threading.Thread(target=line._guard.acquire)
    holding.start()
    holding.join()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    printing = threading.Thread(target=line.print_to, args=(screen, "x\n"), daemon=True)
    printing.start()
    printing.join(20)
    assert screen.getvalue() == "x\n"


def test_a_real_terminal(tmp_path: Path) -> None:
    """Its width is asked for, and standard output is not touched by the line."""
    paths = days(tmp_path, 2)
    code = (
        "import time, sys, zapz.cli.progress as p\n"
        "p._LATER = p._TICK = 0.01\n"
        "from zapz.operations.append_slice import SliceAppender\n"
        "real = SliceAppender.append\n"
        "SliceAppender.append = lambda self, *given: time.sleep(0.3) or real(self, *given)\n"
        f"sys.argv = ['zapz', 'append', {str(tmp_path / 'cube.zarr')!r}, *{list(map(str, paths))!r}]\n"
        "from zapz.__main__ import main\nmain()\n"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": ""}
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, env=environment
    ) as child:
        os.close(theirs)
        with contextlib.suppress(OSError):  # Linux says EIO when the other end is closed
            while part := os.read(ours, 65536):  # a terminal gives 4,096 bytes at a time, and holds no more
                shown += part
        out, _ = child.communicate(timeout=60)
    os.close(ours)
    assert child.returncode == 0
    assert b"\r" not in out
    assert "1/2 slices" in shown.decode()


@pytest.mark.parametrize("more", [[], ["--json"], ["-q"]])
def test_a_wait_is_said_where_there_is_no_terminal(more: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Once, and only if it takes a while."""
    monkeypatch.setattr(progress, "_LATER", 0.1)
    there = days(tmp_path, 1)[0]
    code, _, err = run("append", tmp_path / "cube.zarr", there, tmp_path / "late.zarr", "--wait", "0.6", *more)
    assert code == 6
    said = [] if more == ["-q"] else ["waiting for late.zarr (up to 0.6 s) …"]
    assert [line for line in err.splitlines() if "waiting" in line] == said


def test_a_short_wait_is_not_said(tmp_path: Path) -> None:
    code, _, err = run("append", tmp_path / "cube.zarr", tmp_path / "late.zarr", "--wait", "0.3")
    assert code == 6
    assert "waiting" not in err
