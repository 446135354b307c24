"""The configuration: every setting is declared once; validation, merging, words and the reference come from that.

Pure, but for ``files``. May import: ``errors``, ``cf``, ``format``, ``expressions``, the URIs of
    ``storage``.
Begin with ``settings`` (``Config``, and all settings with their defaults); ``types``,
``table_types`` and ``option_types`` say what a value may be, ``variables`` has the settings of
variables. ``files`` finds and merges files, ``parsers`` reads them, ``trust`` says who may set
what.
"""
