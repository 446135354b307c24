"""A double of ``zapz.server.service`` for tests of the command line: it says where it would serve, and returns."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest

from zapz.config.serve_settings import ServeSettings
from zapz.server.ready import ready_lines

SERVICE = "zapz.server.service"
FREE = 49152
"""The port that it finds free."""


@dataclass
class StubService:
    """What the command asked for, last first."""

    settings: list[ServeSettings] = field(default_factory=list)
    layers: list[Sequence[Any]] = field(default_factory=list)

    def serve(self, settings: ServeSettings, say: Callable[[str], None], config_files: Sequence[Any] = ()) -> None:
        self.settings.insert(0, settings)
        self.layers.insert(0, config_files)
        for line in ready_lines([each.name for each in settings.datasets], settings.host, settings.port or FREE):
            say(line)


def install(patch: pytest.MonkeyPatch) -> StubService:
    """Put the double in the place of the service."""
    service, module = StubService(), ModuleType(SERVICE)
    module.serve = service.serve  # type: ignore[attr-defined]
    patch.setitem(sys.modules, SERVICE, module)
    return service
