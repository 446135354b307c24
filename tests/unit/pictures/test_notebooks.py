"""What a notebook shows: cells are run by a kernel, and their HTML is drawn by a browser, in light and dark themes.

Needs no network. Screenshots go to the folder that ``ZAPZ_SCREENSHOTS`` names, else to the test's own.
"""

from __future__ import annotations

import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import ROOT
from kit import pictured_cubes as cubes
from kit.browsers import browser, missing, page_of, screenshots

from zapz.cli.demo import write_slices

GONE = missing("nbclient", "nbformat", "nbconvert", "ipykernel", "playwright")
pytestmark = pytest.mark.skipif(bool(GONE), reason=f"not here: {GONE} (pip install '.[notebook]', and a Chromium)")

CELLS = {
    "info": "zapz.info('daily.zarr', thumbnails=True, chunks=True)",
    "info_sharded": "zapz.info('hourly.zarr', thumbnails=True)",
    "plan": "zapz.plan('daily.zarr', 'next.zarr')",
    "plan_encoded": "zapz.plan('hourly.zarr', hours)",
    "report": "zapz.append('cube.zarr', days, explain=True)",
    "dry_run": "zapz.append('cube.zarr', days, dry_run=True, append_dim='time')",
}
START = """
import sys, pathlib
import numpy as np
import zapz
from kit import pictured_cubes as cubes
days = sorted(pathlib.Path('demo').glob('2024-06-*.zarr'))
base = np.broadcast_to(cubes.field(), (30, 18, 36))
time = cubes.START + np.arange(250, 280) * cubes.HOUR
hours = {'time': ('time', time), 't2m': (('time', 'lat', 'lon'), base + np.float32(273), {'units': 'K'}), 'wind': (('time', 'lat', 'lon'), base, {'units': 'm s-1'})}
"""
THEMES = {"light": ("true", "#ffffff"), "dark": ("false", "#111111")}
"""What JupyterLab says of its theme, and its background."""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Give a folder and a notebook in which each cell was run."""
    import nbclient
    import nbformat

    here = tmp_path_factory.mktemp("notebook")
    cubes.with_gaps(here / "daily.zarr")
    cubes.sharded(here / "hourly.zarr")
    cubes.daily(here / "next.zarr", [302])
    write_slices(here / "demo")
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (START, *CELLS.values())])
    paths = os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")])
    spec = {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "here",
        "language": "python",
    }
    folder = here / "kernels" / "kernels" / "here"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps(spec))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the client
        patch.setenv("PYTHONPATH", paths)
        patch.setenv("JUPYTER_PATH", str(here / "kernels"))
        patch.setenv("HOME", str(here))
        client = nbclient.NotebookClient(
            made, timeout=120, kernel_name="here", resources={"metadata": {"path": str(here)}}
        )
        client.execute()
    return here, made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


def outputs(made: Any) -> dict[str, dict[str, str]]:
    """Return what each cell shows, by type."""
    found = {}
    for name, cell in zip(CELLS, made.cells[1:], strict=True):
        (shown,) = [output for output in cell.outputs if output.output_type == "execute_result"]
        found[name] = dict(shown.data)
    return found


def test_every_cell_shows_html_and_a_short_text(notebook: tuple[Path, Any]) -> None:
    for name, shown in outputs(notebook[1]).items():
        assert set(shown) == {"text/html", "text/plain"}, name
        assert 'class="zapz"' in shown["text/html"]
    assert outputs(notebook[1])["plan"]["text/plain"].startswith("<zapz.Plan for ")
    assert "\n" not in outputs(notebook[1])["plan"]["text/plain"]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", CELLS)
def test_a_cell_in_a_notebook(name: str, theme: str, notebook: tuple[Path, Any], chromium: Any) -> None:
    """In JupyterLab: its theme decides, whatever the system prefers; nothing is wider than the cell."""
    here, made = notebook
    is_light, background = THEMES[theme]
    file = here / f"{name}-{theme}.html"
    html = outputs(made)[name]["text/html"]
    file.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><body data-jp-theme-light="{is_light}" style="background:{background};margin:16px">{html}</body>',
        encoding="utf-8",
    )
    other = "dark" if theme == "light" else "light"
    with page_of(chromium, file, width=900, scheme=other) as (page, trouble):
        _is_shown_well(page, light=theme == "light")
        assert trouble == []
        page.screenshot(path=screenshots(here) / f"notebook-{name}-{theme}.png", full_page=True)


def _is_shown_well(page: Any, *, light: bool) -> None:
    assert page.locator(".zapz").is_visible()
    assert not page.locator(".zapz-text").is_visible()
    red, green, blue = page.evaluate(
        "getComputedStyle(document.querySelector('.zapz')).color.match(/\\d+/g).slice(0, 3).map(Number)"
    )
    assert (red + green + blue < 200) is light
    assert (red + green + blue > 550) is not light
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    for box in page.evaluate(
        "[...document.querySelectorAll('.zapz svg, .zapz img')].map(each => [each.getBoundingClientRect().width, each.getBoundingClientRect().height])"
    ):
        assert min(box) > 0
    if page.locator("img").count():
        assert page.evaluate("[...document.images].every(each => each.complete && each.naturalWidth > 0)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_follows_the_system(scheme: str, notebook: tuple[Path, Any], chromium: Any) -> None:
    """``zapz info --html``; where no host says which theme it has, the reader's system does."""
    from kit.command_line import run

    here, _ = notebook
    file = here / f"page-{scheme}.html"
    assert run("info", here / "daily.zarr", "--chunks", "--html", file)[0] == 0
    for width in (1000, 420):
        with page_of(chromium, file, width=width, scheme=scheme) as (page, trouble):
            _is_shown_well(page, light=scheme == "light")
            assert trouble == []
            page.screenshot(path=screenshots(here) / f"page-{scheme}-{width}.png", full_page=True)


