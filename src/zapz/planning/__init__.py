"""Decide what an append does: whether a slice may follow, its position, how chunks are written.

Pure: metadata and label values come in, a ``Plan`` goes out. May import: ``errors``, ``cf``,
``format``, ``expressions``, ``config``; what shows a plan also ``pictures``.

Begin with ``plan`` (the value), then read ``steps`` (integer arithmetic: what happens to each
chunk) and ``compatibility`` (whether a slice may follow). ``new_target`` and ``encoding`` define a
new target, ``contradictions`` compares a configuration with an existing one. A ``receipt``
describes one written chunk, and ``gaps`` finds the step between labels.
``pattern`` describes what happens to each chunk.
"""
