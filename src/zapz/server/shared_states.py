"""Earlier states of a dataset, shared by the processes of one server in a folder of theirs."""

from __future__ import annotations

import contextlib
import json
import logging
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


class SharedStates:
    """States in a folder that only this server's processes use."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, generation: Generation) -> None:
        """Save a state; nothing happens if it is there. If that fails, one process has it."""
        try:
            self._save(generation)
        except OSError as error:
            logging.getLogger("zapz.server").warning("a state cannot be shared by processes: %s", error)

    def _save(self, generation: Generation) -> None:
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
        ages = {}
        for each in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process removed it
                if _NAME.fullmatch(each.name):
                    ages[each] = each.stat().st_mtime
        for old in sorted(ages, key=ages.__getitem__)[:-_KEPT]:
            old.unlink(missing_ok=True)

    def load(self, name: str) -> Generation | None:
        """Return a saved state; None if there is none of this name."""
        if not _NAME.fullmatch(name):
            return None
        try:
            data = json.loads((self._folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        try:
            dataset = doors.read(_bytes(data["documents"]))
            return Generation.of(dataset, _bytes(data["kept"]), home=data["home"], warning=data["warning"])
        except FormatError:
            return None

    def clear(self) -> None:
        """Remove all states: the dataset did not only grow."""
        if not self._folder.is_dir():
            return
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):  # removed by another process, or it stays: it is not valid any more
                path.unlink()


def _texts(documents: Mapping[str, bytes]) -> dict[str, str]:
    return {key: data.decode("utf-8", "surrogateescape") for key, data in documents.items()}


def _bytes(texts: Mapping[str, str]) -> dict[str, bytes]:
    return {key: text.encode("utf-8", "surrogateescape") for key, text in texts.items()}
