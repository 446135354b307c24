"""Transactions on object stores, where nothing is deleted, and nothing replaced unless it is still what it was.

May import: what ``txn`` may.
Begin with ``transaction`` (one append, as conditional requests), then ``session`` (whose turn it
is), ``head`` (the object that says so) and ``lease`` (how an owner keeps its turn, and stops
itself). ``settling`` is what anybody may do about a turn that was left, ``coordinator`` takes
turns, ``watching`` looks without taking one, ``vacuum`` removes what was left.
"""
