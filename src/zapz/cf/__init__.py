"""What stored numbers mean by the CF conventions: missing values, packing, units of time; and exact conversion from one meaning to another.

Pure: no input or output, and nothing of Zarr. May import: ``errors``.
Begin with ``encoding`` (what an array's attributes say), then ``conversion`` (from one encoding to
another, or a refusal); ``kernels`` has the arithmetic, ``calendars`` and ``time_conversion`` that
of time, ``markers`` that of missing cells.
"""
