"""Files that are not Zarr, such as NetCDF, as slices in zappend's way: xarray opens them."""

from __future__ import annotations

import importlib
import os
from typing import Any

from zapz.errors import UnsupportedError
from zapz.storage.uris import is_local, local_path


class XarrayFile:
    """A file that xarray opens when it is needed."""

    def __init__(self, path: str, engine: str | None = None) -> None:
        self._path = path
        self._engine = engine
        self._dataset: Any = None

    def get_dataset(self) -> Any:
        """Open the file, and return its dataset.

        Raises:
            UnsupportedError: xarray is not installed.
        """
        try:
            xarray = importlib.import_module("xarray")
        except ModuleNotFoundError as error:
            raise UnsupportedError(
                "the slice is a file that is not Zarr",
                where=self._path,
                expected="xarray, to open such files",
                found=f"no module {error.name!r}",
                hint="pip install xarray netCDF4",
            ) from error
        self._dataset = xarray.open_dataset(self._path, engine=self._engine)
        return self._dataset

    def close(self) -> None:
        """Close the dataset."""
        if self._dataset is not None:
            self._dataset.close()


def is_file(item: Any) -> bool:
    """Return whether an item is the path of a local file that is not Zarr."""
    if not isinstance(item, str | os.PathLike) or not is_local(os.fspath(item)):
        return False
    path = local_path(os.fspath(item))
    return path.suffix != ".zip" and path.is_file()


def file_or_item(item: Any, engine: str | None = None) -> Any:
    """Return a file that is not Zarr as an ``XarrayFile``, and any other item unchanged.

    This is a slice source for paths.

    Args:
        item: A slice, as passed by the user.
        engine: xarray's engine; None to let xarray choose.
    """
    return XarrayFile(str(local_path(os.fspath(item))), engine) if is_file(item) else item
