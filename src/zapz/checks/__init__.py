"""Checks that need data: static variables, labels, and slices that are already there.

May import: all below, but of ``txn`` only the register of commits.
Begin with ``reading`` (cells of a target or slice, for checks), then ``static`` (static variables)
and ``already_appended`` (is this slice there, and is it equal?). ``comparing`` does the comparison
within a ``budget``. ``configured_attributes`` evaluates expressions in attributes. ``soundness``
and ``stored_chunks`` are the checks of ``zapz check``.
"""
