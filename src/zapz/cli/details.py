"""Details of an append for ``-v``: variables, reasons, times, settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from zapz.cli.words import count, shown
from zapz.config.settings import Config, changed
from zapz.reports import PlanSummary, VariableSummary

_SECRETS = (
    "target_storage_options",
    "slice_storage_options",
    "temp_storage_options",
    "slice_source_kwargs",
    "extra",
    "serve",
)
"""Tables of settings that may hold secrets: only their keys are shown."""


_LONGEST = 60
"""Maximum length of a table that is shown whole, in characters."""


def variables(plan: PlanSummary) -> list[str]:
    """Return the chunks copied and encoded per variable, and why; equal variables share a line."""

    def words(each: VariableSummary) -> str:
        copied, encoded = each["copied_chunks"], each["encoded_chunks"]
        counts = [count(copied, "chunk") + " copied"] if copied else []
        counts += [count(encoded, "chunk") + " encoded"] if encoded or not copied else []
        why = f": {'; '.join(each['why'])}" if each["why"] else ""
        return f"{', '.join(counts)}{why}"

    alike = groupby(sorted(plan["variables"], key=lambda each: (words(each), each["path"])), key=words)
    found = [(sorted(each["path"] for each in group), text) for text, group in alike]
    return [f"{', '.join(paths)}: {text}" for paths, text in sorted(found)]


_INNER = ("reading", "encoding", "writing")
"""Parts of the copying, done by several threads."""


def times(spent: Mapping[str, float]) -> str:
    """Return the duration of each part, in seconds, as text."""
    inner = ", ".join(f"{name} {spent[name]:.2f}" for name in _INNER if name in spent)
    parts = []
    for name, seconds in spent.items():
        if name not in _INNER:
            parts.append(
                f"{name} {seconds:.2f} s" + (f" ({inner} in all threads)" if name == "copying" and inner else "")
            )
    return f"took: {', '.join(parts)}"


def settings_in_use(config: Config) -> str:
    """Return the settings that differ from their defaults, without secrets; empty if none do."""
    return ", ".join(_settings(config))


def _settings(config: Config) -> Iterable[str]:
    for field in changed(config):
        value = getattr(config, field.name)
        text = _text(value)
        if isinstance(value, Mapping) and (field.name in _SECRETS or len(text) > _LONGEST):
            yield f"{field.name} ({', '.join(map(str, value))})"
        else:
            yield f"{field.name} = {text}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return json.dumps(shown(value), ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name} = {_text(each)}' for name, each in value.items())}}}"
    return json.dumps(value, ensure_ascii=False, default=str)
