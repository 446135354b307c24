"""The command line.

May import: ``api``, ``reports``, ``config``, ``diagnostics``, and what describes a target; the demo also ``format``.
Begin with ``app`` (commands and options, in Typer), then ``commands`` (what a command does around the Python API: messages, exit codes,
signals). ``fast_path`` reads the everyday command without Typer, ``output`` says what is printed; ``printing``
sees to it that it can be. ``zappend_command`` has zappend's options, ``check_command`` is ``zapz check``.
"""
