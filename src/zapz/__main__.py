"""``python -m zapz``."""

from zapz.cli import main

main()
