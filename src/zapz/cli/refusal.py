"""Format errors: on a terminal each part on its own line, elsewhere one line."""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from zapz.cli.fast_path import APPEND
from zapz.cli.hints import in_shell
from zapz.cli.terminal import columns_of, has_colours
from zapz.errors import ConfigError, ZapzError

_CODES: Mapping[int, str] = {
    2: "a setting or the command line is wrong",
    3: "the slice cannot be appended",
    4: "not Zarr, not supported, or damaged",
    5: "a chunk is damaged, or cannot be encoded",
    6: "storage failed",
    7: "another process is appending",
    8: "another program changed the target",
    9: "the leftovers of an earlier run are damaged",
    130: "cancelled",
}
"""The meaning of exit codes."""
_INDENT = 12
"""Column at which the parts of an error begin."""
_LEAST = 20
"""Minimum width of these parts, in columns."""
_FLAGS: Mapping[str, str] = {
    **{name: option.flags[0] for name, option in APPEND.items()},
    "slice_polling": "--wait",
    "target_storage_options": "--target-option",
    "slice_storage_options": "--slice-option",
    "journal": "--journal",
    "append_label.from": "--label",
    "append_label.format": "--label-format",
    "serve.host": "--host",
    "serve.port": "--port",
    "serve.workers": "--workers",
    "serve.refresh": "--refresh",
    "serve.max_inflight": "--max-inflight",
    "serve.max_memory": "--max-memory",
    "serve.cors": "--cors",
    "serve.allowed_hosts": "--allowed-host",
    "serve.token_file": "--token-file",
}
"""Flags by the settings that they set."""


def said(error: ZapzError, slices: Sequence[str], stream: TextIO | None, rest: str = "") -> list[str]:
    """Return the lines to print for an error.

    Args:
        error: The error.
        slices: The slices of the run, as given.
        stream: Where they are printed; None if it was closed before the start.
        rest: Text to add at the end.
    """
    notes: list[str] = getattr(error, "__notes__", [])
    if stream is None or not stream.isatty():
        return [
            re.sub(r"\s*\n\s*", " ", f"zapz: {error.message(in_shell(error))}"),
            *(f"      {note}" for note in notes),
            *([rest] if rest else []),
        ]
    facts = [
        *_place(error.where, slices),
        ("expected", error.expected),
        ("found", error.found),
        ("do", in_shell(error)),
        *(("note", note) for note in notes),
    ]
    width = columns_of(stream)
    lines = [line for name, text in facts if text for line in _fact(name, text, width)]
    return [*_head(error, width, stream), *lines, *_wrapped(rest, width, "", "")]


def _head(error: ZapzError, width: int, stream: TextIO) -> Iterator[str]:
    """Yield what went wrong, with the exit code at the right if there is room, else below."""
    code = f"(exit {error.exit_code}: {_CODES.get(error.exit_code, 'a bug of zapz')})"
    first, *rest = _wrapped(f"error: {error.what}", width, "", "  ")
    if has_colours(stream):
        first = first.replace("error:", "\x1b[1;31merror:\x1b[0m", 1)
    room = width - len(f"error: {error.what}") - len(code)
    if not rest and room >= 2:  # noqa: PLR2004 - a gap
        yield f"{first}{' ' * room}{code}"
        return
    yield first
    yield from rest
    yield from _wrapped(code, width, "  ", "  ")


def _fact(name: str, text: str, width: int) -> list[str]:
    return _wrapped(text, width, f"  {name}".ljust(_INDENT), " " * _INDENT)


def _wrapped(text: str, width: int, first: str, rest: str) -> list[str]:
    """Break a text into lines; paths and commands stay whole, so that they can be copied."""
    return textwrap.wrap(
        text,
        max(width, len(rest) + _LEAST),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _place(where: str, slices: Sequence[str]) -> list[tuple[str, str]]:
    """Return the place of an error: slice and variable or chunk, or unchanged if not in a slice."""
    found = slice_in(where, slices)
    if found is None:
        return [("where", where)]
    name, rest = found
    return [("slice", name), ("chunk" if rest.startswith("/") else "variable", rest.lstrip(", /"))]


def slice_in(where: str, slices: Sequence[str]) -> tuple[str, str] | None:
    """Return the slice, as given, with which a place begins, and the rest of the place.

    None if the place is not in a slice.
    """
    for name in slices:
        places = (name, os.path.normpath(Path(name).expanduser().absolute())) if "://" not in name else (name,)
        for place in places:
            if where == place or where.startswith((f"{place}, ", f"{place}/")):
                return name, where[len(place) :]
    return None


def name_flag(error: ConfigError) -> None:
    """Make an error about a setting name the flag that has set it."""
    start, _, setting = error.where.partition(" ")
    if setting.partition("[")[0] in _FLAGS:  # an item of a list: one of several flags
        setting = setting.partition("[")[0]
    name, _, key = setting.partition(".")
    if start == "argument" and setting in _FLAGS:
        name, key = setting, ""
    if start != "argument" or name not in _FLAGS:
        return
    error.where = _FLAGS[name] if name == "slice_polling" or not key else f"{_FLAGS[name]} {key}"
