"""Compare a configured encoding with that of an existing target. Pure.

They agree if applying the configuration would change nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zapz.cf.encoding import encoding_or_bare
from zapz.config.array_encoding import UNSET, ArrayEncoding
from zapz.errors import ConfigError
from zapz.format.codecs import normal
from zapz.format.metadata import Array
from zapz.planning import encoding_values
from zapz.planning.encoding import EncodingContext, apply_encoding


def contradiction(array: Array, encoding: ArrayEncoding, context: EncodingContext) -> ConfigError | None:
    """Return the error for a configured encoding that differs from a target's array, or None.

    Args:
        array: The target's array.
        encoding: The configured encoding of the array.
        context: Context of the encoding; its ``steps`` are None.
    """
    made = apply_encoding(array, encoding, context)
    for key, expected, found in _differences(array, made):
        if key == "fill_value" and array.is_label:  # a label needs no fill value: see ``new_target``
            continue
        if key in encoding.given or (key == "shards" and encoding.chunks is not UNSET):
            return ConfigError(
                "the configuration contradicts the target",
                where=f"{context.where}.{encoding.word if key == 'fill_value' else key}",
                expected=f"{expected}, as in the target",
                found=str(found),
                hint="The target keeps its encoding. Remove this setting, or use {force_new} to create it again from this run's slices.",
                remedies={"force_new": True},
            )
    return None


def _differences(here: Array, there: Array) -> Sequence[tuple[str, Any, Any]]:
    a, b = (encoding_or_bare(x.dtype, x.attributes, x.marker) for x in (here, there))
    pairs: list[tuple[str, Any, Any]] = [
        ("dtype", _type_name(here), _type_name(there)),
        ("chunks", here.units.chunks, there.units.chunks),
        ("shards", _shard_shape(here), _shard_shape(there)),
        ("scale_factor", a.packing[0], b.packing[0]),
        ("add_offset", a.packing[1], b.packing[1]),
    ]
    if a.axis != b.axis:
        pairs += [("units", a.units or "none", b.units or "none"), ("calendar", a.calendar, b.calendar)]
    pairs.append(("fill_value", _fill_name(here), _fill_name(there)))
    old_codecs, new_codecs = (normal(x.unit_codecs) for x in (here, there))
    pairs += [(key, old_codecs, new_codecs) for key in ("compressor", "filters", "codecs")]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _type_name(array: Array) -> str:
    names = {serializer: name for name, serializer in encoding_values.VARIABLE_TEXTS.items()}
    return names.get(array.unit_codecs.serializer, str(array.dtype))


def _shard_shape(array: Array) -> tuple[int, ...] | None:
    return array.grid.chunks if array.codecs.shards is not None else None


def _fill_name(array: Array) -> str:
    image = array.fill.image
    marked = "" if array.marker is None else ", which marks missing cells"
    return f"{array.fill.value!s}{marked}" if image is not None else f"none{marked}"
