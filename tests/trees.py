"""Whole folders as values, to compare before and after."""

import os
import stat
from pathlib import Path


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Return every file's bytes, and None for every folder, by relative path."""
    result: dict[str, bytes | None] = {}
    for base, folders, files in os.walk(folder):
        for name in folders:
            result[os.path.relpath(os.path.join(base, name), folder)] = None
        for name in files:
            path = os.path.join(base, name)
            result[os.path.relpath(path, folder)] = Path(path).read_bytes()
    return result


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
