"""What a configuration adds to a new target: attributes, and variables of its own. Pure."""

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
"""Attributes that define how values are stored, or their shape; they belong to the encoding."""


def described(attrs: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the configured attributes of a variable, without expressions.

    Expressions are evaluated when the data are available.

    Raises:
        ConfigError: An attribute defines how values are stored, which belongs to the encoding.
    """
    from zapz.expressions.evaluator import has_expressions  # imported here: most targets have no expressions

    for key, value in attrs.items():
        if key in _STORED or (key in READ_WHEN_CONVERTING and has_expressions({key: value})):
            raise ConfigError(
                "attribute would change the meaning of stored values",
                where=f"variables.{path}.attrs.{key}",
                hint="Set it in `encoding`: then zapz converts the values.",
            )
    return {
        key: plain(value, f"variables.{path}.attrs.{key}")
        for key, value in attrs.items()
        if not has_expressions({key: value})
    }


def check_units(array: Array, attrs: Mapping[str, Any], path: str) -> None:
    """Refuse an attribute ``units`` that would turn numbers into times, or times into others.

    Raises:
        ConfigError: It would.
    """
    units = attrs.get("units")
    if not isinstance(units, str) or units == array.attributes.get("units"):
        return
    before = encoding_of(array.dtype, array.attributes, array.marker)
    after = encoding_of(array.dtype, {**array.attributes, "units": units}, array.marker)
    if before.axis is not None or after.axis is not None:
        raise ConfigError(
            "attribute would change the meaning of stored values",
            where=f"variables.{path}.attrs.units",
            found=repr(units),
            hint="Set it in `encoding`: then zapz converts the values.",
        )


def missing_variables(slice_: Dataset, config: Config) -> list[Array]:
    """Return the configured variables that the first slice lacks, as arrays.

    Raises:
        VariableError: A variable is missing and ``on_missing`` is "refuse", or its settings are
            incomplete.
        ConfigError: The path is that of a group.
    """
    sizes = slice_.sizes
    found = []
    for path in {**dict.fromkeys(config.included_variables), **config.variables}:
        if path in {"*", *slice_.arrays} or not takes_part(path, config):
            continue
        if any(other.startswith(f"{path}/") for other in slice_.arrays):
            if path in config.variables:
                raise ConfigError(
                    "a group is configured as a variable", where=f"variables.{path}", hint="Configure its variables."
                )
            continue
        settings = config.variable(path)
        where = f"variables.{path}"
        if config.on_missing != "fill":
            raise VariableError(
                "configured variable is missing in the first slice",
                where=where,
                found="none",
                hint="Use {on_missing} to create it anyway (this requires dims and encoding.dtype).",
                remedies={"on_missing": "fill"},
            )
        if settings.dims is None or not is_value(settings.encoding.dtype) or not set(settings.dims) <= sizes.keys():
            raise VariableError(
                "a variable that the first slice lacks needs dims of the slice, and a dtype",
                where=where,
                expected=f"dims out of {', '.join(sorted(sizes))}, and encoding.dtype",
                found=f"dims {settings.dims}, dtype {settings.encoding.given.get('dtype')}",
            )
        from zapz.planning.encoding_values import dtype_of  # imported here: most targets do not need it

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
    """Return the default marker for a data type: NaN, or the integer farthest from 0."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min if dtype.kind == "i" else np.iinfo(dtype).max)
    return "NaN" if dtype.kind in "fc" else "NaT" if dtype.kind in "mM" else None
