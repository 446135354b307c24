"""The command line.

May import: ``api``, ``reports``, ``config``, ``diagnostics``, and ``operations.describe``; the demo
also ``format``; what shows targets and plans also ``pictures``.
Begin with ``app`` (commands and options, in Typer), then ``commands`` (what a command does around
the Python API: messages, exit codes, signals).

- Start: ``fast_path`` parses a plain ``zapz append`` without Typer, ``usage`` runs all other
  commands, ``discovery`` finds settings that are not on the command line.
- An append: ``lines`` prints its results (``details`` with ``-v``, ``dry_run`` without writing,
  ``recovered`` about an earlier run), ``progress`` shows how far it is, ``terminal`` draws that
  line.
- Errors: ``refusal`` formats them, ``hints`` turns settings in hints into flags, ``standing`` says
  which slices were appended before the error.
- Pages: ``help_pages`` are ``--help``, ``info_command`` and
  ``output`` are ``zapz info``, ``settings_pages`` is
  ``zapz config``, ``check_command`` is ``zapz check``, ``zappend_command`` has zappend's options.
- Below all: ``printing`` makes sure that printing never raises, ``words`` formats numbers and names
  for display.
"""
