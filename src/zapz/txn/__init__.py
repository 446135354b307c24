"""All or nothing: the journal, the transaction that writes it, and recovery, which is what opening a target does.

May import: ``errors``, ``interrupts``, ``waiting``, ``format``, ``storage``, ``planning``; not
    ``execution`` or
``sources``: chunks come as bytes. Begin with ``protocol`` (what a writer is given, on any storage)
and ``session`` (which asks what kind that is, as nothing else does), then ``journal`` (what is
written down before the first change; ``records`` frames it). ``local`` and ``objects`` are the two
kinds of transaction; ``bounds`` says how far a journal is believed, ``register`` remembers the last
commits.
"""
