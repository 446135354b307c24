"""Object services: S3, Azure, Google, memory, and every other that fsspec knows.

May import: what ``storage`` may.
Begin with ``files`` (reading) and ``store`` (writing, on conditions), then ``backends`` (the
requests of each service), ``capabilities`` (what a service honours) and ``errors`` (what a service
meant).
"""
