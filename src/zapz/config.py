"""The configuration: one frozen value, defined once; validation, merging and the reference all come from the definitions here."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from zapz.errors import ConfigError, MetadataError
from zapz.format.metadata import check_path

Settings = Mapping[str, Any]
_FOREVER = 1e9
"""Seconds that nobody waits."""


def _setting(
    default: Any,
    doc: str,
    *,
    kinds: tuple[type, ...],
    choices: tuple[Any, ...] = (),
    least: float | None = None,
    most: float | None = None,
) -> Any:
    meta = {"doc": doc, "kinds": kinds, "choices": choices, "least": least, "most": most}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=meta)
    return field(default=default, metadata=meta)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting of an append. The names are also those of configuration files and of keyword arguments."""

    append_dim: str = _setting("time", "Name of the dimension along which slices are appended.", kinds=(str,))
    target_dir: str | None = _setting(None, "Target, where it is not given as an argument.", kinds=(str,))
    target_storage_options: Mapping[str, Any] = _setting({}, "fsspec storage options of the target.", kinds=(dict,))
    slice_storage_options: Mapping[str, Any] = _setting({}, "fsspec storage options of the slices.", kinds=(dict,))
    zarr_format: int | None = _setting(
        None, "Zarr format of a new target; the first slice's if not given.", kinds=(int,), choices=(2, 3)
    )
    label_chunk: int | str = _setting(
        1024,
        "Least chunk length, along the append dimension, of a new target's small variables (one step at most 256 "
        'bytes); "keep" leaves the slice\'s.',
        kinds=(int, str),
        choices=("keep",),
        least=1,
        most=1 << 20,
    )
    slice_size: int | str | None = _setting(
        None,
        'Size that every slice must have along the append dimension; "chunk" demands the target\'s chunk length.',
        kinds=(int, str),
        choices=("chunk",),
        least=1,
    )
    on_missing: str = _setting(
        "refuse",
        'What to do if a slice lacks a variable of the target: "fill" appends missing cells (its marker, else its fill value).',
        kinds=(str,),
        choices=("refuse", "fill"),
    )
    on_extra: str = _setting(
        "refuse",
        "What to do if a slice has a variable, with the append dimension, that the target lacks.",
        kinds=(str,),
        choices=("refuse", "ignore"),
    )
    excluded_variables: tuple[str, ...] = _setting(
        (), "Variables of slices that are not appended.", kinds=(list, tuple)
    )
    static: str | float = _setting(
        "equal",
        'Static variables of a slice must be "equal" to the target\'s, are "ignore"d, or may differ by at most this number.',
        kinds=(str, float, int),
        choices=("equal", "ignore"),
        least=0,
    )
    recompress: bool = _setting(
        False,
        "Re-encode chunks whose compressor parameters differ from the target's, even where the target's codecs can read them.",
        kinds=(bool,),
    )
    verify: bool = _setting(
        False, "Decode every chunk that is copied, to find damage that its outside does not show.", kinds=(bool,)
    )
    label_order: str | None = _setting(
        None,
        "Order of the labels of the append dimension; by default increasing, or decreasing where the target's already are.",
        kinds=(str,),
        choices=("increasing", "decreasing", "any"),
    )
    append_step: int | float | str | None = _setting(
        None,
        'Required difference between neighbouring labels: a number in the labels\' own units, a duration such as "12h" or '
        '"-1D", or just "+" or "-".',
        kinds=(int, float, str),
    )
    on_existing: str = _setting(
        "resume",
        'Slices whose labels are all there already: "resume" counts one as appended if it equals what is there, "skip" goes '
        'by labels alone, "refuse" refuses.',
        kinds=(str,),
        choices=("resume", "skip", "refuse"),
    )
    attrs_update_mode: str = _setting(
        "keep",
        "Group attributes: the target's are kept, replaced by the slice's, updated with them, or the slice's ignored.",
        kinds=(str,),
        choices=("keep", "replace", "update", "ignore"),
    )
    consolidated: bool = _setting(
        True, "Write consolidated metadata at every commit; the promise to readers rests on it.", kinds=(bool,)
    )
    durability: str = _setting(
        "full",
        '"full" survives a power failure; "process" survives only the death of the process, and never waits for the disk.',
        kinds=(str,),
        choices=("full", "process"),
    )
    lock_wait: float = _setting(
        0.0, "Seconds to wait for a target that another process holds.", kinds=(int, float), least=0
    )
    slice_polling: Mapping[str, float] | bool | None = _setting(
        None,
        "Wait for slices that are not there or not complete: true (look every 2 seconds, for 60), or a table of `interval` and "
        "`timeout` in seconds. The target is not locked meanwhile.",
        kinds=(bool, dict),
    )
    slice_ready: str | None = _setting(
        None,
        'An object (such as "_SUCCESS") that a slice holds once it is complete; without it, it is not appended.',
        kinds=(str,),
    )
    slice_complete: str = _setting(
        "metadata",
        'When a slice is complete: as soon as its "metadata" are, or when all its "chunks" are there.',
        kinds=(str,),
        choices=("metadata", "chunks"),
    )
    journal: str = _setting(
        "inside",
        'Where lock and journal lie: "inside" the target in `.zapz`, or "beside" it in `TARGET.zapz`. The same for all writers.',
        kinds=(str,),
        choices=("inside", "beside"),
    )
    register: bool = _setting(
        False,
        "Remember the last slices in the target (on object stores that is always done), so that a slice without labels is recognised "
        "when the same command is run again.",
        kinds=(bool,),
    )
    single_writer: bool = _setting(
        False,
        "Append to storage that cannot keep two writers apart; only if certainly nobody else writes to the target.",
        kinds=(bool,),
    )
    follow_links: bool = _setting(False, "Whether linked folders may lead out of the target or a slice.", kinds=(bool,))
    workers: int | None = _setting(
        None, "Threads that move chunks; by default one per processor, at most 8.", kinds=(int,), least=1
    )
    dry_run: bool = _setting(False, "Plan and check, but touch nothing.", kinds=(bool,))

    @property
    def polling(self) -> Polling | None:
        """How to wait for slices; None if they are not waited for."""
        given = self.slice_polling
        if isinstance(given, Mapping):
            timeout = given.get("timeout", 60.0)
            return Polling(interval=given.get("interval", min(2.0, timeout / 5) or 2.0), timeout=timeout)
        return Polling() if given else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Polling:
    """How to wait for slices."""

    interval: float = 2.0
    """Seconds between two looks."""
    timeout: float = 60.0
    """Seconds until giving up."""