def test_sections_fold_without_a_script(notebook: tuple[Path, Any], chromium: Any) -> None:
    here, made = notebook
    file = here / "folds.html"
    file.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><body>{outputs(made)["info"]["text/html"]}</body>', encoding="utf-8"
    )
    with page_of(chromium, file, width=900, scheme="light") as (page, trouble):
        table = page.locator("details", has_text="Variables").first
        body = table.locator("table").first
        assert body.is_visible()
        table.locator("summary").click()
        assert not body.is_visible()
        assert trouble == []


def test_without_style_the_text_is_shown(notebook: tuple[Path, Any], chromium: Any) -> None:
    """As in a notebook that is not trusted."""
    here, made = notebook
    html = re.sub(r"<style>.*?</style>", "", outputs(made)["info"]["text/html"], flags=re.DOTALL)
    file = here / "plain.html"
    file.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{html}</body>', encoding="utf-8")
    with page_of(chromium, file, width=900, scheme="light") as (page, _):
        assert page.locator(".zapz-text").is_visible()
        assert not page.locator(".zapz").is_visible()


def test_a_whole_notebook_as_a_page(notebook: tuple[Path, Any], chromium: Any) -> None:
    """As nbconvert exports it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nbconvert import HTMLExporter

        html, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook[1])
    here, _ = notebook
    file = here / "export.html"
    file.write_text(f'<!DOCTYPE html><meta charset="utf-8"><body>{html}</body>', encoding="utf-8")
    with page_of(chromium, file, width=1000, scheme="light") as (page, _):
        assert page.locator(".zapz").count() == len(CELLS)
        assert all(page.locator(".zapz").nth(i).is_visible() for i in range(len(CELLS)))
        page.screenshot(path=screenshots(here) / "notebook-export.png", full_page=True)


@pytest.mark.parametrize("width", [100, 40])
def test_a_terminal_in_a_picture(
    width: int, notebook: tuple[Path, Any], chromium: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a terminal shows, colours and half blocks too, for whoever looks at it."""
    from kit.command_line import run
    from kit.terminals import Terminal, as_html, redirect

    here, _ = notebook
    monkeypatch.chdir(here)
    for name, value in (("TERM", "xterm"), ("COLORTERM", "truecolor"), ("COLUMNS", str(width))):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for number, words in enumerate(
        (
            ["info", "--chunks", "daily.zarr"],
            ["append", "--dry-run", "daily.zarr", "next.zarr"],
            ["demo", f"demo-{width}"],
        )
    ):
        screen = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr("contextlib.redirect_stdout", redirect("stdout", screen))
            run(*words)
        file = here / f"terminal-{width}-{number}.html"
        file.write_text(as_html(screen.getvalue(), width), encoding="utf-8")
        with page_of(chromium, file, width=width * 9 + 40, scheme="dark") as (page, trouble):
            assert trouble == []
            page.screenshot(path=screenshots(here) / f"terminal-{words[0]}-{width}.png", full_page=True)
