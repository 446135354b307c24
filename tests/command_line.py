"""The command line, run in this process."""

from __future__ import annotations

import contextlib
import io
import sys
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
