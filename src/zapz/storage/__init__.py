"""Storage access: the only package that uses the operating system, fsspec and zarr's codecs.

May import: ``errors``, ``interrupts``, ``format``.
Begin with ``store`` (the operations that the rest of zapz needs), then ``open`` (from a path or URI
to a store), ``hierarchy`` (read a dataset's documents) and ``chunk_reader`` (read its chunks).
``waiting`` limits how long a process waits for a lock, a turn or a slice. ``requirements`` compares
documents with required digests, ``surroundings`` finds the dataset or pyramid that contains a
folder, ``no_dataset`` explains why a path has no dataset. ``local`` and ``objects`` are the two
types of writable storage. ``references`` and ``single_array`` can only be read, ``adapters``
accepts open stores of fsspec and zarr-python.
"""
