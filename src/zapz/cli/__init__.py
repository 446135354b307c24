"""The command line.

May import: ``api``, ``reports``, ``config``, ``diagnostics``, and what describes a target; the demo
    also ``format``; what shows targets and plans also ``pictures``.
Begin with ``app`` (commands and options, in Typer; ``help_pages`` shows them), then ``commands``
(what a command does around the Python API: messages, exit codes, signals). ``discovery`` finds
settings that nobody named, ``fast_path`` reads the everyday command without Typer, ``usage`` runs
all others. ``lines`` says what an append does (``details`` more of it, ``dry_run`` what it would
do, ``recovered`` what came before), ``progress`` how far it is (``terminal`` draws that);
``refusal`` says errors (``hints`` what to do about them), ``standing`` what stands after one;
``info_command`` and ``output`` say what a target is, ``settings_pages`` what settings there are;
``printing`` sees to it that all this can be printed. ``words`` are numbers and names for people.
``zappend_command`` has zappend's options, ``check_command`` is ``zapz check``.
"""
