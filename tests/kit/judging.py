"""Judges: programs of other packages, which run in environments of their own.

An environment is made once, in the folder that ``ZAPZ_JUDGES`` names, or in one of this run. It is made with the package index that pip
uses here; programs for node get their packages from npm in the same way. Nothing that is installed by hand is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from kit.servers import locked

PROGRAMS = Path(__file__).parent / "judge_programs"
_XCUBE = """
from importlib.metadata import requires
print(*(each for each in requires("xcube-core") if "extra" not in each and not each.startswith("gdal")), sep="\\n")
"""
"""Prints what xcube-core needs, without gdal, which is built from source and which the judge does not use."""
_NEEDS = {
    "gdal": ("3.12", ["rasterio==1.5.2"]),
    "pyramids": ("3.12", ["ome-zarr==0.21.0", "ndpyramid==0.4.0", "topozarr==0.2.1", "xarray", "dask"]),
    "zarrflask": ("3.11", ["flask==2.2.5", "werkzeug==2.2.3", "xarray", "dask[array]"]),
}
"""Python and packages of the other judges. The wheel of rasterio has a GDAL of its own. Later versions of Flask have not what zarrflask uses."""
_NODE_NEEDS = {"zarrita": ["zarrita@0.7.5"]}


class FailedError(AssertionError):
    """A judge's program failed; the text is how it was called, and its last lines."""


def pythons(version: str) -> str:
    """Return the Python of a version: this one, one on the path, or one of pyenv's."""
    if sys.version.startswith(f"{version}."):
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [shutil.which(f"python{version}"), *map(str, root.glob(f"versions/{version}.*/bin/python"))]
    for place in filter(None, places):
        if subprocess.run([place, "-c", ""], capture_output=True, check=False).returncode == 0:
            return place
    raise AssertionError(f"Python {version} is not here; the judge needs it")


def run(words: Sequence[object]) -> str:
    """Run a program, and return what it prints; fail with its last lines if it fails."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise FailedError(f"{' '.join(map(str, words))}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}")
    return done.stdout


@cache
def _home() -> Path:
    """Return the folder of all environments."""
    home = Path(os.environ.get("ZAPZ_JUDGES") or tempfile.mkdtemp(prefix="zapz-judges-"))
    home.mkdir(parents=True, exist_ok=True)
    return home


@cache
def environment(name: str) -> Path:
    """Return the Python of a judge; its environment is made at the first call."""
    place = _home() / name
    python, ready = place / "bin" / "python", place / "ready"
    with locked(_home() / f"{name}.lock"):
        if ready.exists():
            return python
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if name == "xcube":
            run([pythons("3.11"), "-m", "venv", place])
            run([*pip, "--no-deps", "xcube-core==1.14.1"])
            run([*pip, *run([python, "-c", _XCUBE]).split("\n")[:-1]])
        else:
            version, needs = _NEEDS[name]
            run([pythons(version), "-m", "venv", place])
            run([*pip, *needs])
        ready.touch()
    return python


@cache
def node_program(name: str, program: str) -> tuple[str, Path]:
    """Return node, and a judge's program beside the packages that it imports; skip the test where node or npm are missing."""
    node, npm = (shutil.which(tool) for tool in ("node", "npm"))
    if node is None or npm is None:
        pytest.skip(f"{'node' if node is None else 'npm'} is not installed")
    place = _home() / name
    with locked(_home() / f"{name}.lock"):
        if not (place / "ready").exists():
            place.mkdir(exist_ok=True)
            run([npm, "install", "--no-audit", "--no-fund", "--prefix", place, *_NODE_NEEDS[name]])
            (place / "ready").touch()
        copy = place / program  # node looks for packages from where the program is
        if not copy.exists() or copy.read_bytes() != (PROGRAMS / program).read_bytes():
            shutil.copy(PROGRAMS / program, place / f"{program}.new")
            (place / f"{program}.new").replace(copy)
    return node, copy


def judge(name: str, program: str, *words: object) -> str:
    """Let a judge's program run; return what it prints."""
    return run([environment(name), "-W", "ignore", PROGRAMS / program, *words]).strip()
