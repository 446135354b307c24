"""Judges: programs of other packages, which run in environments of their own.

An environment is made once, in the folder that ``ZAPZ_JUDGES`` names, or in one of this run. It is made with the package index that pip
uses here. Nothing that is installed by hand is needed.
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

PROGRAMS = Path(__file__).parent / "judge_programs"
_XCUBE = """
from importlib.metadata import requires
print(*(each for each in requires("xcube-core") if "extra" not in each and not each.startswith("gdal")), sep="\\n")
"""
"""Prints what xcube-core needs, without gdal, which is built from source and which the judge does not use."""


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
    assert done.returncode == 0, f"{' '.join(map(str, words))}\n{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    return done.stdout


@cache
def environment(name: str) -> Path:
    """Return the Python of a judge; its environment is made at the first call."""
    home = Path(os.environ.get("ZAPZ_JUDGES") or tempfile.mkdtemp(prefix="zapz-judges-"))
    place = home / name
    python, ready = place / "bin" / "python", place / "ready"
    if ready.exists():
        return python
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if name == "xcube":
        run([pythons("3.11"), "-m", "venv", place])
        run([*pip, "--no-deps", "xcube-core==1.14.1"])
        run([*pip, *run([python, "-c", _XCUBE]).split("\n")[:-1]])
    else:
        run([pythons("3.12"), "-m", "venv", place])
        run([*pip, "ome-zarr==0.21.0", "ndpyramid==0.4.0", "topozarr==0.2.1", "xarray", "dask"])
    ready.touch()
    return python


def judge(name: str, program: str, *words: object) -> str:
    """Let a judge's program run; return what it prints."""
    return run([environment(name), "-W", "ignore", PROGRAMS / program, *words]).strip()
