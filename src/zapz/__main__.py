"""``zapz`` and ``python -m zapz``."""

import sys

from zapz.cli.fast_path import parse


def main() -> None:
    """Run the command line: the everyday one at once, all others through Typer."""
    options = parse(sys.argv[2:]) if sys.argv[1:2] == ["append"] else None
    if options is None:
        from zapz.cli.usage import run_typer

        run_typer()
    else:
        from zapz.cli.commands import append_slices

        append_slices(options)


if __name__ == "__main__":
    main()
