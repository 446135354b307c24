"""Transactions on local storage: staged files, a journal, a decision; and recovery from them.

May import: what ``txn`` may.
Begin with ``intents`` (what will be done) and ``transaction`` (one append), then ``recovery``
(finish or undo what a crash left); ``replacement`` puts a new target in the place of an old one,
``inventory`` says what a dataset consists of.
"""
