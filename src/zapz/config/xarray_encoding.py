"""The argument ``encoding`` of xarray's ``to_zarr``, as the setting ``variables``. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zapz.config.codec_objects import in_v2_form, in_v3_form
from zapz.config.table_types import names, table
from zapz.config.types import Key, Place, SettingType
from zapz.config.variables import DISPLACED, ENCODING
from zapz.errors import ConfigError
from zapz.format import documents as doors

_AUTOMATIC = ("auto", "default")
"""Values that stand for the default codecs."""
_ANYTHING: Mapping[str, Any] = {"anyOf": [{}]}
_ARGUMENT = Place("argument ") / "encoding"


def _codecs(words: str) -> SettingType:
    """Return the type of codecs, kept as a list; None for the default codecs."""

    def read(value: Any, _: Place) -> list[Any] | None:
        if isinstance(value, str):
            return None
        several = list(value) if isinstance(value, list | tuple) else [] if value is None else [value]
        for codec in several:
            in_v2_form(codec)
        return several

    return SettingType(
        words=words,
        schema=_ANYTHING,
        takes=lambda value: not isinstance(value, type | str) or value in _AUTOMATIC,
        read=read,
    )


def _scalar(kind: SettingType) -> SettingType:
    """Return the same type, which also accepts NumPy scalars."""

    def read(value: Any, place: Place) -> Any:
        plain = value.item() if hasattr(value, "item") and not getattr(value, "ndim", 1) else value
        return kind.check([plain.real, plain.imag] if isinstance(plain, complex) else plain, place)

    return replace(kind, takes=lambda _: True, read=read)


def _passed_over() -> SettingType:
    return SettingType(words="anything", schema=_ANYTHING, takes=lambda _: True, read=lambda _value, _place: None)


_NUMBERS = ("dtype", "chunks", "shards", "scale_factor", "add_offset", "units", "calendar")
_MARKERS = ("_FillValue", "missing_value", "fill_value")
_COMPRESSORS = ("compressors", "compressor")
_CODEC = "a codec of numcodecs or zarr, or its configuration"
_KINDS: Mapping[str, SettingType] = {
    **{name: ENCODING[name].kind for name in _NUMBERS},
    **dict.fromkeys(_MARKERS, _scalar(ENCODING["fill_value"].kind)),
    **dict.fromkeys((*_COMPRESSORS, "filters"), _codecs(f"{_CODEC}, or a list of these, or None")),
    "serializer": _codecs(_CODEC),
    **dict.fromkeys(("preferred_chunks", "source", "original_shape"), _passed_over()),  # as in xarray
}
_ENCODINGS = names(
    "a table of variables and their encodings",
    table("a table of an encoding's keys", {name: Key(kind=kind, doc="") for name, kind in _KINDS.items()}),
)


def with_encodings(settings: Mapping[str, Any], encoding: Any) -> dict[str, Any]:
    """Return settings with xarray's ``encoding`` added to ``variables``.

    Args:
        settings: Settings by name.
        encoding: Encodings by variable: ``{"sst": {"dtype": "int16", "_FillValue": -1, "chunks":
            (1, 90, 180)}}``.

    Raises:
        ConfigError: A key is unknown, has an invalid value, or is also given in ``variables``.
    """
    variables = _copied(settings.get("variables"))
    for name, encoded in variables_of(encoding).items():
        entry = None if variables is None else _copied(variables.get(name))
        own = None if entry is None else _copied(entry.get("encoding"))
        if variables is None or entry is None or own is None:  # not tables: validation refuses them later
            continue
        twice = next((key for word in encoded for key in (word, *DISPLACED.get(word, ())) if key in own), None)
        if twice is not None:
            raise ConfigError(
                "encoding given twice",
                where=str(_ARGUMENT / name),
                found=f"argument variables.{name}.encoding.{twice} as well",
                hint="Remove one of the two.",
            )
        variables[name] = {**entry, "encoding": {**own, **encoded}}
    return dict(settings) if variables is None else {**settings, "variables": variables}


def _copied(given: Any) -> dict[str, Any] | None:
    """Return a copy of a table; empty if nothing is given, None if it is not a table."""
    return {} if given is None else dict(given) if isinstance(given, Mapping) else None


def variables_of(encoding: Any) -> dict[str, dict[str, Any]]:
    """Return xarray's encodings as ``variables.NAME.encoding``, by variable.

    Raises:
        ConfigError: A key is unknown, or has an invalid value.
    """
    checked: Mapping[str, Any] = _ENCODINGS.check(encoding, _ARGUMENT)
    return {name: _settings(given, _ARGUMENT / name) for name, given in checked.items() if given is not None}


def _settings(given: Mapping[str, Any], place: Place) -> dict[str, Any]:
    said = {
        name: given[name] for name in _NUMBERS if given.get(name) is not None or (name == "shards" and name in given)
    }
    marker = _one_of(_MARKERS, {k: v for k, v in given.items() if v is not None or k != "missing_value"}, place)
    if marker is not None:
        said["fill_value" if marker == "fill_value" else "_FillValue"] = given[marker]
    compressors = _one_of(_COMPRESSORS, given, place)
    return said | _coded(given.get("filters"), given.get("serializer"), given[compressors] if compressors else None)


def _one_of(words: tuple[str, ...], given: Mapping[str, Any], place: Place) -> str | None:
    """Return which of several names for the same thing is given, or None."""
    found = [word for word in words if word in given]
    for word in found[1:]:
        first, other = given[found[0]], given[word]
        if first != other and (first == first or other == other):  # noqa: PLR0124 - NaN
            raise ConfigError(
                "contradictory encoding",
                where=str(place / word),
                expected=f"the same as {found[0]}, {first!r}",
                found=repr(other),
                hint="Remove one of the two.",
            )
    return found[0] if found else None


def _coded(filters: list[Any] | None, serializer: list[Any] | None, compressors: list[Any] | None) -> dict[str, Any]:
    """Return codecs in the form of Zarr v2 if it defines all of them, else as a list as in v3."""
    coded = [in_v2_form(codec) for codec in filters or ()]
    last = [in_v2_form(codec) for codec in compressors or ()]
    if serializer or len(last) > 1 or None in (*coded, *last):
        rest = [doors.of(3).COMPRESSOR] if compressors is None else compressors
        return {"codecs": [in_v3_form(codec) for codec in (*(filters or ()), *(serializer or ()), *rest)]}
    found: dict[str, Any] = {} if filters is None else {"filters": coded}
    return found if compressors is None else {**found, "compressor": last[0] if last else None}
