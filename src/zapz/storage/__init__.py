"""Where bytes live: the only rooms that know the operating system, fsspec, and zarr's codec pipeline."""
