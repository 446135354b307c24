"""``zapz`` and ``python -m zapz``."""

import atexit
import gc
import sys

from zapz import interrupts
from zapz.cli.fast_path import parse
from zapz.cli.printing import printing

_YOUNG = 100_000
"""Objects that are made until the collector looks for cycles. Imports make many that stay: by
default it looks 88 times while a small slice is appended, and finds nothing."""


def main() -> None:
    """Run the command line: the everyday one at once, all others through Typer."""
    sys.unraisablehook = interrupts.keep_swallowed
    gc.set_threshold(_YOUNG)
    atexit.register(gc.freeze)  # else the interpreter looks through all that is left, several times, when it ends
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
