"""Transactions on object stores: nothing is deleted, and only unchanged objects are replaced.

May import: what ``txn`` may.
Begin with ``transaction`` (one append, as conditional requests), then ``session`` (turns), ``head``
(the object that records the turn) and ``lease`` (how an owner keeps its turn, and stops itself).
``settling`` finishes or aborts an interrupted turn, which any process may do. ``coordinator`` takes
turns, ``watching`` inspects a target without taking one, ``vacuum`` removes leftovers.
"""
