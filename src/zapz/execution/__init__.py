"""Carry out a plan: read chunks, make those of the target, hand them to whatever writes.

May import: ``errors``, ``cf``, ``format``, ``storage``, ``planning``; not ``txn``, ``sources`` or
    ``config``: where chunks come from and
where they go is decided above. Begin with ``run`` (the loop over steps, in bounded memory), then
``chunk_builder`` (the bytes of one chunk, wherever they go; ``shard_builder`` for shards) and
``writer`` (to a sink). ``sparse`` is for arrays with far more chunks than exist.
"""
