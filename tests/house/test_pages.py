"""The pages in ``docs``: all that they show runs and prints what they show, and what is generated is as the code says today."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from kit.pages import PAGES, README, Stage, blocks_of, generated, needs_service, normalised, refreshed, shown_in

import zapz

ERRORS = (zapz.ConfigError, zapz.SliceError, zapz.FormatError, zapz.ChunkError, zapz.StoreError, zapz.LockedError, zapz.ConflictError, zapz.JournalError)  # fmt: skip
BY_JUDGES = ["zarrita comes from npm", "rasterio has an environment of its own"]
"""Why blocks are run by ``tests/judges/test_judged_pages.py`` alone."""
LANGUAGES = {"console", "python", "toml", "json", "yaml", "text", "sh", "js", "nginx"}


@pytest.mark.parametrize("page", PAGES[1:], ids=[page.stem for page in PAGES[1:]])
def test_all_that_a_page_shows(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """In the order in which it stands there. What does not run has a reason."""
    text = page.read_text(encoding="utf-8")
    assert generated(text) == text, "`python -m kit.pages` brings it up to date"
    stage = Stage(tmp_path, request.getfixturevalue("moto_s3") if needs_service(text) else None)
    with stage.entered():
        for block in blocks_of(text):
            assert block.language in LANGUAGES, block
            if not block.not_run:
                stage.run(block)


def test_little_is_not_run() -> None:
    skipped = [
        block.not_run for page in PAGES for block in blocks_of(page.read_text(encoding="utf-8")) if block.not_run
    ]
    judged = [f"{what}; `pytest -m judges` runs it" for what in BY_JUDGES]
    assert skipped == ["needs a public bucket", *judged]


def test_every_fence_is_seen() -> None:
    """A fence that is not closed, or indented, would hide what follows from these tests."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert len(re.findall(r"^\s*```", text, re.MULTILINE)) == 2 * len(blocks_of(text)), page


def test_shell_lines_are_sound() -> None:
    """What sets up environments is run by ``.ci/run``; here only its form is looked at."""
    for page in PAGES:
        for block in blocks_of(page.read_text(encoding="utf-8")):
            if block.language == "sh":
                subprocess.run(["bash", "-n", "-c", block.text], check=True)


def test_pages_can_be_brought_up_to_date(tmp_path: Path) -> None:
    """Output that is not what is printed is replaced, where a page shows some; sizes and times alone are not."""
    page = """
```console
$ zapz append cube.zarr zapz-demo/2024-06-01.zarr
…
$ zapz append cube.zarr zapz-demo/2024-06-01.zarr
nothing
$ zapz append --quiet cube.zarr zapz-demo/2024-06-02.zarr
$ zapz append cube.zarr zapz-demo/late.zarr
…
```
"""
    new = refreshed(page, Stage(tmp_path / "a" if (tmp_path / "a").mkdir() is None else tmp_path))
    first, again, quiet, late = shown_in(blocks_of(new)[0].text)
    assert first.output.startswith("created cube.zarr\nzapz-demo/2024-06-01.zarr: appended 1 step")
    assert "already there" in again.output
    assert not quiet.output
    assert late.fails
    (tmp_path / "b").mkdir()
    slower = re.sub(r"\d\.\d s\b", "77.7 s", new)
    assert refreshed(slower, Stage(tmp_path / "b")) == slower


def test_servers_run_until_the_next_one(tmp_path: Path) -> None:
    """At a free port, which is 8080 in the page."""
    ask = "import urllib.request\nurl = 'http://127.0.0.1:8080/healthz'\nprint(url, urllib.request.urlopen(url).status)  # "
    page = f"""
```console
$ zapz append -q cube.zarr zapz-demo/2024-06-01.zarr
$ zapz serve cube.zarr
…
```
```python
{ask}http://127.0.0.1:8080/healthz 200
```
```console
$ zapz serve missing.zarr
…
```
"""
    stage = Stage(tmp_path)
    new = refreshed(page, stage)
    serves, refused = (shown_in(blocks_of(new)[i].text)[-1] for i in (0, 2))
    assert serves.output == "Serving cube at http://127.0.0.1:8080/cube/\nPress Ctrl-C to stop."
    assert refused.fails
    with stage.entered():
        with pytest.raises(OSError, match="refused"):
            stage.run(blocks_of(page)[1])  # the server ended with the page
        for block, words in zip(blocks_of(new), ("cube at", "200", "zapz: "), strict=True):
            with pytest.raises(AssertionError):
                stage.run(replace(block, text=block.text.replace(words, "else")))
            stage.run(block)


def test_output_is_compared_without_what_differs_from_run_to_run() -> None:
    assert normalised("48.7 kB in 0.1 s (process 12, 02:33)") == normalised("1 MB in 12 s (process 7, 12:59)")
    assert normalised("2024-06-01T00:00:00") != normalised("2024-06-01T01:00:00")
    assert normalised("14 chunks copied") != normalised("15 chunks copied")


def test_exit_codes_are_those_of_the_errors() -> None:
    codes = {kind.exit_code for kind in ERRORS}
    assert codes == set(range(2, 10))
    page = next(page for page in PAGES if page.stem == "errors").read_text(encoding="utf-8")
    for code in codes:
        assert f"\n| {code} |" in page
    assert "(docs/errors.md)" in README.read_text(encoding="utf-8")


def test_the_api_page_has_every_public_name() -> None:
    page = next(page for page in PAGES if page.stem == "api").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: zapz\.(\w+)$", page, re.MULTILINE))
    errors = {name for name in zapz.__all__ if name.endswith("Error")}
    assert set(zapz.__all__) - errors - {"Config"} <= shown  # settings are a page of their own, errors too
    assert shown - set(zapz.__all__) == {"testing", "zappend"}
