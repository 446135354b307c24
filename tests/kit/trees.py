"""Whole folders as values, to compare before and after."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any


def modes(folder: Path) -> dict[str, int]:
    """Return the mode of every file and folder, itself included, by relative path; links are not followed."""
    result = {".": stat.S_IMODE(folder.stat().st_mode)} if folder.is_dir() else {}
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(base, name)
            result[os.path.relpath(path, folder)] = stat.S_IMODE(os.lstat(path).st_mode)
    return result


def times(folder: Path) -> dict[str, int]:
    """Return the modification time of everything in a folder, itself included."""
    result = {".": folder.stat().st_mtime_ns}
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.join(base, name)
            result[os.path.relpath(path, folder)] = os.stat(path, follow_symlinks=False).st_mtime_ns
    return result


Tree = dict[str, Any]


NOTHING: Tree = {".": None}
"""The tree of an empty folder."""


def tree(path: Path | str) -> Tree:
    """Return everything below a folder: bytes of files, targets of links, None for folders; empty if there is none."""
    root = Path(path)
    if not os.path.lexists(root):
        return {}
    found: Tree = {".": None}
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            entry = Path(folder, name)
            key = entry.relative_to(root).as_posix()
            found[key] = (
                f"-> {os.readlink(entry)}" if entry.is_symlink() else None if entry.is_dir() else entry.read_bytes()
            )
    return found


def without_ours(found: Tree) -> Tree:
    """Return a tree without the journal's folder."""
    return {key: value for key, value in found.items() if key.split("/")[0] != ".zapz"}


def differ(found: Tree, expected: Tree) -> str:
    """Say where two trees differ."""
    lines = [f"more: {k}" for k in sorted(found.keys() - expected.keys())]
    lines += [f"less: {k}" for k in sorted(expected.keys() - found.keys())]
    lines += [f"other: {k}" for k in sorted(found.keys() & expected.keys()) if found[k] != expected[k]]
    return "; ".join(lines)
