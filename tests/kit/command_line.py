"""The command line, run in this process."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from dataclasses import dataclass
from typing import TextIO
from unittest import mock

from zapz.__main__ import main


def run_into(out: TextIO, *words: object) -> tuple[int, str]:
    """Run the command line with this standard output; return exit code and standard error."""
    err = io.StringIO()
    code = 0
    with (
        mock.patch.object(sys, "argv", ["zapz", *map(str, words)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    return code, err.getvalue()


def run(*words: object) -> tuple[int, str, str]:
    """Run the command line; return exit code, standard output, standard error."""
    out = io.StringIO()
    code, err = run_into(out, *words)
    return code, out.getvalue(), err


@dataclass(frozen=True)
class Said:
    """What a command said."""

    code: int
    out: str
    err: str


def cli(*arguments: object) -> Said:
    """Run the command line in this process."""
    from zapz.__main__ import main

    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["zapz", *map(str, arguments)]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                main()
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
            except BaseException:  # noqa: BLE001 - what Python itself would do with it
                traceback.print_exc()
                code = 1
    finally:
        sys.argv = before
    return Said(code, out.getvalue(), err.getvalue())


def run_encoded(*words: object, encoding: str = "utf-8") -> tuple[int, str, str]:
    """Run the command line where standard output is strict, as in most locales; return exit code, output and errors."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    code, err = run_into(out, *words)
    out.flush()
    return code, out.buffer.getvalue().decode(encoding), err  # type: ignore[attr-defined]
