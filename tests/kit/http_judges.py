"""Clients that read Zarr over HTTP in environments of their own: zarrita under node, as in a browser, and GDAL.

They take and return what those of ``kit.http_clients`` do. A client that fails raises ``judging.FailedError``.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kit.http_clients import Arrays, Paths, Selection
from kit.judging import judge, node_program, run

ELSEWHERE = "https://elsewhere.example"
"""Origin of a page that is not the server's."""
Region = Sequence[int | Sequence[int] | None]
"""For each dimension an index, start and stop, or None for all of it."""
ERRORS_ARE_FILL = {"gdal"}
"""Clients that give the fill value for each chunk that is answered with an error: only values tell."""


@dataclass(frozen=True)
class Answer:
    """What zarrita found, and how."""

    arrays: Arrays
    """Values by path; text as NumPy's ``U``."""

    contents: tuple[str, ...]
    """Paths of all members, if it was asked for consolidated metadata."""

    requests: tuple[tuple[str, str, str, int], ...]
    """Method, URL, ``Range`` and status of each request, preflights included."""


def _decoded(told: Mapping[str, Any]) -> np.ndarray:
    if "values" in told:
        return np.array(told["values"], "U").reshape(told["shape"])
    return np.frombuffer(base64.b64decode(told["bytes"]), told["dtype"]).reshape(told["shape"])


def zarrita(
    url: str,
    regions: Mapping[str, Region | None],
    zarr_format: int | None = None,
    *,
    origin: str = ELSEWHERE,
    consolidated: bool = False,
    suffix: bool = False,
) -> Answer:
    """Read regions of arrays with zarrita.

    Args:
        url: The group.
        regions: Region by path; None is the whole array.
        zarr_format: 2, 3, or None: zarrita finds it out.
        origin: Origin of the page that reads: what a browser refuses it, fails. "" is no browser.
        consolidated: Whether consolidated metadata must be there, and are used.
        suffix: Whether a shard's index is requested by a range from the end, which needs a preflight; else by HEAD, and a range.
    """
    asked = {
        "arrays": regions,
        "format": zarr_format,
        "origin": origin,
        "consolidated": consolidated,
        "suffix": suffix,
    }
    answer = json.loads(run([*node_program("zarrita", "read_zarrita.mjs"), url, json.dumps(asked)]))
    arrays = {path: _decoded(told) for path, told in answer["arrays"].items()}
    contents = tuple(sorted(each["path"] for each in answer["contents"]))
    return Answer(arrays, contents, tuple(tuple(each) for each in answer["requests"]))


def _region(selection: Selection) -> Region | None:
    """Return NumPy's index as zarrita's program takes it."""
    if selection is ...:
        return None
    parts = selection if isinstance(selection, tuple) else (selection,)
    return [
        None if part == slice(None) else [part.start, part.stop] if isinstance(part, slice) else part for part in parts
    ]


def by_zarrita(url: str, paths: Paths, zarr_format: int | None = None) -> Arrays:
    """Read arrays with zarrita, for a page of another origin."""
    parts = paths if isinstance(paths, Mapping) else dict.fromkeys(paths, ...)
    return zarrita(url, {path: _region(part) for path, part in parts.items()}, zarr_format).arrays


def by_gdal(url: str, paths: Sequence[str], zarr_format: int | None = None) -> Arrays:
    """Read whole arrays with GDAL: of one dimension as one row, of two as one band, of three as bands; booleans are bytes. It finds the format out."""
    answer = json.loads(judge("gdal", "read_gdal.py", url.rstrip("/"), *paths))
    return {path: _decoded(told) for path, told in answer["arrays"].items()}


def as_raster(cells: np.ndarray) -> np.ndarray:
    """Return an array as GDAL shows it: three dimensions, booleans as bytes."""
    raster = cells.reshape((1,) * (3 - cells.ndim) + cells.shape)
    return raster.astype("u1") if raster.dtype.kind == "b" else raster
