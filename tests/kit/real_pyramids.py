"""The pyramids of ``ZAPZ_DATA``: target, slice and expected result of each were written by the tool that its name says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from zapz.format import documents as doors

ROOT = Path(os.environ.get("ZAPZ_DATA", "/nonexistent")) / "pyramids"
NEEDS = pytest.mark.skipif(not ROOT.is_dir(), reason="real pyramids are not here: ZAPZ_DATA does not name their folder")


def part(name: str, which: str) -> Path:
    """Return the target, slice or expected result of a set."""
    (found,) = (ROOT / name).glob(f"{which}.*")
    return found


def documents(path: Path) -> dict[str, Any]:
    names = {*doors.DOCUMENT_NAMES, ".zlevels"}
    return {str(p.relative_to(path)): json.loads(p.read_text()) for p in sorted(path.rglob("*")) if p.name in names}


def arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Return the stored cells of every array below a folder, whatever its groups are."""
    found = {}
    for key, meta in documents(path).items():
        if key.endswith(".zarray") or meta.get("node_type") == "array":
            folder = (path / key).parent
            found[str(folder.relative_to(path))] = np.asarray(zarr.open_array(str(folder), mode="r")[...])
    return found
