"""Programs that use zapz, as type checkers see them: a right one is right and knows all types, a wrong call is found.

The programs are in ``kit/typed``. Each checker reads all of them in one run, which takes some seconds.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from kit import TESTS

import zapz

SOURCE = Path(zapz.__file__).parent.parent
PROGRAMS = TESTS / "kit" / "typed"
MYPY = """
[mypy]
strict = true
follow_imports = silent
[mypy-kit.typed.client]
disallow_any_expr = true
disallow_any_explicit = true
disallow_any_decorated = true
disallow_any_unimported = true
[mypy-fsspec.*,h5py.*,numcodecs.*]
ignore_missing_imports = true
"""
"""Of the client alone no expression may be of any type: the others use what has no types."""
PYRIGHT = {
    "include": [str(PROGRAMS)],
    "extraPaths": [str(SOURCE)],
    "pythonVersion": "3.11",
    "typeCheckingMode": "standard",
    "reportUnnecessaryComparison": "error",
    "reportUnusedExpression": "none",
}
"""The client asks for more by itself, in its first line."""
WRONG = {
    number: line
    for number, line in enumerate((PROGRAMS / "wrong.py").read_text(encoding="utf-8").splitlines(), 1)
    if "  # " in line
}
Found = dict[str, dict[int, str]]
"""What was found, by line, in each program."""


def checked_by_mypy(folder: Path) -> Found:
    config = folder / "mypy.ini"
    config.write_text(MYPY, encoding="utf-8")
    words = ["--config-file", str(config), "--cache-dir", str(folder / "cache"), "--output", "json"]
    out = run("mypy", *words, *map(str, sorted(PROGRAMS.glob("*.py"))))
    found: Found = {}
    for line in out.splitlines():
        each = json.loads(line)
        if each["severity"] == "error":
            found.setdefault(Path(each["file"]).stem, {})[each["line"]] = each["message"]
    return found


def checked_by_pyright(folder: Path) -> Found:
    config = folder / "pyrightconfig.json"
    config.write_text(json.dumps(PYRIGHT), encoding="utf-8")
    out = run("basedpyright", "--project", str(config), "--pythonpath", sys.executable, "--outputjson")
    found: Found = {}
    for each in json.loads(out)["generalDiagnostics"]:
        found.setdefault(Path(each["file"]).stem, {})[each["range"]["start"]["line"] + 1] = each["message"]
    return found


def run(module: str, *words: str) -> str:
    environment = {**os.environ, "MYPYPATH": str(SOURCE)}
    done = subprocess.run(
        [sys.executable, "-m", module, *words], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    return done.stdout


CHECKERS: dict[str, Callable[[Path], Found]] = {"mypy": checked_by_mypy, "basedpyright": checked_by_pyright}


@pytest.fixture(scope="session", params=CHECKERS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What a checker finds; it runs once, whatever number of processes the tests are spread over."""
    name = request.param
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed (pip install -e '.[dev]')")
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder = shared / f"checked-by-{name}"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = folder / "found.json"
        if not result.exists():
            result.write_text(json.dumps(CHECKERS[name](folder)), encoding="utf-8")
    read = json.loads(result.read_text(encoding="utf-8"))
    return {program: {int(line): message for line, message in lines.items()} for program, lines in read.items()}


@pytest.mark.parametrize("program", ["client", "others"])
def test_a_right_program_is_right(program: str, found: Found) -> None:
    assert found.get(program, {}) == {}


@pytest.mark.parametrize("line", WRONG, ids=WRONG.values())
def test_a_wrong_call_is_found(line: int, found: Found) -> None:
    assert line in found["wrong"]


def test_nothing_else_is_wrong(found: Found) -> None:
    assert set(found["wrong"]) == set(WRONG)
    assert set(found) <= {"client", "others", "wrong"}


def test_the_messages_name_what_is_wrong(found: Found) -> None:
    messages = {WRONG[line]: message for line, message in found["wrong"].items()}
    first, second, third = (
        next(messages[line] for line in messages if part in line) for part in ('("c", "s", apend', "skp", "two")
    )
    assert "apend_dim" in first
    assert "'resume', 'skip', 'refuse'" in second
    assert "int | None" in third
