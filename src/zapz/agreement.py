"""Does a configuration agree with itself, with an existing target, and with the form of a slice? Pure."""

from __future__ import annotations

from collections.abc import Sequence

from zapz.config import Config
from zapz.errors import ConfigError, DimensionError
from zapz.format.metadata import Array, Dataset
from zapz.selection import is_named, takes_part

OTHER_FORM = "Bring the slice to the target's form, or append it to another target."
"""What to do about a slice of another form."""


def check_config(config: Config) -> None:
    """Refuse a configuration whose parts contradict one another, before anything is looked at.

    Raises:
        ConfigError: They do.
    """
    if config.append_dim in config.fixed_dims:
        raise ConfigError(
            "the append dimension has no fixed size",
            where=f"fixed_dims.{config.append_dim}",
            hint="To demand a size of every slice, set slice_size.",
        )


def check_configured(target: Dataset, config: Config) -> None:
    """Refuse a configuration that says something else than an existing target.

    Raises:
        ConfigError: A configured encoding is not the target's, or a configured variable is not there.
    """
    for path in config.variables:
        if path == "*" or path in target.arrays or not takes_part(path, config):
            continue
        raise ConfigError(
            "a configured variable is not in the target",
            where=f"variables.{path}",
            expected=", ".join(sorted(target.arrays)),
            found=repr(path),
            hint="Variables are made with the target: remove this one, or make the target anew with force_new.",
        )
    if not config.variables:
        return
    from zapz.tailoring import (  # imported where used: most configurations name no variables
        Place,
        contradiction,
        names_own,
    )

    for path, array in target.arrays.items():
        wish = config.variable(path).encoding
        if wish and not is_named(path, config.excluded_variables):
            where = Place(
                zarr_format=target.zarr_format,
                dim=config.append_dim,
                steps=None,
                where=f"variables.{path}.encoding",
                own=names_own(config.variables, path),
            )
            error = contradiction(array, wish, where)
            if error is not None:
                raise error


def check_fixed(slice_: Dataset, config: Config, where: str) -> None:
    """Check the sizes of dimensions that are configured."""
    sizes = {d: n for a in slice_.arrays.values() for d, n in zip(a.dims, a.shape, strict=True) if d is not None}
    for dim, size in config.fixed_dims.items():
        if sizes.get(dim) != size:
            raise DimensionError(
                f"dimension {dim!r} does not have its fixed size",
                where=where,
                expected=f"{size} (fixed_dims)",
                found=str(sizes.get(dim, "no such dimension")),
                hint="Is it the right slice? Or mend fixed_dims.",
            )


def check_dims(source: Array, config: Config, where: str) -> None:
    """Check the dimensions of a slice's variable against the configured ones."""
    dims = config.variable(source.path).dims if config.variables else None
    if dims is not None and tuple(dims) != source.dims:
        raise DimensionError(
            "dimensions are not the configured ones",
            where=f"{where}, {source.path}",
            expected=f"{named(dims)} (variables.{source.path}.dims)",
            found=named(source.dims),
            hint=OTHER_FORM,
        )


def named(names: Sequence[str | None]) -> str:
    """Return dimensions for people."""
    return "(" + ", ".join(name or "?" for name in names) + ")"
