"""A source may give stored bytes of some chunks and cells of others: no chunk is taken for missing while the source has its cells."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kit.cubes import read
from kit.trees import tree

import zapz

V = np.arange(24, dtype="f4").reshape(2, 3, 4) + 1
CHUNKS = {"chunks": [1, 2, 4]}
SHARDS = {"chunks": [1, 2, 2], "shards": [2, 4, 4]}
FORMS: dict[str, dict[str, Any]] = {
    "chunks": CHUNKS,
    "shards": SHARDS,
    "zlib": CHUNKS | {"compressor": {"id": "zlib"}},
    "uneven": {"chunks": [2, 2, 3]},
}


class Mixed(zapz.Source):
    """A stored slice whose chunks are partly given as bytes and partly as cells."""

    uri = "mixed"

    def __init__(self, files: dict[str, bytes | None], held: Collection[str], with_cells: Collection[str]) -> None:
        self._files = files
        self._held = held
        self._with_cells = with_cells

    def documents(self) -> dict[str, bytes]:
        return {key: data for key, data in self._files.items() if key.endswith("zarr.json") and data is not None}

    def read(self, key: str, offset: int = 0, length: int | None = None) -> bytes:
        data = self._files[key] if key in self._held else None
        if data is None:
            raise KeyError(key)
        return data[offset : None if length is None else offset + length]

    def cells(self, path: str, box: Any) -> Any:
        if path not in self._with_cells:
            return None
        return {"v": V, "w": V * 2, "time": np.array([2, 3])}[path][tuple(slice(a, b) for a, b in box)]


def _slice(values: np.ndarray, label: int, encoding: dict[str, Any]) -> dict[str, Any]:
    dims = ("time", "y", "x")
    return {
        "v": (dims, values, {}, encoding),
        "w": (dims, values * 2, {}, encoding),
        "time": ("time", [label, label + 1]),
    }


def _settings(form: str) -> dict[str, Any]:
    return {"variables": {name: {"encoding": FORMS[form]} for name in "vw"}, "label_chunk": "keep"}


@pytest.mark.parametrize("target", ["new", *FORMS])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("given", ["arrays", "chunks"])
def test_what_is_not_given_as_bytes_is_given_as_cells(tmp_path: Path, given: str, form: str, target: str) -> None:
    zapz.append(tmp_path / "slice", _slice(V, 2, {}), **_settings(form))
    files = tree(tmp_path / "slice")
    chunks = sorted(key for key in files if not key.endswith("zarr.json"))
    held = [key for key in chunks if key.startswith("v")] if given == "arrays" else chunks[::2]
    if target != "new":
        zapz.append(tmp_path / "target", _slice(V * 0 - 1, 0, {}), **_settings(target))
    report = zapz.append(
        tmp_path / "target", Mixed(files, held, ("w", "time") if given == "arrays" else ("v", "w", "time"))
    )
    found = read(tmp_path / "target")
    assert report.appended == 1
    np.testing.assert_array_equal(found["v"][-2:], V)
    np.testing.assert_array_equal(found["w"][-2:], V * 2)
    assert found["time"][-2:].tolist() == [2, 3]


def test_what_is_given_neither_way_is_missing(tmp_path: Path) -> None:
    zapz.append(tmp_path / "slice", _slice(V, 2, {}), **_settings("chunks"))
    files = tree(tmp_path / "slice")
    held = [key for key in files if key != "v/c/1/0/0"]
    zapz.append(tmp_path / "target", Mixed(files, held, ("w",)))
    found = read(tmp_path / "target")
    expected = V.copy()
    expected[1, :2] = np.nan  # the fill value
    np.testing.assert_array_equal(found["v"], expected)
    np.testing.assert_array_equal(found["w"], V * 2)
