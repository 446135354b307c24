"""What commands print on terminals of 100 and of 40 columns, kept as text in ``kept``.

``ZAPZ_KEEP=1`` writes the files anew: look at what changed before it is committed. Paths, times and numbers of processes are put in one form.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from kit import pictured_cubes as cubes
from kit.command_line import run, run_encoded
from kit.stub_service import install
from kit.terminals import Terminal, redirect

import zapz
from zapz.testing import Died

KEPT = Path(__file__).parent / "kept"
WIDTHS = (100, 40)
LONG = 120
"""Characters of the folder's path at least: more than a line has, so that lines break in the same places whatever the path is."""


def info_of_daily(here: Path) -> list[list[object]]:
    cubes.with_gaps(here / "daily.zarr")
    return [["info", "daily.zarr"]]


def info_of_sharded(here: Path) -> list[list[object]]:
    cubes.sharded(here / "hourly.zarr")
    shutil.rmtree(here / "hourly.zarr" / "wind" / "c" / "0")
    return [["info", "--chunks", "hourly.zarr"]]


def info_without_labels(here: Path) -> list[list[object]]:
    cubes.without_labels(here / "plain.zarr")
    return [["info", "plain.zarr"]]


def info_of_a_crash(here: Path) -> list[list[object]]:
    crashed(here)
    return [["info", "daily.zarr"]]


def dry_run(here: Path) -> list[list[object]]:
    """Chunks that are copied, encoded, at the boundary, and missing; a gap; a slice that is there already."""
    cubes.daily(here / "cube.zarr", range(10))
    cubes.daily(here / "day9.zarr", [9])
    cubes.daily(here / "day10.zarr", [10])
    cubes.daily(here / "day11.zarr", [11])
    os.remove(here / "day11.zarr" / "sst" / "0.1.1")
    other = {"chunks": [1, 9, 18], "compressor": {"id": "blosc", "cname": "lz4"}}
    zapz.append(
        here / "day13.zarr",
        cubes.days([13]),
        **{**cubes.FORM, "variables": {"sst": {"encoding": other}, "time": {"encoding": cubes.TIME}}},
    )
    return [["append", "--dry-run", "cube.zarr", *(f"day{day}.zarr" for day in (9, 10, 11, 13))]]


def dry_run_of_many(here: Path) -> list[list[object]]:
    """A new target; rows that are alike are counted."""
    names = [f"day{day:02d}.zarr" for day in range(14)]
    for day, name in enumerate(names):
        cubes.daily(here / name, [day])
    return [["append", "--dry-run", "new.zarr", *names]]


def append(here: Path) -> list[list[object]]:
    for day in range(3):
        cubes.daily(here / f"day{day}.zarr", [day])
    return [["append", "cube.zarr", *(f"day{day}.zarr" for day in range(3))], ["append", "cube.zarr", "day2.zarr"]]


def check(here: Path) -> list[list[object]]:
    cubes.with_gaps(here / "daily.zarr")
    return [["check", "--chunks", "daily.zarr"]]


def crashed(here: Path) -> None:
    """Make a cube, and let an append to it die just after its decision."""

    def die(_: object) -> None:
        raise Died

    cubes.daily(here / "daily.zarr", range(3))
    cubes.daily(here / "day3.zarr", [3])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.getpid", lambda: 4194)  # a number of always as many digits
        patch.setattr("zapz.txn.local.transaction.Transaction.apply", die)
        patch.setattr("zapz.txn.local.transaction._undo_quietly", lambda *_: None)
        with pytest.raises(Died):
            zapz.append(here / "daily.zarr", here / "day3.zarr")


def recover(here: Path) -> list[list[object]]:
    crashed(here)
    return [["recover", "daily.zarr"], ["recover", "daily.zarr"]]


def demo(here: Path) -> list[list[object]]:
    return [["demo", "demo"]]


def serve(here: Path) -> list[list[object]]:
    """A double of the service says where it would serve."""
    public = ["--host", "0.0.0.0", "--port", 0, "--public"]
    return [["serve", "cube.zarr", "sst=s3://b/c.zarr"], ["serve", *public, "cube.zarr"], ["help", "serve"]]


