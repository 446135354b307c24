"""Decide what an append does: may a slice follow, where does it go, which chunks are copied and which encoded.

Pure: metadata and label values come in, a ``Plan`` goes out. May import: ``errors``, ``cf``,
    ``format``, ``expressions``, ``config``; what shows a plan also ``pictures``.
Begin with ``plan`` (the value), then ``steps`` (integer arithmetic: what happens to each chunk) and
``compatibility`` (may it follow?). ``new_target`` and ``encoding`` say what a new target looks
like, ``contradictions`` whether a configuration fits an existing one; a ``receipt`` says what
became of one chunk; ``gaps`` tells the step that labels keep, ``pattern`` what happens to each
chunk.
"""
