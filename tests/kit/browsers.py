"""A browser without a window, for pictures of pages; and where the pictures go."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
"""What the browser is called on the path."""


def missing(*modules: str) -> str:
    """Return which of some modules, and the browser, are not here; empty if all are."""
    import importlib.util

    gone = [name for name in modules if importlib.util.find_spec(name) is None]
    return ", ".join([*gone, *([] if any(map(shutil.which, NAMES)) else ["Chromium on the path"])])


def screenshots(own: Path) -> Path:
    """Return the folder for screenshots: the one that ``ZAPZ_SCREENSHOTS`` names, else the test's own."""
    place = Path(os.environ.get("ZAPZ_SCREENSHOTS") or own)
    place.mkdir(parents=True, exist_ok=True)
    return place


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Give a Chromium that opens files only; the test is skipped if it does not start."""
    from playwright.sync_api import Error, sync_playwright

    path = next(found for name in NAMES if (found := shutil.which(name)))
    with sync_playwright() as driver:
        try:
            started = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except Error as error:
            pytest.skip(f"Chromium does not start: {str(error).splitlines()[0]}")
        try:
            yield started
        finally:
            started.close()


@contextlib.contextmanager
def page_of(started: Any, file: Path, *, width: int, scheme: str) -> Iterator[tuple[Any, list[str]]]:
    """Give a page in a browser, and what it asked for or complained about: nothing, if it needs no other file."""
    context = started.new_context(
        viewport={"width": width, "height": 600}, color_scheme=scheme, device_scale_factor=1.5, offline=True
    )
    page = context.new_page()
    trouble: list[str] = []
    page.on(
        "request",
        lambda request: trouble.append(request.url) if not request.url.startswith(("file:", "data:")) else None,
    )
    page.on("console", lambda message: trouble.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: trouble.append(str(error)))
    try:
        page.goto(file.as_uri())
        yield page, trouble
    finally:
        context.close()
