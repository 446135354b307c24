"""Words that zapz does without: the plain ones are in the second column."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from kit import ROOT
from kit.pages import DOCS, PAGES, blocks_of, without_generated

INSTEAD = {
    r"(un)?heed(s|ed|ing)?": "honour",
    r"mend(s|ed|ing)?": "fix",
    r"somebody('s)?": "another process, a user",
    r"nobody('s)?": "no process, no reader",
    r"wish(es|ed|ing)?": "requested",
    r"for people": "for display",
    r"what is more": "larger, the rest",
}
FORBIDDEN = re.compile(rf"\b({'|'.join(INSTEAD)})\b", re.IGNORECASE)
SOURCE = sorted((ROOT / "src").rglob("*.py"))


def found_in(text: str) -> list[str]:
    return [match[0] for match in FORBIDDEN.finditer(re.sub(r"\s+", " ", text))]


def own_words(page: Path) -> str:
    """Return what a page says itself: neither what is generated from the code nor what its commands print."""
    text = without_generated(page.read_text(encoding="utf-8"))
    for block in reversed(blocks_of(text)):
        if block.language == "console":
            text = text[: block.span[0]] + text[block.span[1] :]
    return text


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_pages(page: Path) -> None:
    assert found_in(own_words(page)) == []


def test_examples_and_tutorial() -> None:
    notebook = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))
    texts = ["".join(cell["source"]) for cell in notebook["cells"]]
    texts += [path.read_text(encoding="utf-8") for path in (DOCS / "examples").iterdir() if path.is_file()]
    assert [found for text in texts for found in found_in(text)] == []


def test_source() -> None:
    found = {path.relative_to(ROOT).as_posix(): found_in(path.read_text(encoding="utf-8")) for path in SOURCE}
    assert {name: words for name, words in found.items() if words} == {}


def test_whole_words_count() -> None:
    assert found_in("We recommend to amend it; this is Wishart's, unmended.") == []
    assert found_in("Nobody heeds what is\nmore than a wish.") == ["Nobody", "heeds", "what is more", "wish"]
