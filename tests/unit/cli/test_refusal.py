"""How an error is said: laid out on a terminal, one line elsewhere; flags are named, and Typer's errors are said like all others."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from kit.command_line import run
from kit.small_days import days
from kit.terminals import Terminal, redirect, seen

import zapz
from zapz.cli.demo import write_slice
from zapz.cli.refusal import said, slice_in
from zapz.cli.words import fitting


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal at standard error, of 60 columns, without colours."""
    for name, value in (("TERM", "xterm"), ("NO_COLOR", "1"), ("COLUMNS", "60")):
        monkeypatch.setenv(name, value)
    made = Terminal()
    monkeypatch.setattr("contextlib.redirect_stderr", redirect("stderr", made))
    return made


def test_a_refusal_on_a_terminal(tmp_path: Path, screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    days(Path("in"), 2)
    write_slice(Path("in/late.zarr"), 1, change=0.5)
    assert run("append", "cube.zarr", "in/day0.zarr", "in/day1.zarr", "in/late.zarr")[0] == 3
    lines = seen(screen.getvalue())
    labels = [line[:12].strip() for line in lines[3:] if line.startswith("  ") and line[2] != " "]
    assert labels == ["slice", "variable", "expected", "found", "do"]
    assert lines[0] == "error: the slice's labels are already in the target, with"
    assert lines[1:3] == ["  other values", "  (exit 3: the slice cannot be appended)"]
    assert lines[3:5] == ["  slice     in/late.zarr", "  variable  sst"]
    assert lines[-3:] == [
        "2 of 3 slices are in the target. Stopped at late.zarr.",
        "Slices that are in the target are not appended again.",
        "",
    ]
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_layout_is_as_wide_as_the_terminal(width: int, screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is one word, as a path that may be copied, is wider."""
    monkeypatch.setenv("COLUMNS", str(width))
    path = "/a/very/long/path/that/does/not/fit/into/forty/columns.zarr"
    error = zapz.VariableError("a static variable differs", where=f"{path}, lat", expected="1 " * 50, found="2", hint='ds.sortby("lat")')  # fmt: skip
    error.add_note("In the slice source a:b.")
    lines = said(error, [path], screen)
    assert all(len(line) <= width for line in lines if path not in line)
    assert f"  slice     {path}" in lines
    assert lines[-1] == "  note      In the slice source a:b."
    assert lines[-2] == '  do        ds.sortby("lat")'
    code = "(exit 3: the slice cannot be appended)"
    assert (lines[0].endswith(code), len(lines[0]) == width) == ((True, True) if width > 40 else (False, False))


def test_colours_are_for_terminals_that_want_them(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    error = zapz.StoreError("no space left")
    assert said(error, [], screen)[0].startswith("error: no space left")
    monkeypatch.delenv("NO_COLOR")
    coloured = said(error, [], screen)[0]
    assert coloured.startswith("\x1b[1;31merror:\x1b[0m no space left")
    monkeypatch.setenv("TERM", "dumb")
    assert said(error, [], screen)[0].startswith("error: no space left")


def test_elsewhere_it_is_one_line(tmp_path: Path) -> None:
    code, _, err = run("append", tmp_path / "cube.zarr", tmp_path / "none.zarr")
    assert (code, err) == (6, f"zapz: no such slice, {tmp_path / 'none.zarr'}. Check the path.\n")
    error = zapz.SliceError("no", where="x")
    error.add_note("a note")
    assert said(error, [], io.StringIO(), "1 of 2") == ["zapz: no, x", "      a note", "1 of 2"]


def test_a_stream_that_was_closed_before_the_start(tmp_path: Path) -> None:
    """Python has None in its place."""
    assert said(zapz.SliceError("no"), [], None) == ["zapz: no"]
    assert fitting("2 slices · d\udce9", None) == "2 slices · d\\udce9"
    script = f"{shlex.quote(sys.executable)} -m zapz append {tmp_path / 'cube.zarr'} {tmp_path / 'a.zarr'} {tmp_path / 'b.zarr'}"
    assert subprocess.run(["sh", "-c", f"{script} >&- 2>&-"], check=False).returncode == 6


def test_what_an_error_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    assert slice_in(f"{here}/a.zarr, lat", ["b.zarr", "a.zarr"]) == ("a.zarr", ", lat")
    assert slice_in(f"{here}/a.zarr/sst/0.0", ["a.zarr"]) == ("a.zarr", "/sst/0.0")
    assert slice_in("a, b.zarr, lat", ["a, b.zarr"]) == ("a, b.zarr", ", lat")
    assert slice_in("s3://in/a.zarr", ["s3://in/a.zarr"]) == ("s3://in/a.zarr", "")
    assert slice_in(f"{here}/a.zarr2, lat", ["a.zarr"]) is None
    assert slice_in("cube.zarr", []) is None


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["append", "cube", "a", "--workers", "0"], "--workers"),
        (["append", "cube", "a", "--wait", "-1"], "--wait"),
        (["append", "cube", "a", "--lock-wait=-1"], "--lock-wait"),
        (["append", "cube", "a", "--on-existing", "overwrite"], "--on-existing"),
        (["append", "cube", "a", "--append-dim", ""], "--append-dim"),
        (["recover", "cube", "--lock-wait=-1"], "--lock-wait"),
        (["append", "cube", "a", "--label", "name:("], "--label"),
        (["append", "cube", "a", "--label", "time", "--label-format", "%m%d"], "--label-format"),
        (["info", "cube", "--journal", "behind"], "--journal"),
    ],
)
def test_a_wrong_flag_is_named(words: list[str], where: str) -> None:
    code, _, err = run(*words)
    assert (code, f", {where}: expected" in err, "argument" in err) == (2, True, False)


@pytest.mark.parametrize(
    ("words", "said_"),
    [
        (
            ["append", "cube", "--workers", "many"],
            "not a number, --workers: expected an integer. See `zapz append --help`.",
        ),
        (["append", "cube", "--wait", "long"], "not a number, --wait: expected a number. See `zapz append --help`."),
        (["append", "--nonsense"], "no such option: --nonsense. See `zapz append --help`."),
        (
            ["append", "x", "--dry-runn"],
            "no such option: --dry-runn. Did you mean --dry-run? See `zapz append --help`.",
        ),
        (["appen", "cube", "a"], "no such command 'appen'. Did you mean 'append', 'zappend'? See `zapz --help`."),
        (["append", "x", "--wait"], "option '--wait' requires an argument. See `zapz append --help`."),
        (["nonsense"], "no such command 'nonsense'. See `zapz --help`."),
        (["info"], "missing argument 'TARGET'. See `zapz info --help`."),
        (["info", "a", "b"], "got unexpected extra argument(s) (b). See `zapz info --help`."),
    ],
)
def test_errors_of_usage_are_said_like_all_others(words: list[str], said_: str) -> None:
    assert run(*words) == (2, "", f"zapz: {said_}\n")


def test_errors_of_usage_as_json() -> None:
    code, out, _ = run("append", "cube", "--workers", "many", "--json")
    error = json.loads(out)["error"]
    assert (code, error["code"], error["where"], error["exit_code"]) == (2, "config", "--workers", 2)


def test_help_and_version_are_what_they_were() -> None:
    assert run("--version") == (0, f"zapz {zapz.__version__}\n", "")
    code, out, err = run("append", "--help")
    assert (code, err, out.startswith("Usage: zapz append ")) == (0, "", True)
    code, out, err = run()
    assert code == 2
    assert "Usage: zapz " in out + err


def test_an_error_of_many_lines_is_one_line_off_a_terminal() -> None:
    error = zapz.SliceError("the slice source failed", found="ValueError: no engine:\n\n  install one\nof these")
    assert said(error, [], io.StringIO()) == [
        "zapz: the slice source failed: found ValueError: no engine: install one of these"
    ]
