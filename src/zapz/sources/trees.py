"""Slices of several groups in memory: multi-level datasets of xcube, trees of xarray.

Neither package is imported: their objects are recognised by their attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zapz.errors import SliceError
from zapz.format import jsontext
from zapz.format.level_names import LEVELS
from zapz.sources.array_variables import ArrayVariable, is_dataset, of_dataset
from zapz.sources.arrays import ArraysSource, Options
from zapz.sources.contexts import is_multi_level
from zapz.storage.local.posix import is_file
from zapz.storage.uris import is_local, local_path

_Parts = tuple[dict[str, ArrayVariable], dict[str, Mapping[str, Any]], dict[str, bytes]]
"""Variables by path, attributes of groups by path, and further documents."""


def stored_place(item: Any) -> str | None:
    """Return the local path from which a multi-level dataset was opened; None if it has none.

    Its chunks are copied from there, and its levels are not computed. This is safe only if no level
    is in memory yet: a program may have replaced it (xcube's ``set_dataset``).
    """
    path, files = getattr(item, "path", None), getattr(item, "fs", None)
    if not isinstance(path, str) or not is_local(path) or getattr(item, "_level_datasets", True):
        return None
    protocol = getattr(files, "protocol", "file")
    if "file" not in ({protocol} if isinstance(protocol, str) else set(protocol)):
        return None
    place = path.removeprefix("file://")
    return place if place.startswith("/") and is_file(str(local_path(place) / LEVELS)) else None


def source_of_tree(item: Any, label: str, options: Options) -> ArraysSource:
    """Return a slice from a multi-level dataset or a tree; see ``arrays.source_of``.

    Raises:
        SliceError: Its variables are invalid.
    """
    variables, groups, documents = _of_levels(item, label) if is_multi_level(item) else _of_tree(item)
    return ArraysSource(variables, groups, label, options, documents)


def _of_levels(item: Any, label: str) -> _Parts:
    """Return the parts of a multi-level dataset, as xcube stores it: ``0.zarr``, ``1.zarr``, ….

    Args:
        item: An object with ``num_levels`` and ``get_dataset(level)``.
        label: Name of the slice, for messages.

    Raises:
        SliceError: It has no levels, or a level is not a dataset.
    """
    variables: dict[str, ArrayVariable] = {}
    groups: dict[str, Mapping[str, Any]] = {}
    for level in range(int(item.num_levels)):
        dataset = item.get_dataset(level)
        if not is_dataset(dataset):
            raise SliceError(
                "a level is not a dataset",
                where=f"{label}, level {level}",
                expected="a dataset of xarray",
                found=type(dataset).__name__,
            )
        found, groups[f"{level}.zarr"] = of_dataset(dataset)
        variables |= {f"{level}.zarr/{name}": variable for name, variable in found.items()}
    if not variables:
        raise SliceError("the slice has no levels", where=label, found=f"num_levels {item.num_levels}")
    meta: dict[str, Any] = {"version": "1.0", "num_levels": int(item.num_levels), "use_saved_levels": False}
    methods = getattr(item, "agg_methods", None)
    if isinstance(methods, Mapping):
        meta["agg_methods"] = {str(name): method for name, method in methods.items() if isinstance(method, str)}
    return variables, groups, {LEVELS: jsontext.dumps(meta, indent=2).encode()}


def _of_tree(item: Any) -> _Parts:
    """Return the parts of a tree of datasets: each node is a group.

    Coordinates that a node inherits are left out, as ``DataTree.to_zarr`` does.
    """
    variables: dict[str, ArrayVariable] = {}
    groups: dict[str, Mapping[str, Any]] = {}
    for node in item.subtree:
        path = str(node.path).removeprefix(str(item.path)).strip("/")
        found, groups[path] = of_dataset(node.to_dataset(inherit=False))
        variables |= {f"{path}/{name}" if path else name: variable for name, variable in found.items()}
    return variables, groups, {}
