"""What cannot be printed: a closed pipe is no failure, a full disk loses what was printed and no more, and exit codes stay what they are."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from kit.command_line import run_encoded, run_into

import zapz
from zapz.__main__ import main
from zapz.cli.demo import write_slice


class Refusing(io.RawIOBase):
    """A file that takes nothing."""

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        return True

    def write(self, _: object) -> int:
        raise OSError(self._number, os.strerror(self._number))


def run_refused(number: int, *words: object) -> tuple[int, str]:
    """Run the command line where standard output refuses; return exit code and errors."""
    out = io.TextIOWrapper(io.BufferedWriter(Refusing(number), 100), encoding="utf-8")
    code, err = run_into(out, *words)
    with contextlib.suppress(OSError):
        out.close()
    return code, err


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    write_slice(tmp_path / "day0.zarr", 0)
    write_slice(tmp_path / "day1.zarr", 1)
    zapz.append(tmp_path / "cube.zarr", tmp_path / "day0.zarr")
    return tmp_path / "cube.zarr"


TELLING = ["info CUBE", "check CUBE", "check --chunks --json CUBE", "info --json CUBE", "config", "config --format json", "append --dry-run CUBE DAY", "append --help", "append -h", "--version"]  # fmt: skip
WORKING = ["append CUBE DAY", "append --json CUBE DAY", "recover CUBE", "recover --json CUBE", "unlock CUBE", "vacuum CUBE", "demo NEW"]  # fmt: skip
FAILING = [("append CUBE NEW", 6), ("append --json CUBE NEW", 6), ("info --json NEW", 6), ("config --format xml", 2)]


def _words(line: str, cube: Path) -> list[object]:
    names = {"CUBE": cube, "DAY": cube.with_name("day1.zarr"), "NEW": cube.with_name("new")}
    return [names.get(word, word) for word in line.split()]


def test_what_an_encoding_lacks_is_escaped(cube: Path) -> None:
    """A check has a character that Latin-1 lacks; a description has ASCII in its place."""
    zapz.append(cube.with_name("c.zarr"), {"time": (["time"], np.flatnonzero(np.arange(40) % 5))})
    code, out, err = run_encoded("check", cube.with_name("c.zarr"), encoding="latin-1")
    assert (code, err) == (0, "")
    assert ", \\u2026\n" in out
    code, out, err = run_encoded("info", cube.with_name("c.zarr"), encoding="latin-1")
    assert (code, err) == (0, "")
    assert out.isascii()
    assert "1 -> 39   32 steps, every 1, 7 missing in 7 gaps" in out
    assert "\N{HORIZONTAL ELLIPSIS}" in run_encoded("check", cube.with_name("c.zarr"))[1]


@pytest.mark.parametrize("line", [*TELLING, *WORKING])
def test_a_reader_that_closes_the_pipe_is_no_failure(cube: Path, line: str) -> None:
    assert run_refused(errno.EPIPE, *_words(line, cube)) == (0, "")
    assert zapz.info(cube).dims["time"] == (2 if line.startswith("append") and line in WORKING else 1)


@pytest.mark.parametrize("line", [*TELLING, *WORKING])
def test_a_full_disk_loses_what_is_printed_and_no_more(cube: Path, line: str) -> None:
    """It ends with 6 if printing is all that the command is for."""
    code, err = run_refused(errno.ENOSPC, *_words(line, cube))
    assert code == (6 if line in TELLING else 0)
    assert err.startswith("zapz: cannot print, standard output: found no space left on device.")
    assert err.count("\n") == 1
    assert ("The command itself succeeded." in err) is (line in WORKING)
    assert zapz.info(cube).dims["time"] == (2 if line.startswith("append") and line in WORKING else 1)


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
@pytest.mark.parametrize(("line", "exit_code"), FAILING)
def test_an_error_stays_what_it_is(cube: Path, line: str, exit_code: int, number: int) -> None:
    code, err = run_refused(number, *_words(line, cube))
    assert code == exit_code
    assert "Traceback" not in err
    assert err.startswith("zapz: ")
    assert "cannot print" not in err


def test_errors_that_cannot_be_printed_have_their_exit_codes(cube: Path) -> None:
    refusing = io.TextIOWrapper(io.BufferedWriter(Refusing(errno.ENOSPC), 100), encoding="utf-8")
    with (
        mock.patch.object(sys, "argv", ["zapz", "append", str(cube), "nix"]),
        contextlib.redirect_stderr(refusing),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    assert ended.value.code == 6
    with contextlib.suppress(OSError):
        refusing.close()


def test_where_standard_error_is_closed_nothing_of_it_is_in_the_output(cube: Path) -> None:
    """JSON stays JSON."""
    run = ["zapz", "append", "--json", str(cube), "nix"]
    command = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", *run]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 6
    assert json.loads(done.stdout)["error"]["code"] == "not_found"


@pytest.mark.parametrize(("words", "exit_code"), [(["config"], 6), (["append", "cube.zarr", "day1.zarr"], 0)])
def test_a_full_device(cube: Path, words: list[str], exit_code: int) -> None:
    """To the end of the process: what is buffered is not tried again."""
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    command = [sys.executable, "-m", "zapz", *words]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, cwd=cube.parent, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == exit_code
    assert done.stderr.startswith("zapz: cannot print")
    assert done.stderr.count("\n") == 1


def test_a_pipe_that_is_closed(cube: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "zapz", "config"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
