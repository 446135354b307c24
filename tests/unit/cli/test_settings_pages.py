"""``zapz config``: the short list is complete, and what a page says of one setting is true: its lines set it, in each of the places."""

from __future__ import annotations

import ast
import io
import json
import re
import shlex
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest
import tomli
from typer.testing import CliRunner

from zapz.cli import commands
from zapz.cli.app import app
from zapz.cli.fast_path import parse
from zapz.cli.settings_pages import settings_page
from zapz.config.assignments import assigned, assigned_by_variable
from zapz.config.files import load, resolve
from zapz.config.layers import NAMES, make
from zapz.config.reference import keys_by_path, render
from zapz.config.settings import Config
from zapz.config.topics import TOPICS
from zapz.config.trust import UNFILED
from zapz.errors import ConfigError

PATHS = [path.replace("NAME", "sst") for path in keys_by_path() if path != "zarr_version"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(name: str | None = None, style: str | None = None) -> str:
    return settings_page(name, style, Terminal())


def facts(page: str) -> dict[str, str]:
    """What a page says in its rows, and in its example."""
    return dict(re.findall(r"^  (Values|Default|Files|In a file|As a flag|In Python|Variable) +(.*)$", page, re.MULTILINE))  # fmt: skip


def by_flags(words: list[str]) -> Config:
    """Return the configuration that a command line makes."""
    seen: list[Config] = []

    def configured(files: Any, assignments: Any, settings: Any, **_: Any) -> Config:
        seen.append(resolve(list(map(assigned, assignments or [])), settings))
        raise ConfigError("enough")

    options = parse(["target", "slice", *words])
    assert options is not None
    with mock.patch.object(commands, "configured", configured), pytest.raises(SystemExit):
        commands.append_slices(options)
    return seen[0]


# -- the list ----------------------------------------------------------------------------------------------------------


def test_every_setting_belongs_to_one_topic() -> None:
    listed = [name for settings in TOPICS.values() for name in settings]
    assert sorted(listed) == sorted(NAMES)


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_terminal_gets_a_short_list(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting with its default and a few words; on a terminal of 80 columns, one line each."""
    monkeypatch.setenv("COLUMNS", str(width))
    page = shown()
    assert max(map(len, page.splitlines())) <= min(width, 80)
    plain = " ".join(page.split())
    for topic, settings in TOPICS.items():
        assert f"{topic}: " in plain
        for name, words in settings.items():
            default = getattr(Config(), name)
            said = f" = {json.dumps(default)}" if default not in (None, {}, ()) else ""
            assert f"{name}{said} {words}" in plain
            assert width < 80 or re.search(rf"^  {name}{re.escape(said)} +{re.escape(words)}$", page, re.MULTILINE)


def test_a_pipe_gets_the_reference() -> None:
    assert settings_page(None, None, io.StringIO()) == render("md")
    assert CliRunner().invoke(app, ["config"]).stdout == render("md") + "\n"
    for style in ("md", "json", "toml"):
        assert shown(style=style) == render(style)
    assert CliRunner().invoke(app, ["config", "--json"]).stdout == render("json") + "\n"
    with pytest.raises(ConfigError, match="unknown format"):
        shown(style="xml")


# -- one setting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_what_is_said_of_one_setting_holds(path: str, tmp_path: Path) -> None:
    """The lines for a file, for flags, for Python and for the environment all set it, to the same."""
    page = shown(path)
    said = facts(page)
    assert page.startswith(f"{path}\n\n  ")
    assert said["Files"].startswith("no file") is (path in UNFILED)
    python: Any = {}
    for each in ast.parse(f"f({said['In Python']})", mode="eval").body.keywords:  # type: ignore[attr-defined]
        python[each.arg] = ast.literal_eval(each.value)
    made = make(python)
    assert made != Config() or path in {"version", "slice_polling.timeout"} or path.startswith("profiling")
    if "In a file" in said:
        (tmp_path / "c.toml").write_text(said["In a file"])
        assert resolve(tmp_path / "c.toml", {}) == made
        found = Config() if said["Files"].startswith("a local") else made
        try:
            assert make(load(tmp_path / "c.toml", found=True)) == found
        except ConfigError:
            assert found == Config()
    variable, _, text = said["Variable"].partition("=")
    assert make(assigned_by_variable(variable, *shlex.split(text))) == made
    assert by_flags(shlex.split(said["As a flag"])) == made


def test_pages_of_one_setting_in_other_forms() -> None:
    assert shown("static", "toml") == "static = 0.01"
    assert shown("variables.a b.encoding.dtype", "toml") == 'variables."a b".encoding.dtype = "int16"'
    assert shown("static", "md") in render("md")
    schema = json.loads(shown("variables.sst.encoding", "json"))
    assert jsonschema.Draft202012Validator(schema).is_valid({"dtype": "int16"})
    assert not jsonschema.Draft202012Validator(schema).is_valid({"dtipe": "int16"})
    with pytest.raises(ConfigError, match="unknown format"):
        shown("static", "xml")


def test_a_table_lists_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert re.search(r"^  interval  Time between checks, in seconds\.$", shown("slice_polling"), re.MULTILINE)
    assert "\n  NAME.encoding.dtype " in shown("variables")
    assert shown("variables.sst") == shown("variables")
    assert "\n  dtype  " in shown("variables.sst.encoding")
    assert "`zapz config variables.sst.encoding.dtype` explains one key." in shown("variables.sst.encoding")
    assert "Keys:" not in shown("attrs")


@pytest.mark.parametrize("given", ["append_dim", "append-dim", "--append-dim"])
def test_a_name_as_in_a_file_or_on_the_command_line(given: str) -> None:
    assert shown(given) == shown("append_dim")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("statik", "static"),
        ("dtype", "variables.NAME.encoding.dtype"),
        ("variables.sst.encoding.dtipe", "variables.NAME.encoding.dtype"),
        ("interval", "slice_polling.interval"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(given: str, meant: str) -> None:
    done = CliRunner().invoke(app, ["config", given])
    assert done.exit_code == 2
    assert f"found {given!r}. Did you mean {meant!r}?" in done.stderr
    done = CliRunner().invoke(app, ["config", "qqqqqqqq", "--json"])
    assert "`zapz config` lists all settings." in json.loads(done.stdout)["error"]["hint"]


def test_lines_are_toml_and_survive_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is to be copied is on one line, however long."""
    monkeypatch.setenv("COLUMNS", "40")
    page = shown("attrs")
    assert tomli.loads(facts(page)["In a file"])["attrs"]["title"] == "A cube"
    assert all(len(line) <= 40 for line in page.partition("For example")[0].splitlines())
