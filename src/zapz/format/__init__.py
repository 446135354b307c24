"""What Zarr is: chunk grids, metadata, codecs, shards and CF meaning. Pure: nothing in here does input or output."""
