"""Logs and profiles of an append: the settings ``logging`` and ``profiling``.

May import: ``errors``.
Begin with ``diagnosed``, the context in which an append runs if one of them is set.
``profile_file`` writes the report of a profile.
"""
