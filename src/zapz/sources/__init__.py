"""What can be a slice. Everything above sees an open slice: a name, metadata, and chunk bytes by key.

May import: ``errors``, ``cf``, ``format``, ``storage``, ``config``, and from ``planning`` the
    selection of variables.
Begin with ``source`` (the interface that programs implement) and ``opener`` (from what a user gives
to an open slice); ``open_slice`` opens stored ones, ``arrays``, ``array_like`` and ``dask_arrays``
those in memory, ``slice_source`` finds functions that make slices, ``names`` says what people call
an item, ``xarray_files`` has xarray open what is no Zarr, ``feed`` opens slices ahead of their
turn, ``contexts`` enters and leaves what has to be, ``readiness`` waits. ``source_store`` dresses a
source as a store.
"""
