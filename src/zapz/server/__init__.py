"""Serve datasets as Zarr over HTTP, while they grow."""
