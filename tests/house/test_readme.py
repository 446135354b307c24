"""Every command and every piece of Python that the README and the pages in ``docs`` show runs."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from kit import ROOT

import zapz
from zapz.cli.demo import write_slices
from zapz.config.files import resolve

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted((ROOT / "docs").glob("*.md"))


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def commands(page: str = README) -> list[str]:
    return [
        line.removeprefix("$ ")
        for block in blocks("console", page)
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the demo has run, with a ``zapz`` command on the path."""
    return furnished(tmp_path_factory.mktemp("readme"))


def furnished(place: Path) -> Path:
    write_slices(place / "zapz-demo")
    command = place / "bin" / "zapz"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m zapz "$@"\n')
    command.chmod(0o755)
    return place


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT / "src")}


def test_every_command(folder: Path) -> None:
    """In the order in which they stand there, each succeeds."""
    shown = commands()
    assert len(shown) >= 8
    for command in shown:
        assert_succeeds(command, folder)
    assert zapz.info(folder / "cube.zarr").dims["time"] == 5


def test_every_piece_of_python(folder: Path) -> None:
    """Each piece runs by itself, and prints what stands behind its prints."""
    local = [piece for piece in blocks("python") if "s3://" not in piece]
    assert len(local) >= 5
    zapz.append(folder / "cube.zarr", sorted((folder / "zapz-demo").glob("2024-06-0*.zarr")))
    for piece in local:
        assert_prints_what_it_says(piece, folder)


def output_of(command: list[str], folder: Path) -> str:
    """Run a command that succeeds, and return what it prints."""
    done = subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def assert_succeeds(command: str, folder: Path) -> None:
    output_of(["bash", "-c", command], folder)


def assert_prints_what_it_says(piece: str, folder: Path) -> None:
    printed = output_of([sys.executable, "-W", "error", "-c", piece], folder)
    promised = re.findall(r"^ *print\(.*\)  # (.*)$", piece, re.MULTILINE)
    assert promised
    assert [line for line in printed.splitlines() if line in promised] == promised, printed


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_page(page: Path, tmp_path: Path) -> None:
    """Its commands succeed in their order, then its pieces of Python run; what it shows of configurations is one."""
    text = page.read_text(encoding="utf-8")
    folder = furnished(tmp_path)
    for command in commands(text):
        assert_succeeds(command, folder)
    for piece in blocks("python", text):
        assert_prints_what_it_says(piece, folder)
    for block in blocks("toml", text):
        (folder / "shown.toml").write_text(block)
        resolve(folder / "shown.toml", {}, dict.fromkeys(re.findall(r"\$(\w+)", block), "x"))
    assert f"docs/{page.name}" in README
    assert all((page.parent / link).exists() for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text))


def test_the_configuration_that_is_shown(folder: Path) -> None:
    (folder / "shown.toml").write_text(blocks("toml")[0].replace('"cube.zarr"', '"made.zarr"'))
    assert_succeeds("zapz append -c shown.toml - zapz-demo/2024-06-01.zarr zapz-demo/2024-06-02.zarr", folder)
    found = {variable.path: variable for variable in zapz.info(folder / "made.zarr").variables}
    assert found["sst"].dtype == "int16"
    assert found["sst"].chunks == (1, 90, 90)


def test_set_up_lines_are_single_and_what_ci_runs() -> None:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 2
    assert lines[0].endswith("zapz demo")
    assert lines[1].endswith("-m pytest -n 2")
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "zapz demo" in script
    assert "grep" in script


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {
        kind.exit_code
        for kind in (
            zapz.ConfigError,
            zapz.SliceError,
            zapz.FormatError,
            zapz.ChunkError,
            zapz.StoreError,
            zapz.LockedError,
            zapz.ConflictError,
            zapz.JournalError,
        )
    }
    assert codes == set(range(2, 10))
    for code in codes:
        assert f"\n| {code} |" in README
