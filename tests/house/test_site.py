"""The site: every page is in it, every link and anchor leads somewhere, and MkDocs builds it without a warning."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from kit import ROOT
from kit.pages import DOCS, PAGES, README, blocks_of

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def prose(page: str) -> str:
    """Return a page without its blocks of code."""
    for block in reversed(blocks_of(page)):
        page = page[: block.span[0]] + page[block.span[1] :]
    return page


def anchors_of(page: str) -> set[str]:
    """Return what can be linked to in a page, where it is shown as the repository shows it and as MkDocs does."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        plain = re.sub(r"[`*]", "", heading).strip().lower()
        here = re.sub(r" ", "-", re.sub(r"[^\w\- ]", "", plain))
        site = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        if here == re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", site).strip()):
            found.add(here)
    return found


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_links_lead_somewhere(page: Path) -> None:
    text = prose(page.read_text(encoding="utf-8"))
    for link in _LINK.findall(text):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert target == README or target.is_relative_to(DOCS), f"{link} is not in the site"
        assert not anchor or anchor in anchors_of(target.read_text(encoding="utf-8")), link


def test_every_page_is_in_the_navigation() -> None:
    navigation = re.findall(r"^ +- .*: (\S+\.md)$", (DOCS / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(navigation) == sorted(["index.md", "tutorial.md", *(page.name for page in PAGES[1:])])


def test_nothing_is_fetched() -> None:
    """Neither fonts nor pictures nor scripts, when the site is built or read."""
    settings = yaml.safe_load((DOCS / "mkdocs.yml").read_text(encoding="utf-8"))
    assert settings["theme"]["font"] is False
    assert [each if isinstance(each, str) else next(iter(each)) for each in settings["plugins"]] == [
        "search",
        "mkdocstrings",
    ]


def test_mkdocs_builds_it(tmp_path: Path) -> None:
    missing = [name for name in ("mkdocs", "material", "mkdocstrings_handlers") if find_spec(name) is None]
    if missing:
        pytest.skip(f"the extra docs is not installed: no module {missing[0]!r}")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", DOCS / "mkdocs.yml", "-d", tmp_path / "site"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    api = (tmp_path / "site" / "api" / "index.html").read_text(encoding="utf-8")
    assert 'id="zapz.append"' in api
    assert 'id="zapz.Report.appended"' in api
    fetched = [
        where
        for page in (tmp_path / "site").rglob("*.html")
        for where in re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text(encoding="utf-8")
        )
    ]
    assert not fetched