CASES = (
    info_of_daily,
    info_of_sharded,
    info_without_labels,
    info_of_a_crash,
    dry_run,
    dry_run_of_many,
    append,
    check,
    recover,
    demo,
    serve,
)


def normalised(text: str, here: Path) -> str:
    """Return what was printed with what differs from run to run put in one form."""
    text = text.replace(f"{here}/", "/here/").replace(str(here), "/here")
    text = re.sub(r"\d+\.\d(\s+)s\b", r"0.0\1s", text)
    text = re.sub(r"\b\d[\d,.]*(\s+)(B|kB|MB)\b", r"0\1\2", text)
    text = re.sub(r"process \d+", "process 1", text)
    text = re.sub(r"\b\d\d:\d\d\)", "00:00)", text)
    text = re.sub(r"(?<![.\w])[0-9a-f]{16}\b", "0" * 16, text)  # an id; not the decimals of a number
    text = re.sub(r"Read it:  \S+", "Read it:  python", text)
    return "\n".join(line.rstrip() for line in text.split("\n"))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_output_is_as_kept(
    case: Callable[[Path], list[list[object]]], width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / ("h" * max(1, LONG - len(str(tmp_path))))
    here.mkdir()
    monkeypatch.chdir(here)
    for name, value in (("TERM", "xterm"), ("NO_COLOR", "1"), ("COLUMNS", str(width))):
        monkeypatch.setenv(name, value)
    install(monkeypatch)
    printed = []
    for words in case(here):
        screen = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr("contextlib.redirect_stdout", redirect("stdout", screen))
            _, _, err = run(*words)
        printed.append(f"$ zapz {' '.join(map(str, words))}\n{screen.getvalue()}{err}")
    found = normalised("\n".join(printed), here)
    if case is not demo:  # it shows commands, which are not broken
        lines = [line for line in found.split("\n") if not line.startswith(("$ ", "  zapz ")) and "/here" not in line]
        assert max(len(line) for line in lines if len(line.split()) > 1) <= width
    file = KEPT / f"{case.__name__}.{width}.txt"
    if os.environ.get("ZAPZ_KEEP"):
        file.write_text(found, encoding="utf-8")
    assert found == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("environment", "colours"),
    [
        ({}, "\x1b[38;5;"),
        ({"COLORTERM": "truecolor"}, "\x1b[38;2;"),
        ({"NO_COLOR": "1"}, ""),
        ({"TERM": "dumb"}, ""),
        ({"TERM": ""}, ""),
    ],
    ids=str,
)
def test_colours(environment: dict[str, str], colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only on a terminal that has them; the text is the same. A pipe has none."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", "COLUMNS": "100", **environment}.items():
        monkeypatch.setenv(name, value)
    screen = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr("contextlib.redirect_stdout", redirect("stdout", screen))
        assert run("demo", "demo")[0] == 0
    written = screen.getvalue()
    assert ("\x1b[" in written) is bool(colours)
    assert colours in written
    assert "▀" in written if colours else "█" in written
    assert "\x1b" not in run("info", "demo/cube.zarr")[1]


def test_a_pipe_has_lines_of_any_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the terminal is like changes nothing there."""
    monkeypatch.chdir(tmp_path)
    cubes.sharded(tmp_path / "hourly.zarr")
    found = []
    for columns, term in (("40", "xterm"), ("200", "dumb")):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("TERM", term)
        found.append(run("info", "hourly.zarr")[1])
    assert found[0] == found[1]
    (row,) = [line for line in found[0].splitlines() if line.startswith("t2m ")]
    assert "10×9×18 in shards 100×18×36" in row
    assert "int16, missing -32768, scale 0.01, offset 273.15" in row or "fill -32768, scale 0.01, offset 273.15" in row


def test_an_encoding_without_symbols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cubes.with_gaps(tmp_path / "daily.zarr")
    cubes.daily(tmp_path / "next.zarr", [302])
    for words in (["info", "daily.zarr"], ["append", "--dry-run", "daily.zarr", "next.zarr"], ["demo", "demo"]):
        code, out, err = run_encoded(*words, encoding="ascii")
        assert (code, err) == (0, "")
        assert "\\u" not in out
