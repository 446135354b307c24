"""Earlier states of a dataset, shared by the processes of one server in a folder of theirs."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from zapz.errors import FormatError
from zapz.format import documents as doors
from zapz.server.generation import Generation

_NAME = re.compile(r"[0-9a-f]{16}", re.ASCII)
_KEPT = 16
"""Maximum number of states in the folder."""


class Archive:
    """States in a folder that only this server's processes use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, generation: Generation) -> None:
        """Save a state; nothing happens if it is there."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / generation.id
        if path.exists():
            path.touch()
            return
        data = {
            "documents": _texts(generation.dataset.documents),
            "kept": _texts(generation.kept),
            "home": generation.home,
            "warning": generation.warning,
        }
        aside = path.with_suffix(f".{os.getpid()}")
        aside.write_text(json.dumps(data), encoding="utf-8")
        aside.replace(path)
        kept = sorted((p for p in self._folder.iterdir() if _NAME.fullmatch(p.name)), key=lambda p: p.stat().st_mtime)
        for old in kept[:-_KEPT]:
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                old.unlink()

    def load(self, name: str) -> Generation | None:
        """Return a saved state; None if there is none of this name."""
        if not _NAME.fullmatch(name):
            return None
        try:
            data = json.loads((self._folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        try:
            dataset = doors.read(_bytes(data["documents"]))
        except FormatError:
            return None
        return Generation.of(dataset, _bytes(data["kept"]), home=data["home"], warning=data["warning"])

    def clear(self) -> None:
        """Remove all states: the dataset did not only grow."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                path.unlink()


def _texts(documents: Mapping[str, bytes]) -> dict[str, str]:
    return {key: data.decode("utf-8", "surrogateescape") for key, data in documents.items()}


def _bytes(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {key: text.encode("utf-8", "surrogateescape") for key, text in texts.items()}
