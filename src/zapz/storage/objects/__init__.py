"""Object services: S3, Azure, Google, memory, and all others that fsspec supports.

May import: what ``storage`` may.
Begin with ``files`` (reading) and ``store`` (conditional writing), then ``backends`` (the requests
of each service), ``capabilities`` (what a service honours) and ``errors`` (what an error means).
"""