_FIELDS: Mapping[str, Field[Any]] = {f.name: f for f in fields(Config)}
NAMES: tuple[str, ...] = tuple(_FIELDS)
"""Names of all settings, in the order of the reference."""

_WORDS = {str: "text", int: "an integer", float: "a number", bool: "true or false", list: "a list", dict: "a table"}


def make(*layers: Settings) -> Config:
    """Merge layers of settings, later ones winning, and validate the result.

    Raises:
        ConfigError: A setting is unknown or has a value that it cannot have.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            checked, earlier = _checked(key, value), merged.get(key)
            if key == "slice_polling" and isinstance(checked, Mapping) and isinstance(earlier, Mapping):
                checked = {**earlier, **checked}
            merged[key] = checked
    return Config(**merged)


def _checked(key: str, value: Any) -> Any:
    if key not in _FIELDS:
        near = difflib.get_close_matches(key, NAMES, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "`zapz config` lists all settings."
        raise ConfigError("unknown setting", where=repr(key), hint=hint)
    meta = _FIELDS[key].metadata
    if value is None and _FIELDS[key].default is None:
        return None
    kinds: tuple[type, ...] = meta["kinds"]
    fits = isinstance(value, kinds) and not (isinstance(value, bool) and bool not in kinds)
    choices: tuple[Any, ...] = meta["choices"]
    if fits and choices and (isinstance(value, str) or not _open_numbers(kinds, choices)):
        fits = value in choices
    if fits and meta["least"] is not None and isinstance(value, int | float):
        fits = value >= meta["least"] and (meta["most"] is None or value <= meta["most"])
    if fits and key == "slice_polling" and isinstance(value, Mapping):
        _check_polling(value)
    if fits and key == "slice_ready":
        fits = _is_key(value)
    if fits and list in kinds:
        fits = all(isinstance(v, str) for v in value)
    if not fits:
        raise ConfigError(
            "setting has a value that it cannot have", where=key, expected=describe(key), found=repr(value)
        )
    return tuple(value) if isinstance(value, list) else value


def _is_key(value: str) -> bool:
    try:
        check_path(value)
    except MetadataError:
        return False
    return bool(value)


def _check_polling(value: Mapping[Any, Any]) -> None:
    for name, number in value.items():
        where = f"slice_polling.{name}"
        if name not in {"interval", "timeout"}:
            near = difflib.get_close_matches(str(name), ("interval", "timeout"), n=1)
            hint = f"Did you mean {near[0]!r}?" if near else "It has `interval` and `timeout`."
            raise ConfigError("unknown setting", where=where, hint=hint)
        good = isinstance(number, int | float) and not isinstance(number, bool) and 0 <= number < _FOREVER
        if not good or (name == "interval" and number == 0):
            expected = "a number of seconds" + (" above 0" if name == "interval" else "")
            raise ConfigError(
                "setting has a value that it cannot have", where=where, expected=expected, found=repr(number)
            )


def _open_numbers(kinds: Iterable[type], choices: tuple[Any, ...]) -> bool:
    return any(k in {int, float} for k in kinds) and all(isinstance(c, str) for c in choices)


def describe(key: str) -> str:
    """Return what values a setting can have, in words."""
    meta = _FIELDS[key].metadata
    choices = [repr(c) for c in meta["choices"]]
    kinds: list[type] = [k for k in meta["kinds"] if k is not tuple]
    if float in kinds and int in kinds:
        kinds.remove(int)
    if choices and not _open_numbers(kinds, meta["choices"]):
        return " or ".join(choices)
    least = f" from {meta['least']:g}" if meta["least"] is not None else ""
    least += f" to {meta['most']}" if meta["most"] is not None else ""
    words = [_WORDS[k] + (least if k in {int, float} else "") for k in kinds if not (choices and k is str)]
    return " or ".join([*words, *choices])


FORMATS = ("md", "json", "toml")
"""Formats of the reference."""

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", list: "array", dict: "object"}


def reference() -> list[dict[str, Any]]:
    """Return every setting with its name, values, default, description, and JSON schema."""
    return [
        {
            "name": name,
            "values": describe(name),
            "default": {} if f.default is MISSING else f.default,
            "doc": f.metadata["doc"],
            "schema": _schema(f.metadata["kinds"], f.metadata["choices"]),
        }
        for name, f in _FIELDS.items()
    ]


def _schema(kinds: tuple[type, ...], choices: tuple[Any, ...]) -> dict[str, Any]:
    types = list(dict.fromkeys(_TYPES[k] for k in kinds if k in _TYPES))
    if choices and not _open_numbers(kinds, choices):
        return {"enum": list(choices)}
    if choices:
        return {"anyOf": [*({"type": t} for t in types if t != "string"), {"enum": list(choices)}]}
    return {"type": types[0] if len(types) == 1 else types}
