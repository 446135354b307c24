"""What was written, synced and renamed, in order."""

import os
from pathlib import Path

import pytest

from zapz.storage.local import durability


class Log:
    """Records syncs of files and folders, and the operations that must not come before them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.lines: list[tuple[str, str]] = []
        self._root = str(root)
        fsync, link, replace = os.fsync, os.link, os.replace

        def name(path: object) -> str:
            return os.path.relpath(os.fspath(path), self._root)  # type: ignore[call-overload]

        def logged_fsync(descriptor: int) -> None:
            self.lines.append(("sync", name(os.readlink(f"/proc/self/fd/{descriptor}"))))
            fsync(descriptor)

        def logged_link(a: str, b: str, **options: object) -> None:
            link(a, b, **options)
            self.lines.append(("link", name(b)))

        def logged_replace(a: str, b: str) -> None:
            replace(a, b)
            self.lines.append(("replace", name(b)))

        monkeypatch.setattr(os, "fsync", logged_fsync)
        monkeypatch.setattr(os, "link", logged_link)
        monkeypatch.setattr(os, "replace", logged_replace)

    def at(self, kind: str, end: str) -> int:
        return next(i for i, (k, path) in enumerate(self.lines) if k == kind and path.endswith(end))

    def synced_before(self, position: int) -> set[str]:
        return {path for kind, path in self.lines[:position] if kind == "sync"}


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without ``syncfs``."""
    durability._syncfs.cache_clear()
    monkeypatch.setattr(durability, "_syncfs", lambda: None)
