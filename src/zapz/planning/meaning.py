"""The meaning of a variable's stored numbers in slice and target, and the conversion. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from zapz.cf.attributes import SAY_WHAT_IS_STORED
from zapz.cf.conversion import Conversion, conversion
from zapz.cf.encoding import Encoding, encoding_of
from zapz.config.settings import Config
from zapz.errors import EncodingError, SliceError
from zapz.format import documents as doors
from zapz.format.dtypes import read_marker, undefined
from zapz.format.metadata import Array, Dataset

_TEXT = {"U": {"bytes"}, "S": {"bytes"}, "O": {"vlen-utf8", "vlen-bytes"}}
"""Serializers of text, by kind of data type."""
_CHARACTER = np.dtype("S1")


def meaning_of(dataset: Dataset, path: str, fills: str | None = None) -> Encoding:
    """Return the meaning of a variable's stored numbers.

    Bounds without units inherit those of their parent variable (CF sections 7.1, 7.4).

    Args:
        dataset: The dataset of the variable.
        path: The variable.
        fills: Meaning of cells that equal an unconfirmed v2 fill value: "missing" or "value"; None
            if undecided.

    Raises:
        EncodingError: Its attributes are invalid.
    """
    array = dataset.arrays[path]
    if array.assumed and fills == "value":
        array = replace(array, marker=read_marker(array.attributes.get("_FillValue"), array.dtype, path), assumed=False)
    attributes, marker = dataset.attributes_of(path), array.marker
    if array.dtype == _CHARACTER:  # a NUL after a text is not a missing character
        return encoding_of(array.dtype, {k: v for k, v in attributes.items() if k != "missing_value"}, None)
    if marker is None and array.unit_codecs.serializer in _TEXT.get(array.dtype.kind, ()):
        # Empty text is missing everywhere.
        marker = undefined(array.dtype) if array.unit_codecs.serializer != "vlen-bytes" else b""
    unclear: list[Any] = []
    if array.assumed and fills is None:
        named = read_marker(array.attributes.get("_FillValue"), array.dtype, path)
        unclear = [value for value in (marker, named) if value is not None]
    return encoding_of(array.dtype, attributes, marker, unclear=unclear)


def conversion_of(
    slice_: Dataset, target: Dataset, path: str, where: str, config: Config, *, narrow: bool = False
) -> Conversion:
    """Return the conversion of a variable's stored values from slice to target.

    Args:
        slice_: The slice.
        target: The target.
        path: The variable.
        where: The slice and variable, for messages.
        config: Settings.
        narrow: Whether the user chose the target's data type, so that numbers may be rounded to it.

    Raises:
        SliceError: The values cannot be converted.
    """
    source, array = slice_.arrays[path], target.arrays[path]
    target_codecs, slice_codecs = array.unit_codecs, source.unit_codecs
    texts = {slice_codecs.serializer, target_codecs.serializer} == {"bytes", "vlen-utf8"} and "U" in {
        source.dtype.kind,
        array.dtype.kind,
    }
    objects = "O" in {source.dtype.kind, array.dtype.kind} and slice_codecs.serializer != target_codecs.serializer
    if objects and not texts and not (slice_codecs.foreign or target_codecs.foreign):
        raise EncodingError(
            "objects are stored with another codec",
            where=where,
            expected=target_codecs.serializer,
            found=slice_codecs.serializer,
        )
    fills = config.v2_fill_value
    try:
        meanings = meaning_of(slice_, path, fills), meaning_of(target, path, fills)
    except EncodingError as error:
        if _say_the_same(slice_, target, path):
            bare = Encoding(dtype=array.dtype.newbyteorder("="))
            return conversion(bare, bare, name=path)
        raise error.at(where) from None
    try:
        made = conversion(*meanings, narrow=narrow, name=path)
        hiding = _hiding(target, path, config)
        copied = made.identity and slice_.zarr_format == target.zarr_format and source.fill == array.fill
        return made if hiding is None or copied else conversion(meanings[0], hiding, narrow=narrow, name=path)
    except SliceError as error:
        raise error.at(where) from None


class Conversions:
    """Conversions of consecutive slices; a conversion is reused while its causes are the same."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[tuple[Any, ...], Conversion]] = {}
        self._bounds: dict[str, tuple[Dataset, Mapping[str, Array]]] = {}

    def of(
        self, slice_: Dataset, target: Dataset, path: str, where: str, config: Config, *, narrow: bool = False
    ) -> Conversion:
        """Return the conversion of a variable's stored values from slice to target.

        Args:
            slice_: The slice.
            target: The target.
            path: The variable.
            where: The slice and variable, for messages.
            config: Settings; the same in every call.
            narrow: Whether the user chose the target's data type, so that numbers may be rounded to
                it.

        Raises:
            SliceError: The values cannot be converted.
        """
        causes = (*self._causes("slice", slice_, path), *self._causes("target", target, path), narrow)
        last = self._last.get(path)
        if last is not None and all(a is b for a, b in zip(last[0], causes, strict=True)):
            return last[1]
        found = conversion_of(slice_, target, path, where, config, narrow=narrow)
        self._last[path] = causes, found
        return found

    def _causes(self, side: str, dataset: Dataset, path: str) -> tuple[Any, ...]:
        """Return all that defines the meaning of a variable, to be compared by identity."""
        known = self._bounds.get(side)
        if known is None or known[0] is not dataset:
            known = self._bounds[side] = dataset, dataset.bounds
        array, whose = dataset.arrays[path], known[1].get(path)
        own = array.dtype, array.attributes, array.marker, array.fill, array.codecs, array.assumed
        return *own, None if whose is None else whose.attributes, dataset.zarr_format


def _hiding(target: Dataset, path: str, config: Config) -> Encoding | None:
    """Return the meaning that xarray gives to growing bounds, if it hides values; else None.

    xarray treats a v2 fill value as missing, although bounds are never missing. Bounds that are
    copied into an array with the same fill value are read as before. Other bounds must not become
    missing.
    """
    array = target.arrays[path]
    fill = array.fill.value
    if (
        not doors.of(target.zarr_format).MARKS_BY_FILL
        or path not in target.bounds
        or array.axis(config.append_dim) is None
    ):
        return None
    if array.marker is not None or fill is None or array.dtype.kind not in "iufc" or config.v2_fill_value == "value":
        return None
    return encoding_of(array.dtype, target.attributes_of(path), fill, unclear=[fill])


def _say_the_same(slice_: Dataset, target: Dataset, path: str) -> bool:
    """Return whether a variable is stored in the same way on both sides.

    Then attributes that zapz does not understand do not matter.
    """
    here, there = slice_.arrays[path], target.arrays[path]
    slice_stored, target_stored = (
        {key: repr(value) for key, value in dataset.attributes_of(path).items() if key in SAY_WHAT_IS_STORED}
        for dataset in (slice_, target)
    )
    return (here.dtype, here.fill, repr(here.marker), slice_stored) == (
        there.dtype,
        there.fill,
        repr(there.marker),
        target_stored,
    )
