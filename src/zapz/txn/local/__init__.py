"""Transactions on local storage: staged files, a journal, a decision; and recovery from them.

May import: what ``txn`` may.
Begin with ``intents`` (what will be done) and ``transaction`` (one append), then ``recovery``
(finish or roll back what a crash left). ``replacement`` replaces an old target by a new one,
``inventory`` lists what a dataset contains.
"""
