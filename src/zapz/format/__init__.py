"""Zarr as values: chunk grids, metadata, codecs, shards, and the documents of Zarr v2 and v3.

Pure: no input or output. May import: ``errors``, ``cf`` (for the missing values that a v2 fill
value stands for).

Begin with ``metadata`` (the values: ``Dataset``, ``Array``), then read ``grid`` (chunks as
integers) and ``codecs``. ``codec_table`` has one row per codec; ``compressors`` and ``streams``
execute the rows. ``documents`` selects ``v2`` or ``v3``; no module outside this package names
either. ``agreement`` compares consolidated metadata with documents. ``magic`` recognises other file
formats.
"""
