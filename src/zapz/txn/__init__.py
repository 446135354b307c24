"""All or nothing: the journal, the transaction that writes it, and recovery, which opening runs.

May import: ``errors``, ``interrupts``, ``format``, ``storage``, ``planning``; not
``execution`` or ``sources``: chunks come as bytes.
Begin with ``protocol`` (what a writer gets, on any storage) and ``session`` (the only module that
checks the type of storage), then ``journal`` (what is recorded before the first change; ``records``
frames it). ``local`` and ``objects`` are the two types of transaction. ``bounds`` checks a journal
against the documents, ``register`` records the last commits.
"""
