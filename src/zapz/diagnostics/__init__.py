"""What happened during an append, for those who look later: the settings ``logging`` and ``profiling``.

May import: ``errors``.
Begin with ``diagnosed`` (the context in which an append runs if either is set); ``profile_file``
writes the report of a profile.
"""
