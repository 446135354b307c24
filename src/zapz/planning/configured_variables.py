"""What a configuration adds to a new target: attributes, and variables that its first slice lacks. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from zapz.cf.attributes import READ_WHEN_CONVERTING, SAY_WHAT_IS_STORED, UNITS
from zapz.cf.conversion import encoding_of
from zapz.config.array_encoding import is_value
from zapz.config.settings import Config
from zapz.errors import ConfigError, VariableError
from zapz.format import documents as doors
from zapz.format.attributes import plain
from zapz.format.codecs import Codec, CodecChain, endian_of
from zapz.format.fields import DIMS
from zapz.format.grid import RegularGrid
from zapz.format.metadata import Array, Dataset, FillValue
from zapz.planning.selection import takes_part

_STORED = SAY_WHAT_IS_STORED - UNITS | {DIMS}
"""Attributes that say how values are stored, or of what shape: they are the encoding's business."""


def described(attrs: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the configured attributes of a variable, without expressions (they are evaluated when the data are there).

    Raises:
        ConfigError: One of them says how values are stored, which is the encoding's business.
    """
    from zapz.expressions.evaluator import has_expressions  # imported where used: most targets do without

    for key, value in attrs.items():
        if key in _STORED or (key in READ_WHEN_CONVERTING and has_expressions({key: value})):
            raise ConfigError(
                "an attribute would change what the stored values mean",
                where=f"variables.{path}.attrs.{key}",
                hint="Give it in `encoding`, where zapz converts the values accordingly.",
            )
    return {
        key: plain(value, f"variables.{path}.attrs.{key}")
        for key, value in attrs.items()
        if not has_expressions({key: value})
    }


def check_units(array: Array, attrs: Mapping[str, Any], path: str) -> None:
    """Refuse units among the attributes that would make times of numbers, or other times of times.

    Raises:
        ConfigError: They would.
    """
    units = attrs.get("units")
    if not isinstance(units, str) or units == array.attributes.get("units"):
        return
    before = encoding_of(array.dtype, array.attributes, array.marker)
    after = encoding_of(array.dtype, {**array.attributes, "units": units}, array.marker)
    if before.axis is not None or after.axis is not None:
        raise ConfigError(
            "an attribute would change what the stored values mean",
            where=f"variables.{path}.attrs.units",
            found=repr(units),
            hint="Give it in `encoding`, where zapz converts the values accordingly.",
        )


def missing_variables(slice_: Dataset, config: Config) -> list[Array]:
    """Return, as arrays, the configured variables that the first slice lacks.

    Raises:
        VariableError: It lacks one, and ``on_missing`` says "refuse", or too little is known of it.
    """
    sizes = slice_.sizes
    found = []
    for path in {**dict.fromkeys(config.included_variables), **config.variables}:
        if path in {"*", *slice_.arrays} or not takes_part(path, config):
            continue
        if any(other.startswith(f"{path}/") for other in slice_.arrays):
            if path in config.variables:
                raise ConfigError(
                    "a group is configured as a variable", where=f"variables.{path}", hint="Name the variables in it."
                )
            continue
        settings = config.variable(path)
        where = f"variables.{path}"
        if config.on_missing != "fill":
            raise VariableError(
                "a configured variable is missing in the first slice",
                where=where,
                found="none",
                hint="{on_missing} makes it all the same (it needs dims and encoding.dtype).",
                remedies={"on_missing": "fill"},
            )
        if settings.dims is None or not is_value(settings.encoding.dtype) or not set(settings.dims) <= sizes.keys():
            raise VariableError(
                "a variable that the first slice lacks can only be made from dims that the slice has, and a dtype",
                where=where,
                expected=f"dims out of {', '.join(sorted(sizes))}, and encoding.dtype",
                found=f"dims {settings.dims}, dtype {settings.encoding.given.get('dtype')}",
            )
        from zapz.planning.encoding_values import dtype_of  # imported where used: most targets do without

        dtype, serializer = dtype_of(settings.encoding.dtype, f"{where}.encoding.dtype")
        shape = tuple(sizes[dim] for dim in settings.dims)
        found.append(
            Array(
                path=path,
                dims=settings.dims,
                dtype=dtype,
                grid=RegularGrid(shape=shape, chunks=tuple(max(1, n) for n in shape)),
                keys=doors.of(config.zarr_format or slice_.zarr_format).KEYS,
                codecs=CodecChain(
                    serializer=serializer,
                    endian=endian_of(dtype, "little"),
                    stages=(Codec(id="zstd", config={"level": 0}),),
                ),
                fill=FillValue.of(None),
                marker=None,
                attributes={
                    key: value for key, value in settings.encoding.given.items() if key in {"units", "calendar"}
                },
            )
        )
    return found


def least_of(dtype: np.dtype[Any]) -> Any:
    """Return a marker for a variable of which nothing is known but its type: NaN, or the least integer."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max)
    return "NaN" if dtype.kind in "fc" else "NaT" if dtype.kind in "mM" else None
