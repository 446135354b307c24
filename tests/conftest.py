"""Fixtures that many tests share."""

import asyncio
import functools
import gc
import itertools
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = [
    f"kit.{name}"
    for name in ("cf_cubes", "crash_states", "faulty_runs", "scenarios", "servers", "server_processes", "sync_log")
]
"""Modules of the kit that have fixtures."""

# Shells start what runs in the background so, and children inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hundreds of children import zapz: where none may keep what it compiled, compiling is half of each start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="module", autouse=True)
def _what_stays_is_frozen() -> None:
    """Collect what the module before left, and freeze what stays: thousands of tests would walk over it again and again."""
    gc.collect()
    gc.freeze()


NUMBERS = itertools.count()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder of the test's own. Pytest's own fixture looks through those of all tests before to find a number for it."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    place = tmp_path_factory.getbasetemp() / f"{name}{next(NUMBERS)}"
    place.mkdir(mode=0o700)
    return place


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder with real cubes and other writers' stores."""
    place = os.environ.get("ZAPZ_DATA")
    if not place or not Path(place).is_dir():
        pytest.skip("real data are not here: ZAPZ_DATA does not name their folder")
    return Path(place)


settings.register_profile("zapz", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zapz")

QUICK = {
    f"test_{name}"
    for name in [
        "append_step",
        "cf",
        "chunk_builder",
        "codecs",
        "config",
        "config_files",
        "create",
        "documents",
        "expressions",
        "grid",
        "journal",
        "rooms",
        "shards",
        "turn",
        "waits",
    ]
}
"""Modules of tests that together take less than two minutes, and look at everything that is decided: ``pytest -m quick``."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is quick."""
    for item in items:
        if item.path.stem in QUICK and item.get_closest_marker("volume") is None:
            item.add_marker(pytest.mark.quick)


async def _here(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)


def _zarr_without_handing_over() -> None:
    """Let zarr-python, which writes and judges most cubes here, do its file and codec work where it is, not in a thread for each of a few bytes.

    A new file it writes where it belongs, not beside it: nobody reads a cube that a test is still writing. What it reads and writes is the
    same, for half of the time. Children have zarr-python as it is.
    """
    import zarr.storage._local

    put = zarr.storage._local._put

    def written(path: Path, value: Any, exclusive: bool = False) -> int:
        try:
            with open(path, "xb", buffering=0) as file:
                return file.write(value.as_buffer_like())
        except (FileExistsError, FileNotFoundError):
            return put(path, value, exclusive)

    zarr.storage._local._put = written

    direct = ModuleType("asyncio")
    direct.__dict__.update({**vars(asyncio), "to_thread": _here})
    for name, module in list(sys.modules.items()):
        if name.startswith(("zarr.codecs.", "zarr.storage.")) and getattr(module, "asyncio", None) is asyncio:
            module.__dict__["asyncio"] = direct


def pytest_collection_finish() -> None:
    """Make what all tests use cheaper, before the first one.

    Ten thousand tests and all modules stay to the end: the collector need not walk over them again and again.
    """
    import typer.main

    # One command line for all tests that run it in this process.
    typer.main.get_command = functools.cache(typer.main.get_command)
    _zarr_without_handing_over()
    gc.collect()
    gc.freeze()
