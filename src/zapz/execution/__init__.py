"""Execute a plan: read chunks, build those of the target, and write them to a sink.

May import: ``errors``, ``cf``, ``format``, ``storage``, ``planning``; not ``txn``, ``sources`` or
``config``: callers choose source and sink.

Begin with ``run`` (the loop over steps, in bounded memory), then read ``chunk_builder`` (the bytes
of one chunk; ``shard_builder`` for shards) and ``writer`` (to a sink). ``sparse`` is for arrays
with far more chunks than exist.
"""
