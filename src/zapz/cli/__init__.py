"""The command line.

May import: ``api``, ``reports``, ``config``, ``diagnostics``, and what describes a target; the demo also ``format``.
Begin with ``app`` (commands and options, in Typer; ``help_pages`` shows them), then ``commands`` (what a command does around the Python
API: messages, exit codes, signals). ``discovery`` finds settings that nobody named, ``fast_path`` reads the everyday command without
Typer, ``output`` prints, ``settings_pages`` shows what settings there are, ``zappend_command`` has zappend's options.
"""
