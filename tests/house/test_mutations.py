"""The tests are tested: every precaution listed in ``mutations`` is taken away, one at a time, and the tests named there must notice.

Each is carried out in a copy of the package, and the tests run in a process of their own on that copy. Failing counts, errors while
collecting or setting up do not. The control is the same selection on the unchanged copy, which passes.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest
from kit import TESTS
from kit.mutations import MUTATIONS, Mutation
from kit.volumes import volume

pytestmark = volume

SOURCE = TESTS.parent / "src" / "zapz"
SECONDS = 120
PARTS = 2
"""So many runs are made of the selections from one file, so that two processes share them."""
_moments = count(1_000_000_000, 10)
"""Times that files seem to be changed at, each another one: what Python has compiled is told apart by them."""


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the package, one for each process."""
    place = tmp_path_factory.mktemp("copy") / "zapz"
    shutil.copytree(SOURCE, place, ignore=shutil.ignore_patterns("__pycache__"))
    return place


@contextmanager
def carried_out(copy: Path, mutation: Mutation) -> Iterator[None]:
    """Carry out a mutation for a while."""
    path = copy / mutation.file
    before = path.read_text(encoding="utf-8")
    assert before.count(mutation.text) == 1, (
        f"once in {mutation.file}, not {before.count(mutation.text)} times: {mutation.text}"
    )
    after = before.replace(mutation.text, mutation.instead)
    ast.parse(after)
    try:
        change(path, after)
        yield
    finally:
        change(path, before)


def change(path: Path, text: str) -> None:
    """Write a module so that Python compiles it anew."""
    path.write_text(text, encoding="utf-8")
    moment = next(_moments)
    os.utime(path, (moment, moment))


def run(copy: Path, selections: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """Run tests on the copy, until the first one that fails."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "ZAPZ_VOLUME"))}
    options = ["-x", "-p", "no:cacheprovider", "-m", "volume or not volume", f"--basetemp={place / 'tmp'}"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(str(TESTS / each) for each in selections)],
        cwd=TESTS.parent,
        env={**kept, "PYTHONPATH": str(copy.parent)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[mutation.lost for mutation in MUTATIONS])
def test_tests_notice(mutation: Mutation, copy: Path, tmp_path: Path) -> None:
    with carried_out(copy, mutation):
        done = run(copy, [mutation.found_by], tmp_path)
    said = f"{mutation.file}, without {mutation.text!r}, {mutation.found_by}: exit {done.returncode}\n{done.stdout[-2000:]}"
    assert done.returncode == 1, said
    assert re.search(r"^[1-9][0-9]* failed", done.stdout, re.MULTILINE), said
    assert not re.search(r"^ERROR ", done.stdout, re.MULTILINE), said


FILES = sorted({mutation.found_by.partition("::")[0] for mutation in MUTATIONS})


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("file", FILES)
def test_control(file: str, part: int, copy: Path, tmp_path: Path) -> None:
    """The same tests pass on an unchanged copy, and run on it."""
    selections = sorted({m.found_by for m in MUTATIONS if m.found_by.startswith(f"{file}::")})[part::PARTS]
    if selections:
        done = run(copy, selections, tmp_path)
        assert done.returncode == 0, f"{selections}: exit {done.returncode}\n{done.stdout[-2000:]}"


def test_copy_is_what_is_tested(copy: Path, tmp_path: Path) -> None:
    """Without this, everything above could be about another zapz."""
    check = tmp_path / "test_where.py"
    check.write_text(
        f"import zapz\n\ndef test_where() -> None:\n    assert zapz.__file__ == {str(copy / '__init__.py')!r}\n"
    )
    done = run(copy, [str(check)], tmp_path)
    assert done.returncode == 0, done.stdout[-2000:]


def test_table() -> None:
    """Every entry says something of its own."""
    assert len({mutation.lost for mutation in MUTATIONS}) == len(MUTATIONS)
    assert len({(mutation.file, mutation.text, mutation.instead) for mutation in MUTATIONS}) == len(MUTATIONS)
