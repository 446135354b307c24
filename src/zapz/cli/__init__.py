"""The command line.

May import: ``api``, ``reports``, ``config``, ``diagnostics``, and what describes a target; the demo also ``format``.
Begin with ``app`` (commands and options, in Typer), then ``commands`` (what a command does around the Python API: messages, exit codes,
signals). ``fast_path`` reads the everyday command without Typer, ``lines`` says what an append does,
``progress`` how far it is (``terminal`` draws that), ``output`` what a target is; ``words`` are numbers and names for people.
"""
