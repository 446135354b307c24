"""The meaning of stored numbers by the CF conventions, and exact conversion between meanings.

Pure: no input or output, and independent of Zarr. May import: ``errors``.

Begin with ``encoding`` (the meaning that attributes define), then ``conversion`` (from one encoding
to another, or a refusal). ``kernels`` has the arithmetic, ``calendars`` and ``time_conversion``
that of time, ``markers`` that of missing cells.
"""
