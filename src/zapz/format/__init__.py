"""What Zarr is: chunk grids, metadata, codecs, shards, and the documents of Zarr v2 and v3.

Pure: no input or output. May import: ``errors``, ``cf`` (for the missing values that a v2 fill
    value stands for).
Begin with ``metadata`` (the values: ``Dataset``, ``Array``), then ``grid`` (chunks as integers) and
``codecs``; ``codec_table`` has a row for each codec, which ``compressors`` and ``streams`` carry
out. ``documents`` picks ``v2`` or ``v3``: outside of this package nothing names either.
``agreement`` compares consolidated metadata with documents; ``magic`` tells other formats of files.
"""
