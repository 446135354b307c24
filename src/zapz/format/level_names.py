"""Names in a ``.levels`` dataset of xcube: ``.zlevels``, ``0.zarr`` or ``0.link``, and so on."""

from __future__ import annotations

from collections.abc import Container

LEVELS = ".zlevels"
"""Document that describes the levels, beside them."""
SUFFIX = ".levels"
"""Usual ending of the name of such a dataset."""
STORED = (".zarr",)
"""Ending of the name of a level: each is a Zarr dataset of its own."""
LINKED = (".link",)
"""Ending of the name of a file that contains the path of a level that is stored elsewhere."""


def number_of(name: str, endings: Container[str] = (*STORED, *LINKED, "")) -> int | None:
    """Return the level whose folder, or link, has this name; None if it is not a level's."""
    stem, dot, ending = name.partition(".")
    is_number = stem.isascii() and stem.isdecimal() and (stem == "0" or not stem.startswith("0"))
    return int(stem) if is_number and dot + ending in endings else None
