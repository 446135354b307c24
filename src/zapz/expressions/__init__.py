"""Expressions in attribute values, such as ``{{ lower_bound(ds.time) }}``.

Pure: no input or output; expressions never run Python code. May import: ``errors``, ``cf``.
Begin with ``evaluator`` (what an expression may contain, and its value); ``parser`` parses text.
"""
