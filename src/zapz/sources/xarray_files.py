"""Files that are no Zarr, such as NetCDF, as zappend takes them for slices: xarray opens them, if it is installed."""

from __future__ import annotations

import importlib
import os
from typing import Any

from zapz.errors import UnsupportedError
from zapz.storage.uris import is_local, local_path


class XarrayFile:
    """A file that xarray opens when its turn comes."""

    def __init__(self, path: str, engine: str | None = None) -> None:
        self._path = path
        self._engine = engine
        self._dataset: Any = None

    def get_dataset(self) -> Any:
        """Open it.

        Raises:
            UnsupportedError: xarray is not installed.
        """
        try:
            xarray = importlib.import_module("xarray")
        except ModuleNotFoundError as error:
            raise UnsupportedError(
                "the slice is a file, and no Zarr",
                where=self._path,
                expected="xarray, which opens such files",
                found=f"no module {error.name!r}",
                hint="pip install xarray netCDF4",
            ) from error
        self._dataset = xarray.open_dataset(self._path, engine=self._engine)
        return self._dataset

    def close(self) -> None:
        """Close it."""
        if self._dataset is not None:
            self._dataset.close()


def is_file(item: Any) -> bool:
    """Return whether an item is the path of a local file that is no Zarr."""
    if not isinstance(item, str | os.PathLike) or not is_local(os.fspath(item)):
        return False
    path = local_path(os.fspath(item))
    return path.suffix != ".zip" and path.is_file()


def file_or_item(item: Any, engine: str | None = None) -> Any:
    """Return an item as a slice: a file that is no Zarr as what opens it, all else as it is. This is a slice source for paths.

    Args:
        item: What a user gave as a slice.
        engine: xarray's engine; the one that fits if None.
    """
    return XarrayFile(str(local_path(os.fspath(item))), engine) if is_file(item) else item
