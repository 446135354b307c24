"""Codec objects of numcodecs and zarr, and their configurations in the form of either format. Pure.

The configuration is requested from the object; neither package is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zapz.errors import MetadataError
from zapz.format import v3_codecs

Configuration = dict[str, Any]
"""A codec with an "id" (as in numcodecs and Zarr v2), or with "name" and "configuration" (as in
Zarr v3)."""

_METHODS = ("get_config", "to_dict")
"""Methods of codec objects that return their configuration: of numcodecs, and of zarr."""


def configuration_of(codec: Any) -> Configuration | None:
    """Return the configuration of a codec object, or of a table; None if it is neither."""
    if isinstance(codec, Mapping):
        return dict(codec)
    method = next((method for method in _METHODS if callable(getattr(codec, method, None))), None)
    return None if method is None or isinstance(codec, type) else dict(getattr(codec, method)())


def in_v2_form(codec: Any) -> Configuration | None:
    """Return a codec's configuration with an "id"; None if v2 does not define such a codec.

    Raises:
        ValueError: It is not a codec, or its configuration is invalid.
    """
    config = configuration_of(codec)
    if config is None:
        raise ValueError("This is not a codec.")
    if "name" not in config:
        return config
    try:
        stage = v3_codecs.stage_of(*v3_codecs.named(config, "codec"))
    except (MetadataError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"Invalid configuration: {error}.") from error
    return None if stage is None else {"id": stage.id, **stage.config}


def in_v3_form(codec: Any) -> Configuration:
    """Return a codec's configuration with a "name".

    Raises:
        ValueError: It is not a codec.
    """
    config = configuration_of(codec)
    if config is None:
        raise ValueError("This is not a codec.")
    if "id" not in config:
        return config
    return {"name": f"numcodecs.{config.pop('id')}", "configuration": config}
