"""Everything that can be a slice, as an open slice: a name, metadata, and chunk bytes by key.

May import: ``errors``, ``cf``, ``format``, ``storage``, ``config``, and from ``planning`` the
selection of variables.

Begin with ``source`` (the interface that programs implement) and ``opener`` (opens what a user
passes as a slice). ``open_slice`` opens stored slices; ``arrays``, ``array_like``,
``array_regions`` and ``dask_arrays`` those in memory. ``dask_blocks`` computes lazy arrays block by
block, for a server, with a ``shared_cache``. ``slice_source`` finds functions that create slices,
``names`` names an item for messages, and ``xarray_files`` opens other files with xarray. ``feed``
opens slices ahead, ``contexts`` enters and exits context managers, and ``readiness`` waits for
slices. ``source_store`` wraps a source as a store.
"""
