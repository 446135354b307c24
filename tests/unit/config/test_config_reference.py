"""The reference of the settings: it says what holds, in Markdown, as JSON schema, and as a template; a page of the documentation shows it."""

import json
import re
from typing import Any

import jsonschema
import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st
from kit import ROOT
from kit.config_cases import BEYOND_SCHEMA, ENCODINGS, KEPT, REFUSED, REFUSED_ENCODINGS, settings_of

from zapz.config.layers import SETTINGS, make
from zapz.config.reference import CLOSING, OPENING, insert_into, render, toml
from zapz.config.serve_types import SERVE
from zapz.config.settings import Config
from zapz.config.table_types import ANY_NAME
from zapz.config.types import Key
from zapz.errors import ConfigError

PAGE = ROOT / "docs" / "settings.md"
SCHEMA = json.loads(render("json"))
JUDGE = jsonschema.Draft202012Validator(SCHEMA)


def keys(table: Any, path: str = "") -> dict[str, Key]:
    """Every setting and every key of a nested table, by its path."""
    found = {}
    for name, key in table.items():
        found[f"{path}{name}"] = key
        found |= keys(key.kind.keys, f"{path}{name}.")
    return found


ALL = {path: key for path, key in keys(SETTINGS.keys).items() if not path.endswith(f".{ANY_NAME}")}


def refuses(settings: Any) -> bool:
    try:
        make(settings)
    except ConfigError:
        return True
    return False


# --- JSON schema ------------------------------------------------------------------------------------------------------------------


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == jsonschema.Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize(("name", "value"), [case[:2] for case in (*KEPT, *ENCODINGS, *REFUSED, *REFUSED_ENCODINGS)])
def test_the_schema_agrees_with_validation(name: str, value: Any) -> None:
    settings = settings_of(name, value)
    assert JUDGE.is_valid(settings) is not refuses(settings) or (name, value) in LENIENT


LENIENT = [("workers", 1.0)]
"""What the schema takes, and ``make`` does not: 1.0 is an integer to JSON schema."""


@pytest.mark.parametrize(("name", "value"), [case[:2] for case in BEYOND_SCHEMA])
def test_what_the_schema_cannot_say(name: str, value: Any) -> None:
    assert JUDGE.is_valid(settings_of(name, value))


@pytest.mark.parametrize("path", ALL)
def test_the_schema_refuses_unknown_keys_beside_every_known_one(path: str) -> None:
    *outer, _ = path.replace(ANY_NAME, "a").split(".")
    settings: dict[str, Any] = {"no_such_key": 1}
    for name in reversed(outer):
        settings = {name: settings}
    if outer[-1:] not in (["fixed_dims"], ["chunks"], ["shards"]):
        assert not JUDGE.is_valid(settings)
        assert refuses(settings)


@given(st.sampled_from(sorted(ALL)), st.recursive(st.none() | st.booleans() | st.integers(-2, 3) | st.sampled_from(["", "x", "whole", "chunk", 0.5]), lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "id", "name", "version", "path"]), inner, max_size=2)))  # fmt: skip
def test_the_schema_agrees_on_anything(path: str, value: Any) -> None:
    """Whatever ``make`` takes the schema takes; what only the schema takes is text with a form of its own, or a rule about two keys."""
    for name in reversed(path.replace(ANY_NAME, "a").split(".")):
        value = {name: value}
    if refuses(value):
        formed = ("append_step", "dtype", "memory_limit", "slice_ready", "max_memory")
        assert not JUDGE.is_valid(value) or path.rpartition(".")[2] in formed
    else:
        assert JUDGE.is_valid(value)


@pytest.mark.parametrize("path", ALL)
def test_defaults_hold_and_examples_can_be_given(path: str) -> None:
    key = ALL[path]
    for value in (key.default, key.example):
        if value is not None:
            settings = json.loads(json.dumps(value))
            for name in reversed(path.replace(ANY_NAME, "a").split(".")):
                settings = {name: settings}
            make(settings)
            assert JUDGE.is_valid(settings)
    if hasattr(Config(), path):
        kept = getattr(Config(), path)
        assert kept == (tuple(key.default) if isinstance(kept, tuple) else key.default)
    assert key.default is not None or key.example is not None or key.kind.keys, "shows nobody how it is written"


# --- TOML template ------------------------------------------------------------------------------------------------------------------


def uncommented(mark: str) -> list[str]:
    """Lines of the template behind a mark, those without a value left out."""
    lines = [line.removeprefix(mark) for line in render("toml").splitlines() if line.startswith(mark)]
    return [line for line in lines if re.match(r'[\w."*]+ = ', line) and not line.endswith("= …")]


def test_the_template_is_all_comments() -> None:
    assert tomli.loads(render("toml")) == {}
    assert all(line == "" or line.startswith("# ") for line in render("toml").splitlines())


def test_the_template_uncommented_is_the_default() -> None:
    lines = uncommented("# ")
    made = make(tomli.loads("\n".join(lines)))
    assert made.polling == Config(slice_polling=True).polling
    profiling = {"enabled": True, "log_level": "INFO", "keys": ("tottime",)}
    serve = {name: key.default for name, key in SERVE.keys.items() if key.default is not None}
    polling = {"interval": 2.0, "timeout": 60.0}
    assert made == Config(slice_polling=polling, profiling=profiling, serve=serve)
    assert len(lines) == sum(key.default is not None and not key.kind.keys for key in ALL.values()) + 1  # fixed_dims


@pytest.mark.parametrize("line", uncommented("# For example: "))
def test_every_example_of_the_template_loads(line: str) -> None:
    assert make(tomli.loads(line)) != Config()


def test_the_template_names_every_key() -> None:
    text = render("toml")
    assert len(uncommented("# For example: ")) == sum(key.example is not None for key in ALL.values())
    for path in ALL:
        written = path.replace("datasets.NAME", "datasets.cube").replace(ANY_NAME, '"*"')
        assert f"\n# {written} = " in text, path


@given(st.recursive(st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a-b \"'.é", max_size=3), inner, max_size=3)))  # fmt: skip
def test_values_are_written_as_toml(value: Any) -> None:
    assert tomli.loads(f"x = {toml(value)}") == {"x": value}


# --- Markdown ------------------------------------------------------------------------------------------------------------------------


def test_markdown_has_a_row_for_every_key() -> None:
    text, heading, rows = render("md"), "", set()
    for line in text.splitlines():
        if line.endswith(":"):
            heading = line.split("`")[1] + "."
        elif line.startswith("| `"):
            cells = line.removeprefix("| ").removesuffix(" |").split(" | ")
            assert len(cells) == 4, line
            assert cells[1], line
            assert cells[3], line
            rows.add(heading + cells[0].strip("`"))
    assert rows == set(ALL)


def test_other_formats_are_refused() -> None:
    with pytest.raises(ConfigError, match="expected md or json or toml, found 'xml'"):
        render("xml")


def test_the_page_is_up_to_date() -> None:
    """If not, ``python -m kit.pages`` makes it so."""
    text = PAGE.read_text(encoding="utf-8")
    assert insert_into(text) == text


def test_the_reference_is_put_between_the_markers() -> None:
    text = f"before\n{OPENING}old{CLOSING}\nafter"
    new = insert_into(text)
    assert new.startswith(f"before\n{OPENING}\n\n| setting")
    assert new.endswith(f" |\n\n{CLOSING}\nafter")
    assert insert_into(new) == new
    for broken in ("", OPENING, CLOSING, f"{CLOSING}{OPENING}"):
        with pytest.raises(ConfigError, match="no place"):
            insert_into(broken)
