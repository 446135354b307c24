"""What ``docs/serve.md`` shows of clients that have an environment of their own: it reads what is served, and prints what the page shows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.judging import environment, node_program, run
from kit.pages import DOCS, blocks_of
from kit.zapz_server import serving

import zapz
from zapz.cli.demo import write_slices

pytestmark = pytest.mark.judges

SHOWN = "http://127.0.0.1:8080/"
"""The server in the page."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root of a server of the page's cube, as the page leaves it before these blocks."""
    folder = tmp_path_factory.mktemp("served")
    days = write_slices(folder / "zapz-demo")[:3]
    zapz.append(folder / "cube.zarr", days)
    with serving(folder / "cube.zarr") as server:
        yield server.url


def code(word: str, url: str) -> tuple[str, list[str]]:
    """Return the one block that is not run because of something, for this server, and the lines that it says it prints."""
    page = (DOCS / "serve.md").read_text(encoding="utf-8")
    (text,) = (block.text for block in blocks_of(page) if word in block.not_run)
    assert SHOWN in text
    return text.replace(SHOWN, url), re.findall(r"\(.*\);?  (?://|#) (.*)$", text, re.MULTILINE)


def test_small_zarrita_runs_what_is_shown(url: str) -> None:
    text, shown = code("zarrita", url)
    node, program = node_program("zarrita", "read_zarrita.mjs")
    done = subprocess.run(
        [node, "--input-type=module", "-e", text], cwd=Path(program).parent, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()) == (0, shown), done.stderr
    assert shown


def test_small_gdal_runs_what_is_shown(url: str) -> None:
    text, shown = code("rasterio", url)
    assert run([environment("gdal"), "-W", "ignore", "-c", text]).splitlines() == shown
    assert shown
