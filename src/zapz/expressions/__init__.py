"""Expressions in attribute values: ``{{ lower_bound(ds.time) }}`` and the like.

Pure: no input or output; expressions are never Python's. May import: ``errors``, ``cf``.
Begin with ``evaluator`` (what an expression may say, and what becomes of it);
``parser`` turns text into parts.
"""
