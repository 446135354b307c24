"""The configuration: each setting is declared once, for validation, merging and the reference.

Pure, except for ``files``. May import: ``errors``, ``cf``, ``format``, ``expressions``, the URIs of
``storage``.

Begin with ``settings`` (``Config``, and all settings with their defaults). ``types``,
``table_types`` and ``option_types`` define the types of values, ``variables`` the settings of
variables. ``files`` finds and merges files, ``parsers`` reads them, and ``trust`` decides which
settings a file may set.
"""
