"""``zapz serve`` and zarrflask as processes that serve the same datasets, those of ``served_arrays``, and single requests to them.

``zapz_url`` and ``zarrflask_url`` are fixtures. The first is two: with the server that is installed, and with the standard library's.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from kit.http_judges import ELSEWHERE
from kit.judging import PROGRAMS, environment
from kit.servers import running, wait_until
from kit.zapz_server import SOURCE, Answered, Client, serving

_URL = re.compile(r"http://127\.0\.0\.1:\d+/")


def ask(url: str, method: str = "GET", **headers: str) -> Answered:
    """Send one request, whose path is sent as it is, and follow no redirect. Underscores in names of header fields are hyphens."""
    parts = urlsplit(url)
    with Client(url) as client:
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        return client.get(target, method, {name.replace("_", "-"): text for name, text in headers.items()})


@contextlib.contextmanager
def announced(command: Sequence[object], variables: Mapping[str, str]) -> Iterator[str]:
    """Run a server until the end of the block, and give the URL that it prints once it listens."""
    with tempfile.TemporaryDirectory(prefix="zapz-server-") as work:
        log = Path(work) / "log"
        said = lambda: _URL.search(log.read_text(encoding="utf-8", errors="replace"))  # noqa: E731
        with running([*map(str, command)], log, variables) as process:
            wait_until(lambda: said() is not None, process, log)
            url = said()
            assert url is not None
            yield url[0]


@pytest.fixture(scope="module")
def computed_note(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that has a line for each time that the dataset ``watched`` of ``zapz_url`` was computed."""
    note = tmp_path_factory.mktemp("computed") / "note"
    note.touch()
    return note


@pytest.fixture(scope="module", params=["installed", "stdlib"])
def zapz_url(request: pytest.FixtureRequest, computed_note: Path) -> Iterator[str]:
    """The root of a ``zapz serve`` of all datasets, which pages of one other origin may read."""
    from kit.judge_programs.served_arrays import FACTORIES  # xarray and dask, which most tests do without

    places = [f"{name}=served_arrays:{factory.__name__}" for name, factory in FACTORIES.items()]
    path = os.pathsep.join([SOURCE, str(PROGRAMS)])
    options = ["--cors", ELSEWHERE, *(["--stdlib"] if request.param == "stdlib" else [])]
    with serving(*places, *options, environment={"PYTHONPATH": path, "ZAPZ_COMPUTED": str(computed_note)}) as server:
        yield server.url


@pytest.fixture(scope="session")
def zarrflask() -> Path:
    """The folder with zarrflask's source."""
    folder = os.environ.get("ZAPZ_ZARRFLASK")
    if not folder or not (Path(folder) / "app.py").is_file():
        pytest.skip(
            "zarrflask is not here: it is in no package index, and ZAPZ_ZARRFLASK does not name a folder with its source"
        )
    return Path(folder)


@pytest.fixture(scope="module")
def zarrflask_url(zarrflask: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The root of a zarrflask with all datasets."""
    note = tmp_path_factory.mktemp("computed") / "note"
    command = [environment("zarrflask"), "-W", "ignore", PROGRAMS / "run_zarrflask.py", zarrflask, 0]
    with announced(command, {"ZAPZ_COMPUTED": str(note), "PYTHONUNBUFFERED": "1"}) as url:
        yield url


def place(url: str, dataset: str, form: str = "") -> str:
    """Return where a dataset is served: as it is, or in the form ``v2`` or ``v3``."""
    return f"{url}{dataset}{'.' if form else ''}{form}/"
