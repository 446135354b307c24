"""Entry point of ``zapz`` and ``python -m zapz``."""

import atexit
import gc
import sys

from zapz import interrupts
from zapz.cli.fast_path import parse
from zapz.cli.printing import printing

_YOUNG = 100_000
"""Number of new objects after which the garbage collector searches for cycles. Imports create many
objects that stay. With Python's default, the collector runs 88 times while a small slice is
appended, and finds nothing."""


def main() -> None:
    """Run the command line: a plain ``zapz append`` directly, all other commands through Typer."""
    sys.unraisablehook = interrupts.keep_swallowed
    gc.set_threshold(_YOUNG)
    atexit.register(gc.freeze)  # otherwise the interpreter searches all remaining objects several times at exit
    with printing(sys.argv[1:]):
        options = parse(sys.argv[2:]) if sys.argv[1:2] == ["append"] else None
        if options is None:
            from zapz.cli.usage import run_typer

            run_typer()
        else:
            from zapz.cli.commands import append_slices

            append_slices(options)


if __name__ == "__main__":
    main()
