"""An array gets another axis of length 1: its documents change, its chunks do not.

A chunk ``(y, x)`` has the same bytes as the chunks ``(1, y, x)`` and ``(y, 1, x)``, in any stored
order of axes: an axis of length 1 may be anywhere. All other text of the documents is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zapz.errors import UnsupportedError
from zapz.format import documents as doors
from zapz.format import jsontext, v2, v3
from zapz.format.fields import DIMS
from zapz.format.metadata import Dataset, join
from zapz.format.v3_codecs import named

_COORDINATES = "coordinates"
Order = tuple[int, ...]
"""Axes of the stored array, in terms of the chunk's axes."""


def with_axis(dataset: Dataset, path: str, axis: int, dim: str, like: Order | None = None) -> dict[str, bytes]:
    """Return the changed documents of an array that gets an axis of length 1.

    The name of the new dimension is removed from the array's ``coordinates``.

    Args:
        dataset: The dataset of the array.
        path: The array.
        axis: Position of the new axis.
        dim: Name of the new dimension.
        like: Order in which another array stores these axes (see ``CodecChain.order``). The new
            axis is stored in the same position, if the other axes are in the same order.

    Raises:
        UnsupportedError: zapz cannot run a codec of the array, and its bytes may depend on the
            axes.
    """
    array = dataset.arrays[path]
    if (unknown := array.codecs.unknown) is not None:
        raise UnsupportedError(
            f"cannot add the dimension {dim!r}: zapz cannot run the codecs of this array",
            where=path,
            found=(array.codecs.foreign or unknown)[:120],
            hint=f'Write the slice with the dimension (in xarray: ds.expand_dims("{dim}")), or exclude the array: {{excluded_variables}}.',
            remedies={"excluded_variables": [path]},
        )
    order = _order(array.unit_codecs.order, array.ndim + 1, axis, like, any_order=dataset.zarr_format == v3.FORMAT)
    dims = jsontext.dumps(_inserted(array.dims, axis, dim))
    lengths: dict[jsontext.Path, str] = {("shape",): jsontext.dumps(_inserted(array.shape, axis, 1))}
    chunks = jsontext.dumps(_inserted(array.grid.chunks, axis, 1))
    coordinates = _without(array.attributes.get(_COORDINATES), dim)
    documents = dataset.documents
    if dataset.zarr_format == v2.FORMAT:
        key, attributes = join(path, v2.ARRAY), join(path, v2.ATTRIBUTES)
        values = {**lengths, ("chunks",): chunks, ("order",): '"C"' if order is None else '"F"'}
        text = jsontext.text_of(documents[attributes], attributes) if attributes in documents else "{}"
        return {
            key: jsontext.replaced(jsontext.text_of(documents[key], key), values).encode(),
            attributes: _changed(text, {DIMS: dims, **coordinates}).encode(),
        }
    key = join(path, v3.NODE)
    text = jsontext.text_of(documents[key], key)
    meta = jsontext.parse_object(text, key)
    changed: dict[jsontext.Path, str] = {
        **lengths,
        ("chunk_grid", "configuration", "chunk_shape"): chunks,
        ("dimension_names",): dims,
    }
    codecs = _codecs(meta["codecs"], axis, order, key)
    if codecs != meta["codecs"]:
        changed[("codecs",)] = jsontext.dumps(codecs)
    text = _changed_attributes(text, {DIMS: None, **coordinates}) if "attributes" in meta else text
    return {key: jsontext.replaced(text, changed).encode()}


def without_coordinate(dataset: Dataset, group: str, dim: str) -> dict[str, bytes]:
    """Return the changed document of a group without ``dim`` in ``coordinates``; else nothing."""
    changes = _without(dataset.groups[group].get(_COORDINATES), dim)
    if not changes:
        return {}
    own, nested = doors.of(dataset.zarr_format).HOLDS_ATTRIBUTES
    key = join(group, own)
    text = jsontext.text_of(dataset.documents[key], key)
    return {key: (_changed_attributes(text, changes) if nested else _changed(text, changes)).encode()}


def _inserted(values: Sequence[Any], axis: int, value: Any) -> list[Any]:
    return [*values[:axis], value, *values[axis:]]


def _order(old: Order | None, ndim: int, axis: int, like: Order | None, *, any_order: bool) -> Order | None:
    """Return the stored order of an array with one more axis; None if it is the axes' own."""
    identity = tuple(range(ndim))
    reverse = identity[::-1]
    before = old or identity[:-1]
    wanted = like if like is not None and sorted(like) == list(identity) else identity
    if tuple(i - (i > axis) for i in wanted if i != axis) == before and (any_order or wanted in {identity, reverse}):
        order = wanted
    else:
        order = reverse if before == reverse[1:] else (axis, *(i + (i >= axis) for i in before))
    return None if order == identity else order


def _codecs(codecs: Sequence[Any], axis: int, order: Order | None, where: str) -> list[Any]:
    """Return the v3 codecs of an array with one more axis.

    Of the codecs that zapz runs, only shards and transpositions depend on axes.
    """
    name, config = named(codecs[0], where)
    if name == "sharding_indexed":
        shape, inner = _inserted(config["chunk_shape"], axis, 1), _codecs(config["codecs"], axis, order, where)
        return [{"name": name, "configuration": {**config, "chunk_shape": shape, "codecs": inner}}]
    rest = [codec for codec in codecs if named(codec, where)[0] != "transpose"]
    transposed = {"name": "transpose", "configuration": {"order": list(order or ())}}
    return [*([transposed] if order is not None else []), *rest]


def _without(coordinates: Any, dim: str) -> dict[str, str | None]:
    """Return the change that removes a name from an attribute ``coordinates``, if it is there."""
    words = coordinates.split() if isinstance(coordinates, str) else []
    if dim not in words:
        return {}
    rest = " ".join(word for word in words if word != dim)
    return {_COORDINATES: jsontext.dumps(rest) if rest else None}


def _changed(text: str, changes: Mapping[str, str | None]) -> str:
    """Return the text of an object with changed members; members that become None are removed."""
    for name in changes:
        if changes[name] is None:
            text = jsontext.without(text, name)
    return jsontext.replaced(text, {(name,): value for name, value in changes.items() if value is not None})


def _changed_attributes(text: str, changes: Mapping[str, str | None]) -> str:
    """Return the text of a v3 document with changed attributes."""
    member = next(m for m in jsontext.members(text) if m.key == "attributes")
    return text[: member.start] + _changed(text[member.start : member.end], changes) + text[member.end :]
