"""The types of settings: a key for each setting, and each type takes what its setting takes, no more and no less."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from kit.config_cases import ENCODINGS, KEPT, REFUSED, REFUSED_ENCODINGS, SERVE_FORMS, settings_of

import zapz
from zapz.config import append_label, settings_dict
from zapz.config.layers import SETTINGS, make
from zapz.config.settings_dict import AliasedSettings, CommonSettings
from zapz.config.table_types import ANY_NAME
from zapz.config.types import SettingType
from zapz.operations import map_settings

HINTS = get_type_hints(zapz.SettingsDict)
CLASSES = {
    node.name: node
    for module in (settings_dict, append_label, map_settings)
    for node in ast.parse(inspect.getsource(module)).body
    if isinstance(node, ast.ClassDef) and is_typeddict(getattr(module, node.name))
}
"""Every table that has a type, as it is written."""
LISTS = (list, tuple, Sequence)
IN_FILES_ALONE = (None, False)
"""What says None in a file, or in a merged table; in Python None does."""


def parts(hint: Any) -> Iterator[Any]:
    """Take a union apart."""
    if get_origin(hint) in {Union, UnionType}:
        for part in get_args(hint):
            yield from parts(part)
    else:
        yield hint


def plain(words: set[Any]) -> set[Any]:
    """Any integer is a number to a type checker, and any truth value too."""
    return words - {"integer", "boolean"} if "number" in words else words


def words_of_type(hint: Any) -> set[Any]:
    """What a type takes, in the words of JSON schema; objects that stand for such a thing left out."""
    words: set[Any] = set()
    for part in parts(hint):
        origin = get_origin(part) or part
        if origin is Literal:
            words.update(("choice", each) for each in get_args(part))
        elif is_typeddict(origin) or origin is Mapping:
            words.add("object")
        elif origin in LISTS:
            words.add("array")
        elif origin is Callable or (isinstance(origin, type) and origin.__name__ == "Callable"):
            words.add("callable")
        elif origin in {bool, int, float, str}:
            words.add({bool: "boolean", int: "integer", float: "number", str: "string"}[origin])
        else:
            assert origin in {NoneType, type} or getattr(origin, "_is_protocol", False), part
    return plain(words)


def words_of_setting(kind: SettingType) -> set[Any]:
    """What a setting takes from Python."""
    words: set[Any] = {"callable"} if kind.takes(print) and not kind.takes({}) else set()
    for schema in kind.schema.get("anyOf", [kind.schema]):
        if "enum" in schema:
            words.update(("choice", each) for each in schema["enum"] if each not in IN_FILES_ALONE)
        elif "anyOf" in schema:
            words |= words_of_setting(SettingType(words="", schema=schema, takes=lambda _: False, read=lambda *_: None))
        else:
            words.add(schema["type"])
    return plain(words)


def compared(path: str, hint: Any, kind: SettingType) -> Iterator[tuple[str, Any, Any]]:
    """Go down into tables and lists; yield at each place what the type takes, and what the setting does."""
    yield path, words_of_type(hint), words_of_setting(kind)
    for part in parts(hint):
        if is_typeddict(part):
            hints = get_type_hints(part)
            yield f"{path}.*", set(hints), set(kind.keys)
            for name in hints:
                yield from compared(f"{path}.{name}", hints[name], kind.keys[name].kind)
        elif get_origin(part) is Mapping and ANY_NAME in kind.keys:
            yield from compared(f"{path}.{ANY_NAME}", get_args(part)[1], kind.keys[ANY_NAME].kind)
    lists = [schema["items"] for schema in kind.schema.get("anyOf", [kind.schema]) if "items" in schema]
    if lists:
        items = [get_args(part)[0] for part in parts(hint) if get_origin(part) in LISTS]
        schema = lists[0] if len(lists) == 1 else {"anyOf": lists}
        item = SettingType(words="", schema=schema, takes=lambda _: False, read=lambda *_: None)
        yield f"{path}[]", set().union(*map(words_of_type, items)), words_of_setting(item)


def literals(path: str, hint: Any) -> Iterator[tuple[str, Any]]:
    """Yield each choice that stands in a type, with its place."""
    for part in parts(hint):
        if get_origin(part) is Literal:
            yield from ((path, each) for each in get_args(part))
        elif is_typeddict(part):
            for name, inner in get_type_hints(part).items():
                yield from literals(f"{path}.{name}", inner)
        elif get_origin(part) is Mapping:
            yield from literals(f"{path}.{ANY_NAME}", get_args(part)[1])
        elif get_origin(part) in LISTS:
            yield from literals(f"{path}[]", get_args(part)[0])


def placed(path: str, value: Any) -> dict[str, Any]:
    """A configuration with one value at a place."""
    for step in reversed(path.replace("[]", ".[]").split(".")):
        value = [value] * (2 if "ill" in path else 1) if step == "[]" else {step: value}
    return value


# -- names ------------------------------------------------------------------------------------------------------------


def test_there_is_a_key_for_each_setting() -> None:
    assert list(HINTS) == [*(f.name for f in fields(zapz.Config) if f.name != "slice_source"), "slice_source"]
    assert set(get_type_hints(AliasedSettings)) == set(SETTINGS.keys)
    assert zapz.SettingsDict.__required_keys__ == frozenset()


def test_append_map_takes_what_append_takes_but_the_slice_source() -> None:
    own = get_type_hints(zapz.append)
    others = {name for name in own if name not in {"target", "slices", "settings", "return"}}
    hints = get_type_hints(zapz.MapSettingsDict)
    assert set(hints) == others | set(HINTS) - {"slice_source"}
    assert {name: hints[name] for name in others} == {name: own[name] for name in others}
    assert set(get_type_hints(CommonSettings)) == set(hints) - others


@pytest.mark.parametrize("name", CLASSES)
def test_editors_show_a_line_for_each_key(name: str) -> None:
    body = CLASSES[name].body[1:]
    assert not len(body) % 2
    for key, doc in zip(body[::2], body[1::2], strict=True):
        assert isinstance(key, ast.AnnAssign)
        assert isinstance(doc, ast.Expr)
        assert isinstance(doc.value, ast.Constant)
        assert doc.lineno == doc.end_lineno
        assert (doc.end_col_offset or 0) <= 100


# -- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HINTS)
def test_a_type_takes_what_its_setting_takes(name: str) -> None:
    found = list(compared(name, HINTS[name], SETTINGS.keys[name].kind))
    assert [(path, hint) for path, hint, _ in found] == [(path, kind) for path, _, kind in found]


CHOICES = [case for name in HINTS for case in literals(name, HINTS[name])]


@pytest.mark.parametrize(("path", "value"), CHOICES)
def test_every_choice_of_a_type_is_taken(path: str, value: Any) -> None:
    assert isinstance(make(placed(path, value)), zapz.Config)


def test_the_fields_of_a_configuration_have_the_same_choices() -> None:
    for name, hint in get_type_hints(zapz.Config).items():
        mine, theirs = ({each for each in words_of_type(h) if each[0] == "choice"} for h in (hint, HINTS[name]))
        assert mine == theirs or name == "logging"


def fits(value: Any, hint: Any) -> bool:
    """Whether a type checker would take a value."""
    return any(_fits(value, part) for part in parts(hint))


def _fits(value: Any, hint: Any) -> bool:
    origin, args = get_origin(hint) or hint, get_args(hint)
    if origin is Literal:
        return any(type(value) is type(each) and value == each for each in args)
    if is_typeddict(origin):
        hints = get_type_hints(origin)
        return isinstance(value, dict) and all(key in hints and fits(value[key], hints[key]) for key in value)
    if origin is object or origin is NoneType:
        return origin is object or value is None
    if getattr(origin, "_is_protocol", False):
        return all(hasattr(value, name) for name in vars(origin) if name == "__fspath__" or not name.startswith("_"))
    if isinstance(value, Mapping):
        return origin is Mapping and all(fits(inner, args[1]) for inner in value.values())
    if isinstance(value, list | tuple):
        known = isinstance(value, origin) if isinstance(origin, type) else False
        return known and origin in LISTS and all(fits(inner, args[0]) for inner in value)
    if origin is type or origin in LISTS or origin is Mapping:
        return isinstance(value, origin) and not isinstance(value, str)
    return isinstance(value, (int, float) if origin is float else origin)


def fit(settings: Mapping[str, Any]) -> bool:
    return all(name in HINTS and fits(value, HINTS[name]) for name, value in settings.items())


@pytest.mark.parametrize(("name", "value"), [case[:2] for case in (*KEPT, *ENCODINGS)])
def test_what_is_taken_fits_the_type(name: str, value: Any) -> None:
    assert fit(settings_of(name, value)) is (value is not False or name in {"profiling", "fill_value"})


BEYOND_TYPES: list[tuple[str, Any]] = [
    ("append_dim", ""),
    ("append_step", 0),
    ("append_step", True),
    ("label_chunk", (1 << 20) + 1),
    ("logging", {"root": {}}),
    ("logging", {"version": 2}),
    ("included_variables", [""]),
    ("fixed_dims", {"lat": 0}),
    ("fixed_dims", {"": 1}),
    ("slice_polling", {"interval": 0}),
    ("slice_polling", {"timeout": 1e10}),
    ("prefetch", -1),
    ("memory_limit", 0),
    ("memory_limit", True),
    ("profiling", {"restrictions": [1.5]}),
    ("variables", {"a": {"dims": ["x", "x"]}}),
    ("chunks", [0]),
    ("chunks", {"lat": -1}),
    ("fill_value", [1]),
    ("_FillValue", [1]),
    ("scale_factor", 0),
    ("units", ""),
    ("compressor", {"level": 1}),
    ("filters", [{}]),
    ("filters", [{"id": "delta"}, {}]),
    ("codecs", [{"name": "zstd", "config": {}}]),
    ("codecs", [{"configuration": {}}]),
    *(case[:2] for case in SERVE_FORMS),
]
"""Bounds, empty text, and what a codec is made of: types cannot say that."""


@pytest.mark.parametrize(("name", "value"), [case[:2] for case in (*REFUSED, *REFUSED_ENCODINGS)])
def test_what_is_refused_fits_no_type_but_for_bounds(name: str, value: Any) -> None:
    settings = {"zarr_format": value} if name == "zarr_version" else settings_of(name, value)
    assert fit(settings) is ((name, value) in BEYOND_TYPES)
