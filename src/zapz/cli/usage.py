"""Run the command line through Typer, and report its usage errors like all other errors."""

from __future__ import annotations

import sys
from typing import Any

import typer

from zapz.cli.app import app
from zapz.cli.commands import errors
from zapz.cli.fast_path import APPEND
from zapz.cli.serve_command import NUMBERS
from zapz.errors import ConfigError

_NUMBERS = {"integer": "an integer", "number": "a number"}


def run_typer() -> None:
    """Run the command line.

    Raises:
        SystemExit: As the command; with code 2 for a usage error.
    """
    usage: Any = typer.BadParameter.__mro__[1]  # the module of this class differs between Typer versions
    try:
        code = app(prog_name="zapz", standalone_mode=False)
    except typer.Abort:
        typer.echo("Interrupted", err=True)
        raise SystemExit(130) from None
    except usage as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            raise SystemExit(2) from None
        with errors(show=False, as_json="--json" in sys.argv):
            raise _refusal(error) from None
    raise SystemExit(code if isinstance(code, int) else 0)


def _refusal(error: Any) -> ConfigError:
    """Return the error for an invalid command line."""
    named = [word for word in sys.argv[1:2] if not word.startswith("-")]
    command = error.ctx.command_path if error.ctx is not None else " ".join(["zapz", *named])
    hint = f"See `{command} --help`."
    parameter = getattr(error, "param", None)
    flags = [flag for flag in getattr(parameter, "opts", ()) if flag.startswith("-")]
    kinds = {flag: option.kind for option in APPEND.values() for flag in option.flags} | NUMBERS
    expected = next((_NUMBERS[kinds[flag]] for flag in flags if kinds.get(flag) in _NUMBERS), "")
    if expected:
        return ConfigError("not a number", where=flags[0], expected=expected, hint=hint)
    near = getattr(error, "possibilities", None)
    if near:
        hint = f"Did you mean {' or '.join(sorted(near))}? {hint}"
    text = (error.message if near else error.format_message()).strip().rstrip(".")
    text, mark, meant = text.partition(". Did you mean ")  # Typer's text for an unknown command
    if mark:
        hint = f"Did you mean {meant} {hint}"
    return ConfigError(f"{text[:1].lower()}{text[1:]}", hint=hint)
