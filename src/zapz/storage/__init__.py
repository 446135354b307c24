"""Where bytes live: the only rooms that know the operating system, fsspec, and zarr's codec pipeline.

May import: ``errors``, ``interrupts``, ``waiting``, ``format``.
Begin with ``store`` (the verbs that everything above needs), then ``open`` (from a place to a
store), ``hierarchy`` (read a dataset's documents) and ``chunk_reader`` (read its chunks).
``requirements`` says what documents must be, ``surroundings`` what a folder lies in, ``no_dataset``
why there is none. ``local`` and ``objects`` are the two kinds of storage that can be written to;
``references``, ``single_array`` and ``adapters`` are what else can be read.
"""
